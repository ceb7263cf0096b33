"""Answers of applications that sign users on by Kerberos: L{appproxy.kerberos.negotiate} and C{spnego}."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from typing import Final

from appproxy.kerberos.negotiate import read_challenges, write_token
from appproxy.kerberos.spnego import MAXIMUM_TOKEN_BYTES, SpnegoError, is_response, read_response
from tests.fuzz.support import hold, refused, same

_MECHANISM: Final = bytes.fromhex("a10b06092a864886f712010202")
_COMPLETED: Final = bytes.fromhex("a0030a0100")
_FIELDS: Final = _COMPLETED + _MECHANISM + bytes.fromhex("a2050403415052") + bytes.fromhex("a30504034d4943")

WORDS: Final = (b"Negotiate ", b"NTLM, ", b'Basic realm="', b"\xa1", b"\x30", b"\xa2", b"\x04", b"\x81\x80")


def seeds() -> Iterable[bytes]:
    """Answers, and values of headers with such."""
    answer = b"\xa1" + bytes((len(_FIELDS) + 2,)) + b"\x30" + bytes((len(_FIELDS),)) + _FIELDS
    yield answer
    yield b"\xa1\x07\x30\x05" + _COMPLETED
    yield b"Negotiate " + b64encode(answer)
    yield b'Basic realm="a, Negotiate b", negotiate YWJj, NTLM'
    yield b"Negotiate"


def target(data: bytes) -> None:
    """Bytes as an answer's token, and as the value of a header."""
    response = refused(SpnegoError, read_response, data)
    if response is not None:
        hold(is_response(data), "it does not begin as one")
        hold(len(response.token) + len(response.mic) < len(data), "more than was there")
        for other in (data[:-1], data + b"\0"):
            same(refused(SpnegoError, read_response, other), None, "a part of it, or more, is one too")
    token = refused(SpnegoError, read_challenges, [data])
    if token:
        hold(len(token) <= MAXIMUM_TOKEN_BYTES, "too large")
        same(read_challenges([b"Negotiate " + write_token(token)]), token, "written anew")
        same(refused(SpnegoError, read_challenges, [data, data]), None, "twice")
