"""
The way of a browser from an application's host to the sign-in host and back.

The application's host gives the browser a random value (a C{__Host-} cookie)
and sends it off with a sealed request that holds the value's hash. The ticket
that comes back is good for 30 seconds, at that host, once, and only together
with that cookie: a ticket that somebody mails to somebody else signs nobody in.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from appproxy.session.cookies import SIGN_IN_COOKIE, set_cookie
from appproxy.session.keyring import Keyring
from appproxy.session.records import CookieProblem, NotHere, Sessions
from appproxy.session.return_url import return_target
from appproxy.session.seals import BadSeal, Purpose
from appproxy.session.spent import CLOCK_SKEW_SECONDS, spend
from appproxy.store.istore import IStore
from appproxy.store.patience import in_time

SIGN_IN_PATH: Final = "/.appproxy/sign-in"
TICKET_PATH: Final = "/.appproxy/ticket"

TICKET_SECONDS: Final = 30.0
"""One redirect's worth of time, on a slow line."""

REQUEST_SECONDS: Final = 3600.0
"""How long a request opens a sign-in; an older one is sent to its own host for a new one."""

BROWSER_SECONDS: Final = 2 * REQUEST_SECONDS
"""How long the browser's value is kept: sign-ins in other tabs may still be under way."""

_BROWSER_VALUE: Final = re.compile(rb"[A-Za-z0-9_-]{43}\Z")


class TicketRefused(Exception):
    """
    The ticket signs nobody in.

    @ivar why: for the log.
    @ivar retry_target: the path and query to try again at this host, or L{None}.
    """

    def __init__(self, why: str, retry_target: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.retry_target = retry_target


@dataclass(frozen=True)
class SignInRequest:
    """
    What the sign-in host needs to know, and nobody else can read or change.

    @ivar origin: scheme, host and port to come back to.
    @ivar target: path and query there.
    @ivar browser: hash of the value in the browser's cookie at that host.
    @ivar issued_at: seconds since the epoch.
    """

    origin: str
    target: str
    browser: str
    issued_at: float

    @property
    def host(self) -> bytes:
        """The host to come back to, without its port."""
        return host_of(self.origin)

    @property
    def url(self) -> str:
        """Where the user wanted to go."""
        return self.origin + self.target


@dataclass(frozen=True)
class SignInStart:
    """
    How to send a browser off.

    @ivar set_cookie: the Set-Cookie value to send along.
    @ivar sealed_request: the value of C{return}.
    @ivar location: the URL to redirect to.
    """

    set_cookie: bytes
    sealed_request: str
    location: str


@dataclass(frozen=True)
class SpentTicket:
    """A ticket that was good: whose session it is, and where to go (path and query)."""

    session_id: str
    target: str


def host_of(origin: str) -> bytes:
    """The host of an origin, as cookies and seals know it: lower case, no port, no brackets."""
    return (urlsplit(origin).hostname or "").encode("ascii")


class Handover:
    """
    Both ends of the way; each edge has both.

    @param auth_origin: scheme, host and port of the sign-in host.
    """

    def __init__(
        self, keyring: Keyring, sessions: Sessions, store: IStore, clock: IReactorTime, auth_origin: str
    ) -> None:
        self.auth_origin = auth_origin
        self._auth_host = host_of(auth_origin)
        self._keyring = keyring
        self._sessions = sessions
        self._store = store
        self._clock = clock

    def begin(self, origin: str, target: bytes, existing_cookie: bytes | None) -> SignInStart:
        """
        At an application's host: send a browser to sign in.

        @param origin: the application's own origin as published, never what a client says.
        @param target: the request target of a navigation, as it came.
        @param existing_cookie: the browser's L{SIGN_IN_COOKIE} at this host, if it
            has one; kept, so that several tabs can sign in at once.
        """
        value = existing_cookie
        if value is None or not _BROWSER_VALUE.match(value):
            value = secrets.token_urlsafe(32).encode()
        request = SignInRequest(origin, return_target(target), _hash(value), self._clock.seconds())
        sealed = self._keyring.seal(
            Purpose.SIGN_IN_REQUEST, self._auth_host, json.dumps(asdict(request)).encode()
        ).decode()
        cookie = set_cookie(SIGN_IN_COOKIE, value, max_age=BROWSER_SECONDS)
        return SignInStart(cookie, sealed, f"{self.auth_origin}{SIGN_IN_PATH}?return={sealed}")

    def read_request(self, sealed: bytes) -> SignInRequest:
        """
        At the sign-in host: what a browser was sent for. It may be stale; see L{is_stale}.

        @raise BadSeal: if it is not ours.
        """
        data = self._keyring.unseal(Purpose.SIGN_IN_REQUEST, self._auth_host, sealed)
        try:
            return SignInRequest(**json.loads(data))
        except (TypeError, ValueError):
            raise BadSeal("not the form of this version") from None

    def is_stale(self, request: SignInRequest) -> bool:
        """Whether a request is so old (a bookmark, a page left open) that its host must make a new one."""
        return self._clock.seconds() >= request.issued_at + REQUEST_SECONDS

    def make_ticket(self, request: SignInRequest, session_id: str) -> str:
        """
        At the sign-in host: the URL that brings the user back, good for once.
        """
        ticket = {
            "id": secrets.token_hex(16),
            "session": session_id,
            "target": request.target,
            "browser": request.browser,
            "issued_at": self._clock.seconds(),
        }
        sealed = self._keyring.seal(Purpose.TICKET, request.host, json.dumps(ticket).encode()).decode()
        return f"{request.origin}{TICKET_PATH}?ticket={sealed}"

    def spend_ticket(self, ticket: bytes, host: bytes, cookie: bytes | None) -> Deferred[SpentTicket]:
        """
        At an application's host: let a user in.

        @param host: the host that the ticket came to.
        @param cookie: the browser's L{SIGN_IN_COOKIE} at this host.
        @raise TicketRefused: (as a failure) if it is not for this host, this browser and this moment.
        @raise StoreError: (as a failure) if nobody can tell.
        @raise StoreAway: (as a failure) likewise.
        """
        return Deferred.fromCoroutine(self._spend_ticket(ticket, host, cookie))

    async def _spend_ticket(self, ticket: bytes, host: bytes, cookie: bytes | None) -> SpentTicket:
        try:
            fields = json.loads(self._keyring.unseal(Purpose.TICKET, host, ticket))
        except BadSeal:
            raise TicketRefused("not a ticket for this host") from None
        target = fields["target"]
        age = self._clock.seconds() - fields["issued_at"]
        if not -CLOCK_SKEW_SECONDS <= age < TICKET_SECONDS:
            raise TicketRefused("too old", target)
        # Before anything else: one that went astray is not left lying about for whoever it was meant for.
        if not await in_time(self._spend(fields["id"]), self._clock):
            raise TicketRefused("used before", target)
        if cookie is None or not hmac.compare_digest(_hash(cookie), fields["browser"]):
            raise TicketRefused("another browser's ticket", target)
        if not await self._lives(fields["session"], host):
            raise TicketRefused("its session has ended", target)
        return SpentTicket(fields["session"], target)

    def _spend(self, ticket_id: str) -> Deferred[bool]:
        return spend(self._store, "ticket", bytes.fromhex(ticket_id), TICKET_SECONDS + CLOCK_SKEW_SECONDS)

    async def _lives(self, session_id: str, host: bytes) -> bool:
        """Ask as a request with the new cookie would be asked."""
        await self._sessions.fetch(session_id)
        try:
            return self._sessions.open_cookie(self._sessions.cookie(session_id, host), host) is not None
        except (CookieProblem, NotHere):
            return False


def _hash(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()
