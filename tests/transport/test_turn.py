"""Tests of L{appproxy.transport.turn}."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.slim_reactor import SlimEPollReactor
from appproxy.transport.turn import end_of_turn


class NextTurnTests(SynchronousTestCase):
    """The end of a turn on a stock reactor."""

    def test_gathered(self) -> None:
        """What one turn schedules runs together, in order, later, for one reactor call."""
        clock = Clock()
        schedule = end_of_turn(clock)
        ran: list[str] = []
        schedule(lambda: ran.append("a"))
        schedule(lambda: ran.append("b"))
        self.assertEqual(ran, [])
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        clock.advance(0)
        self.assertEqual(ran, ["a", "b"])
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_again_and_failing(self) -> None:
        """Work may schedule more work; work that fails keeps none from its turn."""
        clock = Clock()
        schedule = end_of_turn(clock)
        ran: list[str] = []

        def fail() -> None:
            schedule(lambda: ran.append("more"))
            raise RuntimeError("no")

        schedule(fail)
        schedule(lambda: ran.append("next"))
        clock.pump([0, 0])
        self.assertEqual(ran, ["next", "more"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_slim_reactor(self) -> None:
        """The slim reactor's own hook is used where it is there."""
        reactor = SlimEPollReactor()
        self.assertEqual(end_of_turn(reactor), reactor.at_end_of_turn)
