"""Tests of L{appproxy.threads.pool}, with real threads."""

from __future__ import annotations

import subprocess
import sys
import threading

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import TestCase

from appproxy.threads.errors import Overloaded
from appproxy.threads.pool import FairPool


class PoolCase(TestCase):
    """A pool of four threads, three for a lane."""

    def setUp(self) -> None:
        self.pool = FairPool("test", 4, IReactorFromThreads(reactor), waiting=8, lane_waiting=6)
        self.addCleanup(self.pool.stop)
        self.gate = threading.Event()
        self.addCleanup(self.gate.set)

    def hang(self) -> str:
        """Until the gate opens."""
        self.gate.wait()
        return "late"


class CallTests(PoolCase):
    """What comes back."""

    async def test_result(self) -> None:
        """A call runs in a thread of the pool's name; its result comes back in the reactor's."""
        here = threading.current_thread()
        name = await self.pool.submit("realm", "anna", lambda: threading.current_thread().name)
        self.assertEqual(name, "test")
        self.assertIs(threading.current_thread(), here)

    async def test_exception(self) -> None:
        """An exception comes back, and the thread lives on."""
        for _ in range(10):
            with self.assertRaises(ZeroDivisionError):
                await self.pool.submit("realm", "anna", lambda: 1 // 0)
        self.assertEqual(await self.pool.submit("realm", "anna", lambda: 7), 7)

    async def test_started(self) -> None:
        """Who asks is told when the call has a thread, in the reactor's thread."""
        told: list[threading.Thread] = []
        await self.pool.submit("realm", "anna", lambda: 7, lambda: told.append(threading.current_thread()))
        self.assertEqual(told, [threading.current_thread()])

    async def test_result_first(self) -> None:
        """What a call brought is known before the next one gets its thread."""
        pool = FairPool("test", 2, IReactorFromThreads(reactor))
        self.addCleanup(pool.stop)
        order: list[str] = []
        first = pool.submit("realm", "anna", self.hang).addCallback(lambda _: order.append("result"))
        second = pool.submit("realm", "ben", lambda: None, lambda: order.append("next"))
        self.gate.set()
        await gatherResults([first, second])
        self.assertEqual(order, ["result", "next"])

    async def test_many(self) -> None:
        """Far more calls than threads, one after the other: all return, and the counters end at nought."""
        for _ in range(50):
            calls = [self.pool.submit("AB"[n % 2], "anna", lambda n=n: n) for n in range(8)]  # type: ignore[misc]
            self.assertEqual(await gatherResults(calls), list(range(8)))
        self.assertEqual((self.pool.waiting, self.pool.running, self.pool.rejected), (0, 0, 0))


class SilenceTests(PoolCase):
    """What hangs."""

    async def test_other_lane_goes_on(self) -> None:
        """While a lane's calls hang on every thread it may have, another lane's call runs."""
        stuck = [self.pool.submit("silent", f"user {number}", self.hang) for number in range(5)]
        self.assertEqual((self.pool.running, self.pool.waiting), (3, 2))
        self.assertEqual(await self.pool.submit("well", "anna", lambda: 7), 7)
        self.gate.set()
        self.assertEqual(await gatherResults(stuck), ["late"] * 5)

    async def test_cancel_waiting(self) -> None:
        """A cancelled call that waits never runs."""
        stuck = [self.pool.submit("silent", f"user {number}", self.hang) for number in range(3)]
        ran: list[int] = []
        waiting = self.pool.submit("silent", "anna", lambda: ran.append(1))
        waiting.cancel()
        await self.assertFailure(waiting, CancelledError)
        self.assertEqual(self.pool.waiting, 0)
        self.gate.set()
        await gatherResults(stuck)
        await self.pool.submit("silent", "anna", lambda: None)
        self.assertEqual(ran, [])

    async def test_cancel_running(self) -> None:
        """A cancelled call that runs keeps its thread until it returns, and its result goes nowhere."""
        pool = FairPool("test", 2, IReactorFromThreads(reactor))
        self.addCleanup(pool.stop)
        stuck = pool.submit("silent", "anna", self.hang)
        stuck.cancel()
        await self.assertFailure(stuck, CancelledError)
        following = pool.submit("silent", "anna", lambda: 7)
        self.assertEqual((pool.running, pool.waiting), (1, 1))
        self.gate.set()
        self.assertEqual(await following, 7)
        self.assertEqual(pool.running, 0)

    async def test_overloaded(self) -> None:
        """What finds no room fails at once, and is counted."""
        stuck = [self.pool.submit("silent", f"user {number}", self.hang) for number in range(9)]
        await self.assertFailure(self.pool.submit("silent", "anna", self.hang), Overloaded)
        self.assertEqual(self.pool.rejected, 1)
        self.gate.set()
        await gatherResults(stuck)

    async def test_stop(self) -> None:
        """What waits fails when the pool stops; what runs still returns; nothing new is taken."""
        stuck = [self.pool.submit("silent", f"user {number}", self.hang) for number in range(4)]
        self.pool.stop()
        await self.assertFailure(stuck.pop(), Overloaded)
        await self.assertFailure(self.pool.submit("realm", "anna", self.hang), Overloaded)
        self.gate.set()
        self.assertEqual(await gatherResults(stuck), ["late"] * 3)

    def test_process_ends(self) -> None:
        """A call that hangs for ever does not keep the process alive."""
        program = (
            "import threading\n"
            "from twisted.internet import reactor\n"
            "from appproxy.threads.pool import FairPool\n"
            "pool = FairPool('test', 2, reactor)\n"
            "end = lambda: reactor.callLater(0, reactor.stop)\n"
            "pool.submit('realm', 'anna', threading.Event().wait, end)\n"
            "reactor.run()\n"
        )
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
