"""
Keeps a tunnel to every address that a daemon was told of.

A tunnel that is about to close is replaced before it is gone, and so is one that was made with a
certificate that there is a newer one of. So two to one address may overlap: Twisted's C{ClientService}
keeps one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.tunnel.listener import TunnelListener
from appproxy.tunnel.messages import Role
from appproxy.tunnel.protocol import TunnelProtocol
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import TunnelSettings
from appproxy.tunnel.traffic import Traffic

_log: Final = Logger(__name__)

FIRST_DELAY_SECONDS: Final = 0.5
LONGEST_DELAY_SECONDS: Final = 30.0
"""A restarted edge is found at once; after an hour it is still looked for twice a minute."""

DELAY_FACTOR: Final = 1.5
LEAST_PART: Final = 0.5
"""
Of each delay, above which chance decides: a thousand connectors that lost the same edge at the same moment
come back spread evenly over half of the time that they wait, whatever that is by then.
"""

STABLE_SECONDS: Final = 30.0
"""A tunnel that lived this long starts the back-off anew."""


class DialledEnd(TunnelListener, Protocol):
    """
    The listener of a dialled tunnel's session.

    @ivar timed: is set to what wants to know of the answers to pings, a C{Callable[[bytes], None]}
        (which mypy, asked early, does not find in a class that has it).
    """

    timed: Any

    def attached(self, session: TunnelSession) -> None:
        """The session that this listens to."""

    def lost(self) -> None:
        """The connection is gone."""


E = TypeVar("E", bound=DialledEnd)

Connect = Callable[[str, IProtocolFactory], Deferred[Any]]
"""Dials an address; fires with the protocol that the factory built, once TLS is up."""

Unfit = Callable[[E, Any], str]
"""What is wrong with the peer of a transport that was dialled for this end; empty if nothing is."""


class Dialling(Generic[E]):
    """
    How a daemon dials.

    @ivar role: our role in the tunnels.
    @ivar make_end: makes the end of one tunnel to an address.
    @ivar traffic: what went through the tunnels so far.
    @ivar random: chance, from 0 up to 1.
    @ivar unfit: asked before a byte of the tunnel is sent or read.
    """

    def __init__(
        self,
        clock: IReactorTime,
        schedule: Callable[[Callable[[], None]], None],
        role: Role,
        settings: TunnelSettings,
        connect: Connect,
        make_end: Callable[[str], E],
        unfit: Unfit[E],
    ) -> None:
        self.clock = clock
        self.schedule = schedule
        self.role: Role = role
        self.settings = settings
        self.connect = connect
        self.make_end = make_end
        self.unfit = unfit
        self.traffic = Traffic()
        self.random: Callable[[], float] = random.random


def delay_seconds(attempts: int, chance: float) -> float:
    """
    How long to wait before the next attempt.

    @param attempts: that failed so far, since the last tunnel that lasted.
    @param chance: from 0 up to 1.
    """
    # Beyond this number the power would only overflow.
    longest = min(FIRST_DELAY_SECONDS * DELAY_FACTOR ** min(attempts, 64), LONGEST_DELAY_SECONDS)
    return longest * (LEAST_PART + (1 - LEAST_PART) * chance)


class DialledTunnel(TunnelProtocol, Generic[E]):
    """A tunnel that this side dialled, for one end."""

    def __init__(self, how: Dialling[E], end: E) -> None:
        self._how = how
        self._end = end
        TunnelProtocol.__init__(self, self._make_session, how.clock, how.schedule)
        end.timed = self.pong

    def unfit_peer(self) -> str:
        """Ask who knows."""
        return self._how.unfit(self._end, self.transport)

    def _make_session(self, wake: Callable[[], None]) -> TunnelSession:
        session = TunnelSession(self._how.role, self._how.settings, self._end, wake)
        self._end.attached(session)
        return session


class TunnelDialer(Generic[E]):
    """
    The tunnels to one address: one in use, older ones that drain.

    @ivar ends: all that are open.
    """

    def __init__(self, how: Dialling[E], address: str) -> None:
        self.ends: dict[E, TunnelProtocol] = {}
        self._how = how
        self._address = address
        self._attempts = 0
        self._current: E | None = None
        self._since = 0.0
        self._connecting: Deferred[Any] | None = None
        self._waiting: IDelayedCall | None = None
        self._stopped = False
        self._last_problem = ""
        # With the time at which each has to be gone.
        self._outdated: dict[E, float] = {}
        self._retiring: set[E] = set()
        # The same of a tunnel that is being dialled; 0 if that is up to date.
        self._replaced_by = 0.0

    def start(self) -> None:
        """Dial, and again whenever there is no tunnel in use."""
        if self._stopped or self._connecting is not None:
            return
        self._waiting = None
        end = self._how.make_end(self._address)
        factory = _OneTunnel(lambda: DialledTunnel(self._how, end))
        self._connecting = maybeDeferred(self._how.connect, self._address, factory)
        self._connecting.addCallbacks(self._connected, self._failed, callbackArgs=(end,))

    def replace(self, most_seconds: float) -> None:
        """
        Dial anew now; what is in use goes on until the new tunnel has L{settled}.

        @param most_seconds: what the streams of the tunnels that are open now may take after that.
        """
        if self._stopped:
            return
        ends_at = self._how.clock.seconds() + most_seconds
        for end in self.ends:
            self._outdated.setdefault(end, ends_at)
        if self._connecting is not None:
            # It may have begun with what is outdated now.
            self._replaced_by = ends_at
        elif self._outdated:
            self._dial_now()

    def settled(self, end: E) -> None:
        """This tunnel serves: those that it replaces take no more streams, and end with their last one."""
        if end not in self.ends or end in self._outdated:
            return
        now = self._how.clock.seconds()
        for old, ends_at in self._outdated.items():
            if old not in self._retiring:
                self._retiring.add(old)
                self.ends[old].retire(max(0.0, ends_at - now))

    def stop(self, drain_seconds: float) -> Deferred[Any]:
        """Dial no more, and let the streams of every tunnel end."""
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if self._connecting is not None:
            self._connecting.cancel()
        return DeferredList([protocol.retire(drain_seconds) for protocol in self.ends.values()])

    def leaving(self, end: E) -> None:
        """The other side is about to close this tunnel: look for the next one now."""
        if end is self._current:
            self._over()

    def _connected(self, protocol: TunnelProtocol, end: E) -> None:
        self._connecting = None
        if protocol.refused:
            self._replaced_by = 0.0
            self._no_tunnel(protocol.refused)
            return
        self.ends[end] = protocol
        self._how.traffic.follow(protocol)
        self._current = end
        self._last_problem = ""
        self._since = self._how.clock.seconds()
        _log.info("{event}: {address}", event="tunnel_up", address=self._address)
        protocol.lost.addCallback(lambda why: self._lost(end, why))
        if self._stopped:
            protocol.abort("stopping")
        elif self._replaced_by:
            self._outdated[end], self._replaced_by = self._replaced_by, 0.0
            self._dial_now()

    def _lost(self, end: E, why: str) -> None:
        del self.ends[end]
        self._outdated.pop(end, None)
        self._retiring.discard(end)
        end.lost()
        _log.info("{event}: {address}: {why}", event="tunnel_down", address=self._address, why=why)
        if end is self._current:
            self._over()

    def _over(self) -> None:
        """The tunnel in use is of no more use."""
        self._current = None
        if self._how.clock.seconds() - self._since > STABLE_SECONDS:
            self._attempts = 0
        self._again()

    def _failed(self, failure: Failure) -> None:
        self._connecting = None
        self._replaced_by = 0.0
        if not self._stopped:
            self._no_tunnel(failure.getErrorMessage() or type(failure.value).__name__)

    def _no_tunnel(self, problem: str) -> None:
        if problem != self._last_problem:
            # The same problem every half minute would hide everything else.
            self._last_problem = problem
            _log.warn(
                "{event}: no tunnel to {address}: {problem}",
                event="tunnel_failed",
                address=self._address,
                problem=problem,
                fault="operator",
            )
        self._again()

    def _again(self) -> None:
        if self._stopped or self._waiting is not None or self._connecting is not None:
            return
        delay = delay_seconds(self._attempts, self._how.random())
        self._attempts += 1
        self._waiting = self._how.clock.callLater(delay, self.start)

    def _dial_now(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self.start()


class TunnelDialers(Generic[E]):
    """
    The tunnels of one daemon.

    @param addresses: C{host:port}, each dialled once.
    @ivar traffic: what went through them.
    """

    def __init__(self, how: Dialling[E], addresses: Sequence[str]) -> None:
        self.traffic = how.traffic
        self._dialers = [TunnelDialer(how, address) for address in dict.fromkeys(addresses)]

    def start(self) -> None:
        """Dial every address."""
        for dialer in self._dialers:
            dialer.start()

    def stop(self, drain_seconds: float) -> Deferred[Any]:
        """Let what is under way end."""
        return DeferredList([dialer.stop(drain_seconds) for dialer in self._dialers])

    def replace(self, most_seconds: float) -> None:
        """
        Make every tunnel anew: there is another certificate to show.

        @param most_seconds: how long streams of the tunnels that are open now may go on.
        """
        for dialer in self._dialers:
            dialer.replace(most_seconds)

    def settled(self, end: E) -> None:
        """A new tunnel serves, and can do without those that it replaces."""
        for dialer in self._dialers:
            dialer.settled(end)

    @property
    def ends(self) -> list[E]:
        """Every open tunnel's end."""
        return [end for dialer in self._dialers for end in dialer.ends]

    @property
    def tunnels(self) -> list[tuple[E, TunnelProtocol]]:
        """Every open tunnel with its end."""
        return [each for dialer in self._dialers for each in dialer.ends.items()]

    def leaving(self, end: E) -> None:
        """A tunnel is about to be closed by the other side."""
        for dialer in self._dialers:
            if end in dialer.ends:
                dialer.leaving(end)


class _OneTunnel(Factory):
    noisy = False

    def __init__(self, build: Callable[[], TunnelProtocol]) -> None:
        self._build = build

    def buildProtocol(self, addr: object) -> TunnelProtocol:
        return self._build()
