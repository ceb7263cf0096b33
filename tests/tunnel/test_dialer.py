"""
Tests of L{appproxy.tunnel.dialer}, on lines in memory.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from appproxy.tunnel.dialer import (
    FIRST_DELAY_SECONDS,
    LONGEST_DELAY_SECONDS,
    STABLE_SECONDS,
    Dialling,
    TunnelDialers,
    delay_seconds,
)
from appproxy.tunnel.protocol import TunnelProtocol
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import TunnelSettings
from tests.tunnel.support import RecordingListener
from tests.tunnel.test_protocol import CountingTransport, Turns

ADDRESS = "relay.example:443"


class End(RecordingListener):
    """
    One end that was dialled.

    @ivar gone: whether it was told that the connection is.
    """

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self.timed: Callable[[bytes], None] = lambda payload: None
        self.gone = False
        self.session: TunnelSession | None = None

    def attached(self, session: TunnelSession) -> None:
        """Note the session."""
        self.session = session

    def lost(self) -> None:
        """Note the end."""
        self.gone = True


class DialerTests(SynchronousTestCase):
    """The tunnels of one daemon."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = Turns()
        self.dialled: list[tuple[str, IProtocolFactory, Deferred[Any]]] = []
        self.problem = ""
        self.dialers = self.make([ADDRESS])

    def make(self, addresses: list[str]) -> TunnelDialers[End]:
        """Dialers of these addresses."""
        how: Dialling[End] = Dialling(
            self.clock,
            self.turns,
            "acceptor",
            TunnelSettings(),
            self.connect,
            End,
            lambda end, transport: self.problem,
        )
        return TunnelDialers(how, addresses)

    def connect(self, address: str, factory: IProtocolFactory) -> Deferred[Any]:
        """Somebody dials; a test says how it goes."""
        waiting: Deferred[Any] = Deferred()
        self.dialled.append((address, factory, waiting))
        return waiting

    def answer(self) -> tuple[TunnelProtocol, CountingTransport]:
        """The newest call is answered."""
        _, factory, waiting = self.dialled[-1]
        protocol: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
        transport = CountingTransport()
        protocol.makeConnection(transport)
        waiting.callback(protocol)
        return protocol, transport

    def fail(self, why: Exception | None = None) -> None:  # type: ignore[override]
        """The newest call fails."""
        self.dialled[-1][2].errback(why or ConnectionRefusedError())

    def lose(self, protocol: TunnelProtocol) -> None:
        """A connection is gone."""
        protocol.connectionLost(Failure(ConnectionError("gone")))

    def wait(self, seconds: float = LONGEST_DELAY_SECONDS * 1.5) -> None:
        """Longer than any delay."""
        self.clock.advance(seconds)

    def test_each_once(self) -> None:
        """Every address is dialled, and each only once."""
        self.make([ADDRESS, "other.example:443", ADDRESS]).start()
        self.assertEqual([each[0] for each in self.dialled], [ADDRESS, "other.example:443"])

    def test_up(self) -> None:
        """A tunnel that is up has its end, session and protocol."""
        self.dialers.start()
        protocol, transport = self.answer()
        ((end, known),) = self.dialers.tunnels
        self.assertIs(known, protocol)
        self.assertIs(end.session, protocol.session)
        self.assertEqual((end.address, self.dialers.ends), (ADDRESS, [end]))
        self.turns.end()
        self.assertTrue(transport.value())
        end.timed(bytes(8))
        self.assertEqual(protocol.round_trip, self.clock.seconds())

    def test_again(self) -> None:
        """Whatever fails is tried again, ever more slowly, but not for less than once in a while."""
        self.dialers.start()
        times = []
        for _ in range(12):
            self.fail()
            before = self.clock.seconds()
            count = len(self.dialled)
            while len(self.dialled) == count:
                self.clock.advance(0.1)
            times.append(self.clock.seconds() - before)
        self.assertLess(times[0], 2)
        self.assertGreater(max(times), 10)
        self.assertLess(max(times), LONGEST_DELAY_SECONDS * 1.5)

    def test_spread(self) -> None:
        """
        A thousand that lose the same edge at once come back evenly spread over half of the longest delay:
        none before it, none after it, and no tenth of that time has more than its share and a third.
        """
        chance = random.Random(1)
        for attempts, longest in ((0, FIRST_DELAY_SECONDS), (3, 1.6875), (30, 30.0), (10**6, 30.0)):
            delays = [delay_seconds(attempts, chance.random()) for _ in range(1000)]
            self.assertGreaterEqual(min(delays), longest / 2)
            self.assertLessEqual(max(delays), longest)
            tenths = Counter(int((delay / longest - 0.5) * 20) for delay in delays)
            self.assertEqual(len(tenths), 10)
            self.assertLess(max(tenths.values()), 134)

    def test_chance_of_each(self) -> None:
        """Each attempt asks chance anew: two that came at the same time once do not go on so."""
        chances = iter((0.0, 1.0))
        for dialer in self.dialers._dialers:
            dialer._how.random = lambda: next(chances)
        self.dialers.start()
        self.fail()
        self.clock.advance(FIRST_DELAY_SECONDS / 2)
        self.assertEqual(len(self.dialled), 2)
        self.fail()
        self.clock.advance(FIRST_DELAY_SECONDS * 1.5 - 0.01)
        self.assertEqual(len(self.dialled), 2)
        self.clock.advance(0.02)
        self.assertEqual(len(self.dialled), 3)

    def test_cannot_even_dial(self) -> None:
        """An identity that cannot be used now may be usable later."""

        def connect(address: str, factory: IProtocolFactory) -> Deferred[Any]:
            raise ValueError("no certificate")

        self.dialers._dialers[0]._how.connect = connect
        self.dialers.start()
        self.dialers._dialers[0]._how.connect = self.connect
        self.wait()
        self.assertEqual(len(self.dialled), 1)

    def test_lost(self) -> None:
        """A tunnel that is lost is dialled anew; its end is told."""
        self.dialers.start()
        protocol, _ = self.answer()
        (end,) = self.dialers.ends
        self.lose(protocol)
        self.assertEqual((self.dialers.ends, end.gone), ([], True))
        self.wait()
        self.assertEqual(len(self.dialled), 2)

    def test_stable(self) -> None:
        """After a tunnel that lasted the first attempt comes soon."""
        self.dialers.start()
        for _ in range(10):
            self.fail()
            self.wait()
        protocol, _ = self.answer()
        self.clock.advance(STABLE_SECONDS + 1)
        self.lose(protocol)
        count = len(self.dialled)
        self.wait(2)
        self.assertEqual(len(self.dialled), count + 1)

    def test_stable_and_leaving(self) -> None:
        """So does the one that replaces a tunnel which lasted, however long that took to come up."""
        self.dialers.start()
        for _ in range(10):
            self.fail()
            self.wait()
        self.answer()
        self.clock.advance(STABLE_SECONDS + 1)
        (end,) = self.dialers.ends
        count = len(self.dialled)
        self.dialers.leaving(end)
        self.wait(2)
        self.assertEqual(len(self.dialled), count + 1)

    def test_leaving(self) -> None:
        """A tunnel that is about to close is replaced while its streams still go on; once only."""
        self.dialers.start()
        first, _ = self.answer()
        (end,) = self.dialers.ends
        self.dialers.leaving(end)
        self.dialers.leaving(end)
        self.wait(2)
        self.answer()
        self.assertEqual(len(self.dialers.ends), 2)
        self.lose(first)
        self.wait()
        self.assertEqual((len(self.dialers.ends), len(self.dialled)), (1, 2))
        self.dialers.leaving(end)
        self.wait()
        self.assertEqual(len(self.dialled), 2)

    def retired(self, protocol: TunnelProtocol) -> list[float]:
        """How long each call of C{retire} gave what goes through this tunnel."""
        calls: list[float] = []
        self.patch(protocol, "retire", calls.append)
        return calls

    def test_replaced(self) -> None:
        """
        A tunnel that is to be replaced serves until the new one does; then it takes no more streams, and what
        it has may go on for as long as was said.
        """
        self.dialers.start()
        first, _ = self.answer()
        calls = self.retired(first)
        (old,) = self.dialers.ends
        self.dialers.replace(1000)
        self.assertEqual(len(self.dialled), 2)
        self.dialers.settled(old)
        self.clock.advance(10)
        self.answer()
        self.assertEqual(calls, [])
        new = self.dialers.ends[-1]
        self.dialers.settled(new)
        self.dialers.settled(new)
        self.assertEqual(calls, [990])
        self.lose(first)
        self.wait()
        self.assertEqual((self.dialers.ends, len(self.dialled)), ([new], 2))

    def test_replaced_later(self) -> None:
        """If the new one cannot be made, it is tried again, and the old one is used as long."""
        self.dialers.start()
        first, _ = self.answer()
        calls = self.retired(first)
        self.dialers.replace(1000)
        self.fail()
        self.wait()
        self.assertEqual((len(self.dialled), len(self.dialers.ends), calls), (3, 1, []))
        self.answer()
        self.dialers.settled(self.dialers.ends[-1])
        self.assertEqual(len(calls), 1)

    def test_replaced_while_dialling(self) -> None:
        """What is being dialled may show the old certificate still: it is replaced, too."""
        self.dialers.start()
        self.dialers.replace(1000)
        self.assertEqual(len(self.dialled), 1)
        first, _ = self.answer()
        calls = self.retired(first)
        self.assertEqual(len(self.dialled), 2)
        self.answer()
        self.dialers.settled(self.dialers.ends[-1])
        self.assertEqual(len(calls), 1)

    def test_replaced_before_it_is_dialled(self) -> None:
        """What waits for its next attempt will show the new one anyway."""
        self.dialers.start()
        self.fail()
        self.dialers.replace(1000)
        self.wait()
        self.answer()
        self.assertEqual((len(self.dialled), len(self.dialers.ends)), (2, 1))

    def test_unfit(self) -> None:
        """A server that is the wrong one hears nothing, and is tried again: it may get the right one."""
        self.problem = "the server's certificate is not of its role"
        self.dialers.start()
        protocol, transport = self.answer()
        self.turns.end()
        self.assertEqual((transport.value(), transport.aborted, self.dialers.ends), (b"", True, []))
        protocol.dataReceived(b"anything")
        self.lose(protocol)
        self.problem = ""
        self.wait()
        self.answer()
        self.assertEqual(len(self.dialers.ends), 1)

    def test_stop(self) -> None:
        """Who stops lets what is up end, what is on its way to it too, and dials no more."""
        self.dialers.start()
        protocol, _ = self.answer()
        calls: list[float] = []
        retire = protocol.retire

        def noted(timeout: float) -> Deferred[str]:
            calls.append(timeout)
            return retire(timeout)

        self.patch(protocol, "retire", noted)
        stopped = self.dialers.stop(5)
        self.assertEqual(calls, [5])
        self.turns.end()
        self.assertNoResult(stopped)
        self.lose(protocol)
        self.successResultOf(stopped)
        self.wait()
        self.assertEqual(len(self.dialled), 1)

    def test_stop_while_dialling(self) -> None:
        """Who stops hangs up on whom it dials, and waits for nothing."""
        self.dialers.start()
        self.successResultOf(self.dialers.stop(5))
        self.wait()
        self.assertEqual(len(self.dialled), 1)

    def test_stop_while_waiting(self) -> None:
        """Nor does it dial later."""
        self.dialers.start()
        self.fail()
        self.successResultOf(self.dialers.stop(5))
        self.wait()
        self.assertEqual((len(self.dialled), self.clock.getDelayedCalls()), (1, []))
