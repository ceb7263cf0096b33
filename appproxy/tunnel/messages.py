"""
What is inside the frames: section 4 of C{docs/tunnel.md}.

Each message packs to a frame's payload and unpacks from one; a payload that
does not fit its layout is a L{TunnelError}.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from struct import Struct
from typing import Final, Literal, NamedTuple

from mypy_extensions import i64, mypyc_attr

from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.frames import MAX_NUMBER, u32_at
from appproxy.tunnel.settings import BOUNDS, CHANGEABLE, PeerSettings, TunnelSettings

Role = Literal["opener", "acceptor"]

LOWEST_VERSION: Final = 1
HIGHEST_VERSION: Final = 1

UNTIL_END: Final = -1
"""The body's length is known only when it ends."""
NO_BODY: Final = -2
"""There is no body and none may follow."""

ANONYMOUS: Final = 0
NO_DIGEST: Final = bytes(8)
MAX_BODY: Final = (1 << 63) - 1
MAX_TOKEN: Final = 64
MAX_DETAIL: Final = 512

_BEGINNING: Final = Struct(">BBIIQq")
_OPEN_SIZE: Final = 68
_DIGEST_AT: Final = 34
_TRANSACTION_AT: Final = 42
_TRANSACTION_SIZE: Final = 26
_UPGRADE: Final = 0x01
_STAY: Final = 0x02
_ASK: Final = 0x04
_U32: Final = Struct(">I")
_U64: Final = Struct(">Q")
_PRINCIPAL: Final = Struct(">II")


def _bad(what: str) -> TunnelError:
    return TunnelError("bad_message", what)


@mypyc_attr(acyclic=True)
@dataclass(slots=True, init=False)
class OpenMessage:
    """
    OPEN: one request that begins.

    @ivar deadline_ms: how long the opener waits for the answer's head; 0 = for ever.
    @ivar transaction_id: 26 letters and digits.
    @ivar application: the application's id in the catalog.
    @ivar revision: the catalog revision that the opener judged by.
    @ivar principal_number: 0 for anonymous.
    @ivar principal_digest: the first 8 bytes of the SHA-256 of the principal's claims.
    @ivar body: bytes of body that follow, L{UNTIL_END} or L{NO_BODY}.
    @ivar upgrade: whether the request asks to leave HTTP.
    @ivar head: the request head (L{appproxy.httpwire.wire_heads}).
    @ivar client_connection: the opener's number of the client's connection, to
        which a backend connection may be bound; 0 = none.
    @ivar stay: whether the request has to go where the last one of its client
        connection went; for relays, which otherwise choose anew.
    @ivar ask: whether it is a question to a connector, and no request for a backend.
    """

    deadline_ms: int
    transaction_id: str
    application: str
    revision: int
    principal_number: int
    principal_digest: bytes
    body: int
    upgrade: bool
    head: bytes
    client_connection: int
    stay: bool
    ask: bool

    def __init__(
        self,
        deadline_ms: int,
        transaction_id: str,
        application: str,
        revision: int,
        principal_number: int,
        principal_digest: bytes,
        body: int,
        upgrade: bool,
        head: bytes,
        client_connection: int = 0,
        stay: bool = False,
        ask: bool = False,
    ) -> None:
        self.deadline_ms = deadline_ms
        self.transaction_id = transaction_id
        self.application = application
        self.revision = revision
        self.principal_number = principal_number
        self.principal_digest = principal_digest
        self.body = body
        self.upgrade = upgrade
        self.head = head
        self.client_connection = client_connection
        self.stay = stay
        self.ask = ask

    def pack(self, beginning: Beginning | None = None) -> bytes:
        """
        The payload of an OPEN frame.

        @param beginning: of this message, or of one that begins like it.
        @raise ValueError: if a value does not fit.
        """
        if beginning is None:
            beginning = Beginning(self)
        digest, transaction = self.principal_digest, self.transaction_id.encode()
        if len(transaction) != _TRANSACTION_SIZE or len(digest) != 8:
            raise ValueError("an OPEN message is out of bounds")
        return b"%b%b%b%b%b%b" % (
            beginning.fixed,
            _U64.pack(self.client_connection),
            digest,
            transaction,
            beginning.name,
            self.head,
        )

    @classmethod
    def unpack(cls, payload: bytes) -> OpenMessage:
        """
        The reverse of L{pack}.

        @raise TunnelError: C{bad_message}.
        """
        if len(payload) <= _OPEN_SIZE:
            raise _bad("OPEN is too short")
        options, size = payload[0], payload[1]
        number = u32_at(payload, 6)
        body: int = _long_at(payload, 18)
        start = _OPEN_SIZE + size
        if body < NO_BODY or number > MAX_NUMBER or not size or len(payload) < start:
            raise _bad("OPEN is out of bounds")
        try:
            names = payload[_TRANSACTION_AT:start].decode("ascii")
        except UnicodeDecodeError:
            names = ""
        transaction = names[:_TRANSACTION_SIZE]
        if not transaction.isalnum():
            raise _bad("OPEN has a bad transaction or application")
        upgrade = bool(options & _UPGRADE)
        if upgrade and body != NO_BODY:
            raise _bad("OPEN asks for an upgrade and has a body")
        if options & _ASK and (upgrade or body != NO_BODY or number):
            raise _bad("OPEN is a question and has more than a head")
        return OpenMessage(
            u32_at(payload, 2),
            transaction,
            names[_TRANSACTION_SIZE:],
            _unsigned_long_at(payload, 10),
            number,
            payload[_DIGEST_AT:_TRANSACTION_AT],
            body,
            upgrade,
            payload[start:],
            _unsigned_long_at(payload, 26),
            bool(options & _STAY),
            bool(options & _ASK),
        )


def _unsigned_long_at(payload: bytes, offset: i64) -> int:
    number: int = _long_at(payload, offset)
    return number if number >= 0 else number + (1 << 64)


def _long_at(payload: bytes, offset: i64) -> i64:
    high: i64 = u32_at(payload, offset)
    if high >= 1 << 31:
        high -= 1 << 32
    return high << 32 | u32_at(payload, offset + 4)


class Beginning:
    """
    What OPEN begins with: the same for many requests of one user, and worth keeping.

    @ivar fixed: up to the body's length.
    @ivar name: the application's.
    """

    __slots__ = (
        "_application",
        "_body",
        "_deadline_ms",
        "_options",
        "_principal_number",
        "_revision",
        "fixed",
        "name",
    )

    def __init__(self, message: OpenMessage) -> None:
        """
        @raise ValueError: if a value does not fit.
        """
        self._application = message.application
        self._deadline_ms = message.deadline_ms
        self._principal_number = message.principal_number
        self._revision = message.revision
        self._body = message.body
        self._options = message.upgrade | message.stay << 1 | message.ask << 2
        self.name = message.application.encode()
        size = len(self.name)
        if not 0 < size <= 255 or self._body < NO_BODY:
            raise ValueError("an OPEN message is out of bounds")
        self.fixed: bytes = _BEGINNING.pack(
            self._options, size, self._deadline_ms, self._principal_number, self._revision, self._body
        )

    def fits(self, message: OpenMessage) -> bool:
        """Whether this message begins so, too."""
        return (
            self._application == message.application
            and self._deadline_ms == message.deadline_ms
            and self._principal_number == message.principal_number
            and self._revision == message.revision
            and self._body == message.body
            and self._options == message.upgrade | message.stay << 1 | message.ask << 2
        )


class PeerHello(NamedTuple):
    """
    HELLO as the peer sent it.

    @ivar version: the version that both sides speak from now on.
    """

    version: int
    role: str
    software: str
    features: frozenset[str]
    settings: PeerSettings


def pack_hello(role: Role, settings: TunnelSettings) -> bytes:
    """The payload of HELLO."""
    return _json(
        {
            "versions": [LOWEST_VERSION, HIGHEST_VERSION],
            "role": role,
            "software": settings.software,
            "features": list(settings.features),
            "settings": {name: getattr(settings, name) for name in BOUNDS},
        }
    )


def unpack_hello(payload: bytes) -> PeerHello:
    """
    Read a peer's HELLO.

    @raise TunnelError: C{bad_message}, or C{version} if there is none in common.
    """
    plain = _object(payload)
    role, software, features = plain.get("role"), plain.get("software", ""), plain.get("features", [])
    if role not in ("opener", "acceptor"):
        raise _bad("HELLO has no role")
    if not isinstance(software, str) or len(software) > MAX_TOKEN or not software.isprintable():
        raise _bad("HELLO has a bad software name")
    if not isinstance(features, list) or not all(isinstance(each, str) for each in features):
        raise _bad("HELLO has bad features")
    settings = _announced(plain.get("settings", {}), frozenset(BOUNDS))
    return PeerHello(
        _common_version(plain.get("versions")),
        role,
        software,
        frozenset(features),
        replace(PeerSettings(), **settings),
    )


def _common_version(versions: object) -> int:
    if (
        not isinstance(versions, list)
        or len(versions) != 2
        or not all(type(each) is int for each in versions)
    ):
        raise _bad("HELLO has no versions")
    lowest, highest = max(versions[0], LOWEST_VERSION), min(versions[1], HIGHEST_VERSION)
    if lowest > highest:
        raise TunnelError("version", f"the peer speaks {versions[0]} to {versions[1]}")
    return int(highest)


def pack_settings(changes: dict[str, int]) -> bytes:
    """The payload of SETTINGS."""
    return _json(dict(changes))


def unpack_settings(payload: bytes, before: PeerSettings) -> PeerSettings:
    """
    The peer's settings after this SETTINGS frame.

    @raise TunnelError: C{bad_message}.
    """
    return replace(before, **_announced(_object(payload), CHANGEABLE))


def _announced(plain: object, names: frozenset[str]) -> dict[str, int]:
    if not isinstance(plain, dict):
        raise _bad("settings are not an object")
    known = {name: value for name, value in plain.items() if name in names}
    for name, value in known.items():
        lowest, highest = BOUNDS[name]
        if type(value) is not int or not lowest <= value <= highest:
            raise _bad(f"setting {name} is out of bounds")
    return known


def _json(plain: dict[str, object]) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()


def _object(payload: bytes) -> dict[str, object]:
    try:
        plain = json.loads(payload)
    except (ValueError, RecursionError):
        raise _bad("not JSON") from None
    if not isinstance(plain, dict):
        raise _bad("not a JSON object")
    return plain


def pack_reason(reason: str, detail: str, number: int | None = None) -> bytes:
    """The payload of RESET; with C{number}, of GOAWAY."""
    token = reason.encode("ascii")[:MAX_TOKEN]
    text = detail.encode("utf-8", "replace")[:MAX_DETAIL]
    prefix = b"" if number is None else _U32.pack(number)
    return prefix + bytes((len(token),)) + token + text


def unpack_reason(payload: bytes) -> tuple[str, str]:
    """
    Reason and detail of RESET.

    @raise TunnelError: C{bad_message}.
    """
    size = payload[0] if payload else 0
    token = payload[1 : 1 + size]
    if not size or size > MAX_TOKEN or len(token) != size or not token.replace(b"_", b"").isalnum():
        raise _bad("no reason")
    # The detail ends up in logs and on pages: no control characters, whatever the peer sent.
    text = payload[1 + size : 1 + size + MAX_DETAIL].decode("utf-8", "replace")
    return token.decode("ascii"), "".join(each if each.isprintable() else " " for each in text)


def unpack_go_away(payload: bytes) -> tuple[int, str, str]:
    """
    The last stream that will be served, reason and detail of GOAWAY.

    @raise TunnelError: C{bad_message}.
    """
    if len(payload) < 4:
        raise _bad("GOAWAY is too short")
    return (_U32.unpack_from(payload)[0], *unpack_reason(payload[4:]))


def pack_number(number: int) -> bytes:
    """The payload of WINDOW and FORGET."""
    return _U32.pack(number)


def unpack_number(payload: bytes) -> int:
    """
    The number of WINDOW (credit) or FORGET (principal), from 1 to 2^31 - 1.

    @raise TunnelError: C{bad_message}.
    """
    if len(payload) != 4:
        raise _bad("not a number")
    number: int = _U32.unpack(payload)[0]
    if not 0 < number <= MAX_NUMBER:
        raise _bad("a number is out of bounds")
    return number


def pack_long(number: int) -> bytes:
    """The payload of APPLIED and CLIENT_GONE."""
    return _U64.pack(number)


def unpack_long(payload: bytes) -> tuple[int, bytes]:
    """
    A 64 bit number and what follows it: APPLIED, CLIENT_GONE, CONFIG.

    @raise TunnelError: C{bad_message}.
    """
    if len(payload) < 8:
        raise _bad("not a long number")
    return _U64.unpack_from(payload)[0], payload[8:]


def pack_principal(number: int, claims: bytes, proof: bytes = b"") -> bytes:
    """The payload of PRINCIPAL."""
    return _PRINCIPAL.pack(number, len(claims)) + claims + proof


def unpack_principal(payload: bytes) -> tuple[int, bytes, bytes]:
    """
    Number, claims and proof of PRINCIPAL.

    @raise TunnelError: C{bad_message}.
    """
    if len(payload) < _PRINCIPAL.size:
        raise _bad("PRINCIPAL is too short")
    number, size = _PRINCIPAL.unpack_from(payload)
    end = _PRINCIPAL.size + size
    if end > len(payload) or not 0 < number <= MAX_NUMBER:
        raise _bad("PRINCIPAL is out of bounds")
    return number, payload[_PRINCIPAL.size : end], payload[end:]
