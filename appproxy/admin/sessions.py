"""
Who is signed in, and how that is ended: for one, for a user, for everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from pydantic import Field
from twisted.internet.defer import Deferred

from appproxy.admin.audit import audit
from appproxy.admin.errors import bad_request, not_found
from appproxy.admin.objects import MAXIMUM_LISTED, Row, rfc3339
from appproxy.admin.peer import Peer
from appproxy.admin.session_records import belongs_to, read_sessions, session_id_of
from appproxy.model.schema import Model
from appproxy.session.record import SessionRecord
from appproxy.store.istore import IStore
from appproxy.store.keys import SESSIONS
from appproxy.store.sealing import Sealer

ADMINISTRATOR: Final = "administrator"
"""Why a session ended, in its tombstone."""

_SHORT_ID: Final = 8
"""A session is called by the first characters of its id, as in the log."""


class SessionControl(Protocol):
    """What L{appproxy.session.records.Sessions} can end."""

    def end(self, session_id: str, why: str) -> Deferred[None]:
        """End a session, here and everywhere."""

    def end_many(self, session_ids: Sequence[str], why: str) -> Deferred[None]:
        """End several."""

    def end_all(self) -> Deferred[int]:
        """End every session and void every cookie; how many records there were."""


class EndRequest(Model):
    """
    Whose sessions are to end.

    @ivar user: by the name that assignments use; empty: everybody's, and then C{everybody} is set.
    """

    user: str = Field(default="", max_length=1024)
    everybody: bool = False


class SessionObjects:
    """
    Sessions as objects that can be listed, shown and deleted, and all at once.
    """

    def __init__(self, store: IStore, sealer: Sealer, control: SessionControl) -> None:
        """
        @param sealer: the one that the session records are sealed with.
        """
        self._store = store
        self._sealer = sealer
        self._control = control

    async def list_all(self) -> list[Row]:
        """User, begin and end of each; never its whole id, tokens or groups."""
        return [_row(record) for record in (await self._records())[:MAXIMUM_LISTED]]

    async def list_of(self, user: str) -> list[Row]:
        """The same of one user's; there may be none."""
        records = [record for record in await self._records() if belongs_to(record, user)]
        return [_row(record) for record in records[:MAXIMUM_LISTED]]

    async def show(self, name: str) -> Row:
        """The claims of one session's user."""
        record = await self._find(name)
        claims = record.principal.as_dict()
        del claims["session_id"]
        return {**_row(record), **claims}

    async def delete(self, name: str, peer: Peer) -> Row:
        """End one everywhere."""
        record = await self._find(name)
        await self._control.end(record.session_id, ADMINISTRATOR)
        session = record.session_id[:_SHORT_ID]
        audit(peer, "delete", f"sessions/{session}", 0)
        return {"id": session, "user": record.principal.label}

    async def end(self, request: EndRequest, peer: Peer) -> Row:
        """
        End a user's sessions, or everybody's.

        @raise AdminError: if the user has none.
        """
        if bool(request.user) == request.everybody:
            raise bad_request("give a user, or everybody")
        return await (self._end_everybody(peer) if request.everybody else self._end_of(request.user, peer))

    async def rotate_keys(self, peer: Peer) -> Row:
        """Replace the keys of all cookies, which ends every session."""
        ended = await self._control.end_all()
        audit(peer, "rotate", "keys/cookie", 0)
        return {"ended": ended}

    async def _end_of(self, user: str, peer: Peer) -> Row:
        records = await self._records()
        found = [record.session_id for record in records if belongs_to(record, user)]
        if not found:
            # Not silently: after an incident a mistyped name must not look like a success.
            raise not_found("session of", user, {record.principal.label for record in records})
        await self._control.end_many(found, ADMINISTRATOR)
        for session_id in found:
            audit(peer, "delete", f"sessions/{session_id[:_SHORT_ID]}", 0)
        return {"ended": len(found)}

    async def _end_everybody(self, peer: Peer) -> Row:
        listing = await self._store.list(SESSIONS)
        found = [session_id_of(item) for item in listing.items]
        await self._control.end_many(found, ADMINISTRATOR)
        audit(peer, "delete", "sessions", 0)
        return {"ended": len(found)}

    async def _records(self) -> list[SessionRecord]:
        return await read_sessions(self._store, self._sealer)

    async def _find(self, name: str) -> SessionRecord:
        if len(name) < _SHORT_ID:
            raise bad_request(f"a session is called by the first {_SHORT_ID} characters of its id")
        found = [record for record in await self._records() if record.session_id.startswith(name)]
        if len(found) != 1:
            raise not_found("session", name)
        return found[0]


def _row(record: SessionRecord) -> dict[str, Any]:
    return {
        "id": record.session_id[:_SHORT_ID],
        "user": record.principal.label,
        "created_at": rfc3339(record.created_at),
        "expires_at": rfc3339(record.expires_at),
    }
