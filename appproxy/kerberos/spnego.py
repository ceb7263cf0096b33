"""
SPNEGO (RFC 4178), as much of it as a client needs that offers Kerberos alone.

Ours and not the library's: asked for SPNEGO, it asks the KDC once for each mechanism, and
its error codes lose their meaning (docs/decisions.md). Pure.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

MAXIMUM_TOKEN_BYTES: Final = 64 * 1024
"""A user in many hundred groups makes tickets of some 48 KiB, Windows' own limit."""

_SPNEGO_OID: Final = bytes.fromhex("06062b0601050502")
_KRB5_OID: Final = bytes.fromhex("06092a864886f712010202")
_MICROSOFT_KRB5_OID: Final = bytes.fromhex("06092a864882f712010202")
"""Windows 2000's miscounted number of the same mechanism, which Windows still answers with."""

_APPLICATION_0: Final = 0x60
_NEG_TOKEN_RESPONSE: Final = 0xA1
_SEQUENCE: Final = 0x30
_OBJECT_IDENTIFIER: Final = 0x06
_OCTET_STRING: Final = 0x04
_ENUMERATED: Final = 0x0A
_FIELD_0: Final = 0xA0
"""The context tag of a sequence's first field; the others follow."""

_LONG_FORM: Final = 0x80


class SpnegoError(ValueError):
    """These bytes are no SPNEGO answer. The text says what is wrong, and quotes nothing."""


class State(Enum):
    """C{negState}: what the acceptor says of the negotiation."""

    accept_completed = 0
    accept_incomplete = 1
    reject = 2
    request_mic = 3


_STATES: Final = tuple(State)
"""By their numbers."""


class Response:
    """
    A C{NegTokenResp}.

    @ivar state: L{None} if it says nothing.
    @ivar is_kerberos: false if the acceptor chose a mechanism that was not offered.
    @ivar token: the mechanism's own token; empty if there is none.
    @ivar mic: C{mechListMIC}; empty if there is none.
    """

    __slots__ = ("is_kerberos", "mic", "state", "token")

    def __init__(
        self, state: State | None = None, is_kerberos: bool = True, token: bytes = b"", mic: bytes = b""
    ) -> None:
        self.state = state
        self.is_kerberos = is_kerberos
        self.token = token
        self.mic = mic


def _value(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    if size < _LONG_FORM:
        return bytes((tag, size)) + body
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_FORM | len(digits))) + digits + body


MECHANISMS: Final = _value(_SEQUENCE, _KRB5_OID)
"""The list that is offered, as C{mechListMIC} signs it."""


def wrap(token: bytes) -> bytes:
    """A C{NegTokenInit} that offers Kerberos alone, with its first token."""
    fields = _value(_FIELD_0, MECHANISMS) + _value(_FIELD_0 + 2, _value(_OCTET_STRING, token))
    return _value(_APPLICATION_0, _SPNEGO_OID, _value(_FIELD_0, _value(_SEQUENCE, fields)))


def is_response(reply: bytes) -> bool:
    """Whether a token can be a C{NegTokenResp}; a bare Kerberos token begins otherwise."""
    return len(reply) > 0 and reply[0] == _NEG_TOKEN_RESPONSE


def read_response(reply: bytes) -> Response:
    """
    Read a C{NegTokenResp}: DER only, each field once and in order, nothing behind it.

    @raise SpnegoError: if it is anything else.
    """
    if len(reply) > MAXIMUM_TOKEN_BYTES:
        raise SpnegoError(f"the answer is over {MAXIMUM_TOKEN_BYTES} bytes")
    fields = _fields(_only(_only(reply, _NEG_TOKEN_RESPONSE), _SEQUENCE))
    return Response(
        state=_state(fields[0]) if 0 in fields else None,
        is_kerberos=_is_kerberos(fields[1]) if 1 in fields else True,
        token=_only(fields[2], _OCTET_STRING) if 2 in fields else b"",
        mic=_only(fields[3], _OCTET_STRING) if 3 in fields else b"",
    )


def _fields(data: bytes) -> dict[int, bytes]:
    """The bodies of a sequence's fields 0 to 3."""
    found: dict[int, bytes] = {}
    last = -1
    while data:
        tag, body, data = _split(data)
        number = tag - _FIELD_0
        if not last < number <= 3:
            raise SpnegoError("its fields are unknown, repeated or in another order")
        found[number] = body
        last = number
    return found


def _state(data: bytes) -> State:
    body = _only(data, _ENUMERATED)
    if len(body) != 1 or body[0] >= len(_STATES):
        raise SpnegoError("its state is unknown")
    return _STATES[body[0]]


def _is_kerberos(data: bytes) -> bool:
    _only(data, _OBJECT_IDENTIFIER)
    return data in (_KRB5_OID, _MICROSOFT_KRB5_OID)


def _only(data: bytes, wanted: int) -> bytes:
    """The body of a value that is all there is."""
    tag, body, rest = _split(data)
    if tag != wanted:
        raise SpnegoError("it has another structure")
    if rest:
        raise SpnegoError("something follows where it should end")
    return body


def _split(data: bytes) -> tuple[int, bytes, bytes]:
    """The first value of some bytes: tag, body, what follows."""
    if len(data) < 2:
        raise SpnegoError("it breaks off")
    size, start = data[1], 2
    if size >= _LONG_FORM:
        size, start = _long_size(data)
    if len(data) - start < size:
        raise SpnegoError("it breaks off")
    return data[0], data[start : start + size], data[start + size :]


def _long_size(data: bytes) -> tuple[int, int]:
    start = 2 + (data[1] & ~_LONG_FORM)
    digits = data[2:start]
    size = int.from_bytes(digits, "big")
    if not digits or len(digits) > 3 or digits[0] == 0 or size < _LONG_FORM:
        raise SpnegoError("a length is not as DER writes it")
    return size, start
