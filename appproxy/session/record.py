"""
The record of a session as it stands in the store, sealed, and the pointer to it
that cookies carry. Pure.
"""

from __future__ import annotations

import math
import re
import secrets
import struct
from dataclasses import dataclass, field
from typing import Any, Final

from appproxy.model.principal import Principal
from appproxy.store.keys import SESSIONS, BadDocument, decode_document, encode_document
from appproxy.store.sealing import SealBroken, Sealer

_SESSION_ID: Final = re.compile(r"[0-9a-f]{32}\Z")
_POINTER: Final = struct.Struct(">16sQ")


def new_session_id() -> str:
    """128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)


def session_key(session_id: str) -> str:
    """
    The record's key in the store.

    @raise ValueError: if this is no session id.
    """
    if not _SESSION_ID.match(session_id):
        raise ValueError("a session id has 32 hexadecimal digits")
    return SESSIONS + session_id


def encode_pointer(session_id: str, now: float) -> bytes:
    """What a cookie says, before it is sealed: which session, and since when."""
    return _POINTER.pack(bytes.fromhex(session_id), int(now))


def decode_pointer(data: bytes) -> tuple[str, int]:
    """
    @return: the session's id, and when the pointer was made.
    @raise BadDocument: if it is none.
    """
    try:
        session_id, made_at = _POINTER.unpack(data)
    except struct.error as problem:
        raise BadDocument("a session's pointer has another size") from problem
    return session_id.hex(), made_at


@dataclass(frozen=True)
class Tokens:
    """
    What the provider gave at sign-in; none of it ever leaves the edge, except
    the ID token that the provider is reminded of at sign-out.

    @ivar provider_session: the provider's own session id (C{sid}).
    @ivar auth_time: when the user proved who they are, seconds since the epoch.
    @ivar methods: how (C{amr}, RFC 8176).
    """

    id_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    provider_session: str = ""
    auth_time: float = 0.0
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class SessionRecord:
    """
    One session.

    @ivar created_at: seconds since the epoch.
    @ivar expires_at: the end that no use of the session puts off.
    @ivar lease: the store's lease that the session ends with when it is idle.
    """

    principal: Principal
    tokens: Tokens
    created_at: float
    expires_at: float
    lease: int

    @property
    def session_id(self) -> str:
        """The session's id: the one that the principal carries."""
        return self.principal.session_id


def encode_record(record: SessionRecord, sealer: Sealer) -> bytes:
    """The sealed value of a record."""
    tokens = record.tokens
    document = {
        "principal": record.principal.as_dict(),
        "id_token": tokens.id_token,
        "refresh_token": tokens.refresh_token,
        "provider_session": tokens.provider_session,
        "auth_time": tokens.auth_time,
        "methods": list(tokens.methods),
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "lease": record.lease,
    }
    return sealer.seal(session_key(record.session_id), encode_document(document))


def decode_record(session_id: str, value: bytes, sealer: Sealer) -> SessionRecord:
    """
    The reverse of L{encode_record}.

    @raise BadDocument: if the value is not the sealed record of this session.
    """
    try:
        document = decode_document(sealer.unseal(session_key(session_id), value))
        record = SessionRecord(
            Principal.from_dict(document["principal"]),
            _tokens(document),
            _time(document["created_at"]),
            _time(document["expires_at"]),
            int(document["lease"]),
        )
    except (SealBroken, ValueError, KeyError, TypeError) as error:
        raise BadDocument(f"session {session_id[:8]} cannot be read: {error!r}") from None
    if record.session_id != session_id:
        raise BadDocument(f"session {session_id[:8]} holds another session's record")
    return record


def _tokens(document: dict[str, Any]) -> Tokens:
    return Tokens(
        str(document["id_token"]),
        str(document["refresh_token"]),
        str(document["provider_session"]),
        _time(document["auth_time"]),
        tuple(str(method) for method in document["methods"]),
    )


def _time(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError("a time is a number of seconds")
    return float(value)
