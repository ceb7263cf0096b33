"""
The streams that are open now, by session and by application, so that what ends
one of those ends its streams within the same turn of the reactor.
"""

from __future__ import annotations

from typing import Final, Protocol

from twisted.logger import Logger

from appproxy.model.refusal import Error, Refusal

_log: Final = Logger(__name__)

SESSION_ENDED: Final = Refusal(Error.SignInRequired, "session_ended")
APPLICATION_CHANGED: Final = Refusal(
    Error.ServiceUnavailable, "maintenance", "operator", "The application's settings have just changed."
)


class Endable(Protocol):
    """Something that can be told to stop at once."""

    @property
    def is_upgraded(self) -> bool:
        """Whether it is a WebSocket, or its like."""

    def cut(self, why: Refusal) -> None:
        """Break off: nothing more reaches the client, but that it is turned away."""


class LiveStreams:
    """The index of everything under way. Only ever as large as what is open."""

    def __init__(self) -> None:
        self._by_session: dict[str, set[Endable]] = {}
        self._by_application: dict[str, set[Endable]] = {}
        self.count = 0

    def add(self, exchange: Endable, session_id: str, application_id: str) -> None:
        """Enter one; an empty session id is an anonymous one's."""
        self.count += 1
        self._enter(self._by_application, application_id, exchange)
        if session_id:
            self._enter(self._by_session, session_id, exchange)

    def remove(self, exchange: Endable, session_id: str, application_id: str) -> None:
        """Take one out that was entered with the same arguments."""
        self.count -= 1
        self._discard(self._by_application, application_id, exchange)
        if session_id:
            self._discard(self._by_session, session_id, exchange)

    def end_session(self, session_id: str) -> int:
        """Cut everything of one session; says how many."""
        return self._cut(self._by_session.get(session_id), SESSION_ENDED)

    def end_application(self, application_id: str) -> int:
        """Cut everything of one application; says how many."""
        return self._cut(self._by_application.get(application_id), APPLICATION_CHANGED)

    def sessions(self) -> list[str]:
        """The sessions that something is open for."""
        return list(self._by_session)

    def upgraded(self) -> dict[str, int]:
        """How many upgraded connections each application has."""
        counted = {
            application_id: sum(each.is_upgraded for each in members)
            for application_id, members in self._by_application.items()
        }
        return {application_id: count for application_id, count in counted.items() if count}

    @staticmethod
    def _enter(index: dict[str, set[Endable]], key: str, exchange: Endable) -> None:
        members = index.get(key)
        if members is None:
            index[key] = {exchange}
        else:
            members.add(exchange)

    @staticmethod
    def _discard(index: dict[str, set[Endable]], key: str, exchange: Endable) -> None:
        members = index[key]
        members.discard(exchange)
        if not members:
            del index[key]

    def _cut(self, members: set[Endable] | None, why: Refusal) -> int:
        doomed = list(members or ())
        for exchange in doomed:
            try:
                exchange.cut(why)
            except Exception:
                # One that cannot be cut must not save the others.
                _log.failure("{event}: a stream could not be cut", event="bug", fault="ours")
        return len(doomed)
