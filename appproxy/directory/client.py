"""
Searches with whichever connection to whichever server works. Everything here blocks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from appproxy.directory.account import Entry
from appproxy.directory.credential_cache import CredentialCache
from appproxy.directory.errors import DirectoryError, most_telling
from appproxy.directory.session import Scope, Session, SessionLost, client_context
from appproxy.directory.settings import DirectoryClientSettings, ServerAddress

IDLE_SECONDS: Final = 120.0
"""A connection that was idle for longer is not used: a firewall may have forgotten it, silently."""

AVOID_SECONDS: Final = 30.0
"""A server that failed is asked last for so long; if it refused us, for L{REFUSED_SECONDS}."""

ATTEMPTS: Final = 2
"""With a connection that was just made: a server may go away, or fall silent, once it has taken us."""

REFUSED_SECONDS: Final = 300.0
"""
A refused bind is not tried again for so long: a few wrong passwords in a quarter of an hour lock the account,
and every look-up would be one.
"""


class Call:
    """
    One look-up: what it waits for, and until when.

    @ivar deadline: on the client's clock; set anew when a thread begins.
    """

    def __init__(self, deadline: float, *, insistent: bool = False) -> None:
        """@param insistent: bind even where that was refused lately: an administrator wants to know."""
        self.deadline = deadline
        self.insistent = insistent
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._aborted = False

    @property
    def aborted(self) -> bool:
        """Whether nobody waits any more."""
        return self._aborted

    def use(self, session: Session | None) -> None:
        """
        This call waits for this connection from now on, or for none.

        @raise DirectoryError: if nobody waits for the call any more.
        """
        with self._lock:
            self._session = session
            if self._aborted and session is not None:
                self._session = None
                raise too_late()

    def abort(self) -> None:
        """Nobody waits for the call any more: let its thread go."""
        with self._lock:
            self._aborted = True
            if self._session is not None:
                self._session.abort()


def too_late() -> DirectoryError:
    """A look-up's time is up."""
    return DirectoryError("directory_timeout", "no answer within the time of a look-up")


class Client:
    """
    Connections to some servers, shared by threads: each has its own while it needs one.

    At most one connection is made at a time: if servers are silent, or Kerberos is, then one thread waits
    for that, and the others for the first one's result. Those who found one idle notice nothing.
    """

    def __init__(
        self,
        settings: DirectoryClientSettings,
        clock: Callable[[], float],
        report: Callable[[DirectoryError], None] = lambda error: None,
        cache: CredentialCache | None = None,
    ) -> None:
        """
        @param clock: monotonic, seconds.
        @param report: told, in any thread, that a server has begun to fail, or still fails L{AVOID_SECONDS}
            later; also where another one helped out.
        @param cache: for tickets; a new one unless given.
        """
        self._settings = settings
        self._clock = clock
        self._report = report
        self._lock = threading.Lock()
        self._idle: list[Session] = []
        self._opening = threading.Lock()
        self._failures = 0
        self._last_failure: DirectoryError | None = None
        self._avoid_until: dict[ServerAddress, float] = {}
        self._refused_until = 0.0
        self._cache = cache or CredentialCache(clock())
        self._closed = False

    def search(
        self,
        call: Call,
        base: str,
        query: str,
        scope: Scope,
        attributes: Sequence[str],
        size_limit: int = 0,
    ) -> list[Entry]:
        """
        Search; a connection that turns out to be dead is replaced.

        @raise DirectoryError: if no server answers, in time, or if one refuses.
        """
        attempts = 0
        while True:
            session, fresh = self._take(call)
            attempts += fresh
            try:
                call.use(session)
                found = session.search(base, query, scope, attributes, size_limit)
            except SessionLost as lost:
                if call.aborted:
                    # That was us; it says nothing about the server.
                    session.close()
                    raise too_late() from lost
                self._drop(session, lost.error, fresh=fresh)
                if attempts >= ATTEMPTS or self._clock() >= call.deadline:
                    raise lost.error from lost
            except DirectoryError:
                self._give_back(session)
                raise
            except BaseException:
                session.close()
                raise
            else:
                self._give_back(session)
                return found
            finally:
                call.use(None)

    def close(self) -> None:
        """Close what is idle, and whatever is given back later."""
        with self._lock:
            self._closed = True
        self._close_idle()

    def _take(self, call: Call) -> tuple[Session, bool]:
        """A connection, and whether it was just made."""
        session = self._take_idle()
        return (session, False) if session else self._open_or_wait(call)

    def _take_idle(self) -> Session | None:
        while True:
            with self._lock:
                session = self._idle.pop() if self._idle else None
            if session is None or self._clock() - session.used < IDLE_SECONDS:
                return session
            session.close()

    def _open_or_wait(self, call: Call) -> tuple[Session, bool]:
        failures = self._failures
        if not self._opening.acquire(timeout=max(0.0, call.deadline - self._clock())):
            raise too_late()
        try:
            # Meanwhile one may have been given back, or whoever had the lock found that there is none.
            if (idle := self._take_idle()) is not None:
                return idle, False
            refused = self._clock() < self._refused_until and not call.insistent
            if self._last_failure is not None and (refused or self._failures != failures):
                raise self._last_failure.again()
            return self._open(call), True
        finally:
            self._opening.release()

    def _open(self, call: Call) -> Session:
        """The first server that takes us; waited for even if nobody waits for the call: others will."""
        errors: list[DirectoryError] = []
        for server in self._in_order():
            if errors and self._clock() >= call.deadline:
                break
            try:
                return self._open_one(server)
            except DirectoryError as error:
                errors.append(error)
                self._failed_server(server, error)
        self._last_failure = most_telling(errors)
        self._failures += 1
        if self._last_failure.reason == "directory_refused":
            self._refused_until = self._clock() + REFUSED_SECONDS
        raise self._last_failure

    def _open_one(self, server: ServerAddress) -> Session:
        try:
            session = self._bound(server)
        except DirectoryError as error:
            kerberos = self._settings.bind == "keytab" and error.reason == "directory_refused"
            if not kerberos or not self._cache.renew(self._clock()):
                raise
            session = self._bound(server)
        self._cache.works()
        session.used = self._clock()
        self._avoid_until.pop(server, None)
        return session

    def _bound(self, server: ServerAddress) -> Session:
        session = Session(server, self._settings, client_context(self._settings), self._cache.name)
        session.open()
        return session

    def _in_order(self) -> list[ServerAddress]:
        """As configured, but those that failed lately come last."""
        now = self._clock()
        return sorted(self._settings.servers, key=lambda each: self._avoid_until.get(each, 0.0) > now)

    def _failed_server(self, server: ServerAddress, error: DirectoryError) -> None:
        now = self._clock()
        if self._avoid_until.get(server, 0.0) <= now:
            self._report(error)
        lasts = REFUSED_SECONDS if error.reason == "directory_refused" else AVOID_SECONDS
        self._avoid_until[server] = now + lasts

    def _drop(self, session: Session, error: DirectoryError, *, fresh: bool) -> None:
        """
        Give up a connection.

        Where one idle connection turns out to be dead, the others to this server are too, but a server
        that closed it may well take another one; one that is silent will not.
        """
        session.close()
        if fresh or error.reason == "directory_timeout":
            self._failed_server(session.server, error)
        if fresh:
            return
        with self._lock:
            dead = [each for each in self._idle if each.server == session.server]
            self._idle = [each for each in self._idle if each.server != session.server]
        for each in dead:
            each.close()

    def _give_back(self, session: Session) -> None:
        session.used = self._clock()
        with self._lock:
            if not self._closed:
                self._idle.append(session)
                return
        session.close()

    def _close_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            each.close()
