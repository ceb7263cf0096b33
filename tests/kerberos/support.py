"""What stands for KDC and threads where a test says when they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from appproxy.kerberos.causes import Cause, KerberosError, Progress, Stage
from appproxy.kerberos.tickets import TicketKey, Tickets, TicketSettings, TokenForm
from appproxy.threads.pool import FairPool

if TYPE_CHECKING:
    from appproxy.kerberos.delegation import Delegator
    from appproxy.kerberos.negotiation import Negotiation
    from appproxy.kerberos.service_ticket import ServiceTicket

REALM = "CORP.EXAMPLE.COM"
WIKI = "HTTP/wiki.corp.example.com"


class HandedTicket:
    """
    A ticket whose tokens say whose they are.

    @ivar broken: whether it can no longer be used.
    """

    alone = True

    def __init__(self, account: str, service: str, ends_at: float) -> None:
        self.account = account
        self.service = service
        self.ends_at = ends_at
        self.broken = False
        self.made = 0

    def negotiate(self, wrapped: bool) -> str:
        """A token; another one each time."""
        if self.broken:
            raise KerberosError(Stage.s4u2proxy, Cause.ticket_expired)
        self.made += 1
        return f"{self.account} to {self.service} #{self.made}" + (" wrapped" if wrapped else "")


class HandedCall:
    """
    A call that was given to the pool.

    @ivar cancelled: whether it was withdrawn, or its result refused.
    """

    def __init__(self, lane: str, user: str, call: Callable[[], Any], started: Callable[[], None] | None):
        self.lane = lane
        self.user = user
        self.cancelled = False
        self._call = call
        self._started = started
        self.result: Deferred[Any] = Deferred(self._cancel)

    def start(self) -> None:
        """It gets a thread."""
        assert self._started is not None
        self._started()

    def finish(self, error: Exception | None = None) -> None:
        """It returns, or fails."""
        if error is None:
            self.result.callback(self._call())
        else:
            self.result.errback(error)

    def _cancel(self, result: Deferred[Any]) -> None:
        self.cancelled = True
        result.errback(CancelledError())


class HandedPool:
    """A pool whose threads are the test."""

    def __init__(self) -> None:
        self.calls: list[HandedCall] = []

    def submit(
        self, lane: str, user: str, call: Callable[[], Any], started: Callable[[], None] | None = None
    ) -> Deferred[Any]:
        """As L{FairPool.submit}."""
        self.calls.append(HandedCall(lane, user, call, started))
        return self.calls[-1].result


class HandedDelegator:
    """
    A delegator that always succeeds.

    @ivar lifetime: of its tickets, in seconds.
    """

    realm = REALM

    def __init__(self, clock: Clock) -> None:
        self.lifetime = 36_000.0
        self.made: list[HandedTicket] = []
        self._clock = clock

    def ticket(self, principal: str, service: str, progress: Progress) -> ServiceTicket:
        """As L{Delegator.ticket}."""
        progress.stage = Stage.s4u2proxy
        self.made.append(HandedTicket(principal, service, self._clock.seconds() + self.lifetime))
        return cast("ServiceTicket", self.made[-1])


class TicketDesk:
    """L{Tickets} with all that is around them in the test's hand."""

    def __init__(self, settings: TicketSettings | None = None) -> None:
        self.clock = Clock()
        self.pool = HandedPool()
        self.delegator = HandedDelegator(self.clock)
        self.tickets = Tickets(
            cast("Delegator", self.delegator),
            cast(FairPool, self.pool),
            self.clock,
            self.clock.seconds,
            settings or TicketSettings(),
        )

    def ask(
        self, subject: str = "anna", spn: str = WIKI, form: TokenForm = TokenForm.spnego, account: str = ""
    ) -> Negotiation | Deferred[Negotiation]:
        """A request of this user."""
        key = TicketKey("https://id.example.com", subject, f"S-1-{subject}", spn)
        return self.tickets.negotiation(key, account or f"{subject}@{REALM}", form)

    def wait(self, subject: str = "anna", spn: str = WIKI) -> Deferred[Negotiation]:
        """A request that has to wait."""
        result = self.ask(subject, spn)
        assert isinstance(result, Deferred)
        return result
