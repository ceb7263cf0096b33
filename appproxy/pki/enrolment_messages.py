"""
What is said at enrolment: one JSON object each way, its length before it in
four bytes, over TLS with the ALPN C{appproxy-enroll/1}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

ALPN: Final = b"appproxy-enroll/1"

MAXIMUM_MESSAGE_SIZE: Final = 32 << 10
"""A signing request, or a chain and its root, with room to spare."""

MAXIMUM_NAME_LENGTH: Final = 63

DEADLINE: Final = 10.0
"""
Seconds for one enrolment: a message each way, some KB with TLS, and one write to the store. Who was too slow
asks again with the same token, and gets the same certificate.
"""

_LENGTH_SIZE: Final = 4
_VERSION: Final = 1
_NAME: Final = re.compile(rf"[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,{MAXIMUM_NAME_LENGTH - 1}}})?\Z")
_REASON: Final = re.compile(r"[a-z_]{1,40}\Z")


class BadMessage(Exception):
    """The peer does not speak this protocol."""


class EnrolmentRefused(Exception):
    """
    The edge says no.

    @ivar reason: C{token_unknown} (never was, or expired), C{token_used} (with another
        key), C{csr_...}, C{issuer_away}, C{unavailable}.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class EnrolmentRequest:
    """
    @ivar secret: the token's.
    @ivar csr: PEM; it may name nothing.
    @ivar name: what the holder would like to be called, if the token does not say.
    """

    secret: str = field(repr=False)
    csr: str
    name: str = ""


@dataclass(frozen=True)
class EnrolmentAnswer:
    """
    @ivar certificate: the chain (PEM), the holder's first.
    @ivar ca: the root (PEM).
    @ivar group: the connector group; empty for others than connectors.
    @ivar addresses: C{host:port} to dial for tunnels; empty: those of the token.
    """

    id: str
    name: str
    role: str
    group: str
    certificate: str
    ca: str
    addresses: tuple[str, ...] = ()


def is_name(text: str) -> bool:
    """Whether a text can name a connector: letters, digits, C{.}, C{_}, C{-}."""
    return _NAME.match(text) is not None


def encode_request(request: EnrolmentRequest) -> bytes:
    """A request as it is sent."""
    return _frame(asdict(request))


def encode_answer(answer: EnrolmentAnswer) -> bytes:
    """An answer as it is sent."""
    return _frame(asdict(answer))


def encode_refusal(reason: str) -> bytes:
    """A refusal as it is sent."""
    return _frame({"refused": reason})


def decode_request(content: bytes) -> EnrolmentRequest:
    """
    @raise BadMessage: if this is no request.
    """
    plain = _plain(content)
    if set(plain) != {"secret", "csr", "name"} or not _are_texts(plain.values()):
        raise BadMessage("not a request")
    if plain["name"] and not is_name(plain["name"]):
        raise BadMessage("not a name")
    return EnrolmentRequest(**plain)


def decode_answer(content: bytes) -> EnrolmentAnswer:
    """
    @raise EnrolmentRefused: if the edge said no.
    @raise BadMessage: if this is no answer.
    """
    plain = _plain(content)
    if set(plain) == {"refused"} and _are_texts(plain.values()):
        reason = plain["refused"]
        raise EnrolmentRefused(reason if _REASON.match(reason) else "unavailable")
    addresses = plain.pop("addresses", None)
    if set(plain) != set(EnrolmentAnswer.__dataclass_fields__) - {"addresses"} or not isinstance(
        addresses, list
    ):
        raise BadMessage("not an answer")
    if not _are_texts((*plain.values(), *addresses)):
        raise BadMessage("not texts")
    return EnrolmentAnswer(**plain, addresses=tuple(addresses))


class MessageReader:
    """Collects the one message that a side is sent, whatever its pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> bytes | None:
        """
        @return: the message, once it is complete.
        @raise BadMessage: if it is too long, or more follows.
        """
        self._buffer += data
        if len(self._buffer) < _LENGTH_SIZE:
            return None
        length = int.from_bytes(self._buffer[:_LENGTH_SIZE], "big")
        if length > MAXIMUM_MESSAGE_SIZE or len(self._buffer) > _LENGTH_SIZE + length:
            raise BadMessage("too long")
        return bytes(self._buffer[_LENGTH_SIZE:]) if len(self._buffer) == _LENGTH_SIZE + length else None


def _frame(plain: dict[str, Any]) -> bytes:
    content = json.dumps({"v": _VERSION, **plain}).encode()
    return len(content).to_bytes(_LENGTH_SIZE, "big") + content


def _plain(content: bytes) -> dict[str, Any]:
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError):
        raise BadMessage("not JSON") from None
    if not isinstance(plain, dict) or plain.pop("v", None) != _VERSION:
        raise BadMessage("not of this version")
    return plain


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)
