"""
A token for each request: at once where the user's ticket is at hand, else when the KDC has given one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.kerberos.breaker import Breakers
from appproxy.kerberos.cache import TicketCache, TicketKey, Times
from appproxy.kerberos.causes import KDC_SILENT, Cause, KerberosError, Progress, Stage
from appproxy.kerberos.negotiation import Negotiation, Ticket
from appproxy.threads.errors import Overloaded
from appproxy.threads.pool import FairPool

if TYPE_CHECKING:
    # Which needs the optional library.
    from appproxy.kerberos.delegation import Delegator

    _Waiter = tuple[Deferred[Negotiation], "TokenForm"]

_SAYS_NOTHING: Final = KDC_SILENT | {
    Cause.overloaded,
    Cause.keytab_unusable,
    Cause.configuration,
    Cause.other,
}
"""Of whether the realm answers."""

__all__ = ["TicketKey", "TicketSettings", "Tickets", "TokenForm"]

_log = Logger(__name__)

SWEEP_SECONDS: Final = 60.0
"""So long an ended ticket may stay in memory."""

MAXIMUM_SHARED: Final = 256
"""Requests of one user that may wait for one ticket: more than a browser opens for any page."""


class TokenForm(Enum):
    """What is sent behind C{Negotiate }."""

    spnego = "spnego"
    kerberos = "kerberos"


@dataclass(frozen=True)
class TicketSettings:
    """
    @ivar deadline_seconds: how long a KDC may take for one user's tickets.
    @ivar queue_seconds: how long a request may wait for a thread while the KDC answers others.
    @ivar keep_seconds: how long a ticket is used.
    @ivar size: how many are kept.
    """

    deadline_seconds: float = 5.0
    queue_seconds: float = 30.0
    keep_seconds: float = 600.0
    size: int = 4096


class _Flight:
    """
    One ticket under way, and who waits for it.

    @ivar in_thread: whether a thread has begun.
    @ivar answers_before: how often the realms had answered by then.
    @ivar wanted: whether a ticket that comes late may be kept; not once the user has signed out.
    """

    __slots__ = (
        "account",
        "answers_before",
        "call",
        "in_thread",
        "key",
        "lane",
        "progress",
        "timer",
        "waiting",
        "wanted",
    )

    def __init__(self, key: TicketKey, account: str, lane: str, progress: Progress) -> None:
        self.key = key
        self.account = account
        self.lane = lane
        self.progress = progress
        self.in_thread = False
        self.answers_before = 0
        self.wanted = True
        self.waiting: list[_Waiter] = []
        self.timer: IDelayedCall | None = None
        self.call: Deferred[Ticket] | None = None

    def take_waiting(self) -> list[_Waiter]:
        """Those who wait; they are to be told now."""
        waiting, self.waiting = self.waiting, []
        return waiting


class Tickets:
    """
    All users' tickets of a connector.

    The deadline runs from when a thread begins: while a KDC answers, a burst of new users waits its turn.
    When one of them was not answered in time, and no other was meanwhile, all that wait fail at that moment,
    so nobody waits longer than the deadline for a KDC that says nothing. From then on L{Breakers} lets one
    call at a time try.

    @ivar hits: tokens made of a ticket at hand.
    @ivar misses: tokens for which a KDC was asked, or that waited for such a ticket.
    @ivar failures: how many tickets were not got, by cause.
    """

    def __init__(
        self,
        delegator: Delegator,
        pool: FairPool,
        clock: IReactorTime,
        now: Callable[[], float],
        settings: TicketSettings | None = None,
    ) -> None:
        """
        @param pool: its lanes are realms. It is stopped by whoever made it, after L{close}.
        @param now: the system's clock (C{time.time}).
        """
        self._delegator = delegator
        self._pool = pool
        self._clock = clock
        self._now = now
        self._settings = settings or TicketSettings()
        self._cache: TicketCache[Ticket] = TicketCache(self._settings.size, self._settings.keep_seconds)
        # Those that somebody may still join; and all whose call has not come back, late ones included.
        self._flights: dict[tuple[TicketKey, str], _Flight] = {}
        self._under_way: dict[_Flight, None] = {}
        self._breakers: Breakers[_Flight] = Breakers()
        self._sweeper: IDelayedCall | None = None
        self._closed = False
        self._told_of_form = False
        self.hits = 0
        self.misses = 0
        self.failures: dict[Cause, int] = dict.fromkeys(Cause, 0)

    @property
    def cached(self) -> int:
        """How many tickets are kept."""
        return len(self._cache)

    @property
    def silent_realms(self) -> int:
        """How many realms have missed the deadline and not answered since."""
        return len(self._breakers)

    def at_hand(self, key: TicketKey, account: str, form: TokenForm) -> Negotiation | None:
        """
        Authentication for one request, if the ticket for it is at hand: without a thread or the network.

        @param key: whose, and for which service: C{HTTP/host}, or C{HTTP/host@REALM} in another realm.
        @param account: C{sAMAccountName@REALM}, as the directory says.
        """
        ticket = self._cache.get(key, account, self._times())
        if ticket is None:
            return None
        try:
            negotiation = ticket.negotiate(form is TokenForm.spnego)
        except KerberosError:
            # It is of no use, whatever the reason: get another one.
            self._cache.drop(key)
            return None
        self.hits += 1
        return negotiation

    def negotiation(
        self, key: TicketKey, account: str, form: TokenForm
    ) -> Negotiation | Deferred[Negotiation]:
        """
        Authentication for one request.

        @param key: as for L{at_hand}.
        @return: at once if the ticket is at hand.
        @raise KerberosError: (as a failure) at which step it failed, and why.
        """
        negotiation = self.at_hand(key, account, form)
        if negotiation is not None:
            return negotiation
        self.misses += 1
        return self._wait_for_ticket(key, account, form)

    def replace(self, issuer: str, subject: str, spn: str) -> bool:
        """
        An application has not taken a user's ticket: use it no more, unless it is new. What is under way
        goes on.

        @return: whether the next one will be another.
        """
        return self._cache.drop_old(issuer, subject, spn, self._times())

    def forget(self, issuer: str, subject: str) -> None:
        """
        Drop a user's tickets. What is under way is not kept, and nobody gets a token of it.
        """
        self._cache.forget(issuer, subject)
        for flight in list(self._under_way):
            if flight.key[:2] == (issuer, subject):
                flight.wanted = False
                self._abandon(flight, CancelledError())

    def close(self) -> None:
        """Drop all tickets; whoever waits for one is told that the daemon stops."""
        self._closed = True
        self._cache.clear()
        for flight in list(self._under_way):
            flight.wanted = False
            self._abandon(flight, KerberosError(flight.progress.stage, Cause.overloaded, "stopping"))
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _wait_for_ticket(self, key: TicketKey, account: str, form: TokenForm) -> Deferred[Negotiation]:
        flight = self._flights.get((key, account))
        if flight is None:
            lane = self._lane(key, account)
            refused = self._refusal(lane)
            if refused is not None:
                return self._fail(refused)
            flight = self._begin(key, account, lane)
        elif len(flight.waiting) >= MAXIMUM_SHARED:
            return self._fail(KerberosError(flight.progress.stage, Cause.overloaded, "for one user"))
        waiter: Deferred[Negotiation] = Deferred(partial(self._leave, flight))
        flight.waiting.append((waiter, form))
        if flight.call is None:
            self._start(flight)
        return waiter

    def _fail(self, error: KerberosError) -> Deferred[Negotiation]:
        self.failures[error.cause] += 1
        return fail(error)

    def _lane(self, key: TicketKey, account: str) -> str:
        """The realms that have to answer; most often it is one."""
        home = self._delegator.realm
        realms = {home, account.rpartition("@")[2], key.spn.partition("@")[2] or home}
        return " ".join(sorted(realms))

    def _refusal(self, lane: str) -> KerberosError | None:
        if self._closed:
            return KerberosError(Stage.own_ticket, Cause.overloaded, "stopping")
        stage = self._breakers.refusal(lane)
        if stage is None:
            return None
        return KerberosError(stage, Cause.kdc_timeout, f"{lane} is silent; one request is trying it")

    def _begin(self, key: TicketKey, account: str, lane: str) -> _Flight:
        flight = self._flights[key, account] = _Flight(key, account, lane, Progress())
        self._under_way[flight] = None
        return flight

    def _start(self, flight: _Flight) -> None:
        """Ask for a thread. Of a silent realm the one that tries has no longer to wait than the deadline."""
        settings = self._settings
        trying = self._breakers.is_open(flight.lane)
        self._breakers.begin(flight.lane, flight)
        flight.timer = self._clock.callLater(
            settings.deadline_seconds if trying else settings.queue_seconds, self._too_late, flight
        )
        home = self._delegator.realm
        service = flight.key.spn if "@" in flight.key.spn else f"{flight.key.spn}@{home}"
        call = partial(self._delegator.ticket, flight.account, service, flight.progress)
        user = f"{flight.key.issuer} {flight.key.subject}"
        flight.call = self._pool.submit(flight.lane, user, call, partial(self._in_thread, flight))
        flight.call.addCallbacks(self._got, self._failed, callbackArgs=(flight,), errbackArgs=(flight,))

    def _in_thread(self, flight: _Flight) -> None:
        flight.in_thread = True
        flight.answers_before = self._breakers.answers(flight.lane)
        if flight.timer is not None and not self._breakers.is_open(flight.lane):
            flight.timer.reset(self._settings.deadline_seconds)

    def _too_late(self, flight: _Flight) -> None:
        flight.timer = None
        if flight.in_thread or self._breakers.is_open(flight.lane):
            self._missed_deadline(flight)
        else:
            error = KerberosError(flight.progress.stage, Cause.overloaded, "no thread was free in time")
            self._abandon(flight, error)

    def _missed_deadline(self, flight: _Flight) -> None:
        stage = flight.progress.stage
        is_open = self._breakers.is_open(flight.lane)
        if is_open or self._breakers.answers(flight.lane) == flight.answers_before:
            self._breakers.missed(flight.lane, flight, stage)
        if not is_open and self._breakers.is_open(flight.lane):
            self._fell_silent(flight.lane, stage)
        self._abandon(flight, self._timeout(stage))

    def _fell_silent(self, lane: str, stage: Stage) -> None:
        """All that wait for the same realm without a thread yet would wait in vain."""
        _log.warn(
            "No KDC of {realm} answered within {seconds} s: {stage}. One request at a time tries it.",
            realm=lane,
            seconds=self._settings.deadline_seconds,
            stage=stage.value,
            fault="operator",
        )
        for other in [each for each in self._flights.values() if each.lane == lane]:
            if not other.in_thread:
                self._abandon(other, self._timeout(stage))

    def _timeout(self, stage: Stage) -> KerberosError:
        return KerberosError(stage, Cause.kdc_timeout, f"no answer in {self._settings.deadline_seconds} s")

    def _leave(self, flight: _Flight, waiter: Deferred[Negotiation]) -> None:
        """Somebody waits no longer. Nobody else does: the call is not worth making, if it has not begun."""
        flight.waiting = [each for each in flight.waiting if each[0] is not waiter]
        if not flight.waiting and not flight.in_thread:
            self._abandon(flight, CancelledError())

    def _abandon(self, flight: _Flight, error: Exception) -> None:
        """
        Let nobody wait for a ticket any more. A call that waits for a thread is withdrawn; one that runs goes
        on, and what it brings still says whether the realm answers.
        """
        self._land(flight)
        waiting = flight.take_waiting()
        if flight.call is not None and not flight.in_thread:
            flight.call.cancel()
        self._tell_error(waiting, error)

    def _land(self, flight: _Flight) -> None:
        """Nobody can join it any more."""
        if flight.timer is not None:
            flight.timer.cancel()
            flight.timer = None
        if self._flights.get((flight.key, flight.account)) is flight:
            del self._flights[flight.key, flight.account]

    def _tell_error(self, waiting: list[_Waiter], error: Exception) -> None:
        if isinstance(error, KerberosError) and waiting:
            self.failures[error.cause] += 1
        for waiter, _ in waiting:
            # What the one before did with it may have cancelled this one.
            if not waiter.called:
                waiter.errback(error)

    def _got(self, ticket: Ticket, flight: _Flight) -> None:
        del self._under_way[flight]
        self._answered(flight)
        self._land(flight)
        if flight.wanted:
            self._keep(flight, ticket)
        for waiter, form in flight.take_waiting():
            if waiter.called:
                continue
            try:
                negotiation = ticket.negotiate(form is TokenForm.spnego)
            except KerberosError as error:
                waiter.errback(error)
            else:
                waiter.callback(negotiation)

    def _failed(self, failure: Failure, flight: _Flight) -> None:
        del self._under_way[flight]
        error = self._error_of(failure, flight)
        if isinstance(error, KerberosError) and error.cause not in _SAYS_NOTHING:
            self._answered(flight)
        else:
            self._breakers.ended(flight.lane, flight)
        self._land(flight)
        self._tell_error(flight.take_waiting(), error)

    def _error_of(self, failure: Failure, flight: _Flight) -> Exception:
        error = failure.value
        if isinstance(error, Overloaded):
            return KerberosError(flight.progress.stage, Cause.overloaded, str(error))
        if isinstance(error, (KerberosError, CancelledError)):
            # The thread's frames hold the user's tickets.
            return error.with_traceback(None)
        _log.failure("A ticket was not got", failure, fault="ours")
        return KerberosError(flight.progress.stage, Cause.other, type(error).__name__)

    def _answered(self, flight: _Flight) -> None:
        was_open = self._breakers.is_open(flight.lane)
        self._breakers.answered(flight.lane)
        if was_open:
            _log.info("A KDC of {realm} answers again.", realm=flight.lane)

    def _keep(self, flight: _Flight, ticket: Ticket) -> None:
        if not ticket.alone and not self._told_of_form:
            self._told_of_form = True
            _log.warn(
                "This libkrb5 writes tickets in another form than is known here: users' credentials are kept"
                " whole, which takes more memory and time, and may have it ask a KDC where it should not.",
                fault="ours",
            )
        self._cache.put(flight.key, flight.account, ticket, ticket.ends_at, self._times())
        if self._sweeper is None and self._cache:
            self._sweeper = self._clock.callLater(SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._cache.sweep(self._times())
        self._sweeper = self._clock.callLater(SWEEP_SECONDS, self._sweep) if self._cache else None

    def _times(self) -> Times:
        return Times(self._clock.seconds(), self._now())
