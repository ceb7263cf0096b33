"""Tests of L{appproxy.transport.slim_reactor}."""

from __future__ import annotations

import inspect
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from appproxy.transport.dispatch import EVENTS_OF_A_TURN
from appproxy.transport.slim_reactor import NEEDED_NAMES, SlimEPollReactor
from tests.transport.support import Recorder, run_reactor


class Bad(Recorder):
    """Fails at the first byte."""

    def dataReceived(self, data: bytes) -> None:
        raise ZeroDivisionError


@implementer(IReadDescriptor)
class Ready(FileDescriptor):
    """Has something to read, and reads it."""

    def __init__(self, reactor: Any, ours: socket.socket, read: Callable[[], None]) -> None:
        super().__init__(reactor)
        self._ours = ours
        self._read = read

    def fileno(self) -> int:
        return self._ours.fileno()

    def doRead(self) -> None:
        self._ours.recv(1)
        self._read()


class SlimReactorTests(SynchronousTestCase):
    """A shorter way to the transports, and an end to every turn."""

    def test_names_of_twisted(self) -> None:
        """What is used of Twisted without being promised is still there, with the arguments that we give."""
        reactor = EPollReactor()
        for name in NEEDED_NAMES:
            self.assertTrue(hasattr(reactor, name), name)
        self.assertEqual(list(inspect.signature(EPollReactor.doPoll).parameters), ["self", "timeout"])
        self.assertEqual(
            list(inspect.signature(reactor._disconnectSelectable).parameters)[:3],
            ["selectable", "why", "isRead"],
        )
        self.assertEqual(
            list(inspect.signature(reactor._doReadOrWrite).parameters), ["selectable", "fd", "event"]
        )
        self.assertTrue(hasattr(reactor.callLater(1, int), "time"))
        source = inspect.getsource(EPollReactor.runUntilCurrent)
        for expected in (
            "if self.threadCallQueue:",
            "self._insertNewDelayedCalls()",
            "self._pendingTimedCalls[0].time <= now",
            "if self._justStopped:",
        ):
            self.assertIn(expected, source)
        self.assertIn("if not self._newTimedCalls:", inspect.getsource(EPollReactor._insertNewDelayedCalls))
        source = inspect.getsource(EPollReactor.doPoll)
        for expected in ("self._poller.poll(timeout, len(self._selectables))", "self._selectables[fd]"):
            self.assertIn(expected, source)

    def test_end_of_turn_does_not_wait(self) -> None:
        """Work for the turn's end is done at once, though no event and no timer is near."""
        reactor = SlimEPollReactor()
        order: list[str] = []

        async def main() -> None:
            done: Deferred[None] = Deferred()

            def last() -> None:
                order.append("second turn")
                done.callback(None)

            def first() -> None:
                order.append("end of turn")
                reactor.at_end_of_turn(last)

            reactor.at_end_of_turn(first)
            order.append("in the turn")
            await done

        run_reactor(reactor, main, 5)
        self.assertEqual(order, ["in the turn", "end of turn", "second turn"])

    def test_many_events(self) -> None:
        """However many have something to read, a turn serves some and ends; the others are next."""
        reactor = SlimEPollReactor()
        order: list[str] = []
        pairs = [socket.socketpair() for _ in range(3 * EVENTS_OF_A_TURN)]
        for _, ours in pairs:
            ours.send(b"x")
        for each in pairs:
            self.addCleanup(each[0].close)
            self.addCleanup(each[1].close)

        async def main() -> None:
            done: Deferred[None] = Deferred()

            def read() -> None:
                if "read" not in order[-1:]:
                    reactor.at_end_of_turn(lambda: order.append("end"))
                order.append("read")
                if order.count("read") == len(pairs):
                    reactor.at_end_of_turn(lambda: done.callback(None))

            for theirs, _ in pairs:
                reactor.addReader(Ready(reactor, theirs, read))
            await done
            reactor.removeAll()

        run_reactor(reactor, main, 5)
        turns = " ".join(order).split(" end")
        self.assertGreaterEqual(len(turns), 3)
        self.assertTrue(all(each.count("read") <= EVENTS_OF_A_TURN for each in turns), order)

    def test_timers_among_events(self) -> None:
        """However busy its connections are, timers are called in order, also new and moved ones."""
        reactor = SlimEPollReactor()
        order: list[str] = []
        theirs, ours = socket.socketpair()
        self.addCleanup(theirs.close)
        self.addCleanup(ours.close)

        async def main() -> None:
            done: Deferred[None] = Deferred()
            moved = reactor.callLater(3600, order.append, "moved")

            def read() -> None:
                ours.send(b"x")
                if "read" not in order:
                    order.append("read")
                    reactor.callLater(0.02, order.append, "made")
                    reactor.callLater(0.06, done.callback, None)
                    moved.reset(0.04)

            reactor.addReader(Ready(reactor, theirs, read))
            ours.send(b"x")
            await done
            reactor.removeAll()

        run_reactor(reactor, main, 5)
        self.assertEqual(order, ["read", "made", "moved"])

    def test_failing_work(self) -> None:
        """Work that raises is logged, and the rest still done."""
        reactor = SlimEPollReactor()

        def fail() -> None:
            raise ZeroDivisionError

        async def main() -> None:
            done: Deferred[None] = Deferred()
            reactor.at_end_of_turn(fail)
            reactor.at_end_of_turn(lambda: done.callback(None))
            await done

        run_reactor(reactor, main, 5)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_connections(self) -> None:
        """Bytes go both ways; a close is noticed; a protocol that raises loses its connection only."""
        reactor = SlimEPollReactor()
        good, bad = Recorder(echo=True), Bad()
        servers = iter([good, bad])
        clients = [Recorder(), Recorder()]

        async def main() -> None:
            factory = Factory.forProtocol(lambda: next(servers))
            port = cast(Any, reactor).listenTCP(0, factory, interface="127.0.0.1")
            endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
            for client in clients:
                await connectProtocol(endpoint, client)
                client.transport.write(b"x" * 500_000)
            await clients[1].until_lost()
            await clients[0].until_received(500_000)
            clients[0].transport.loseConnection()
            await good.until_lost()
            await port.stopListening()

        run_reactor(reactor, main)
        self.assertEqual(len(clients[0].received), 500_000)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_install(self) -> None:
        """A process can make it its reactor, and it wakes for threads, signals and children as ever."""
        program = (
            "from appproxy.transport import slim_reactor; slim_reactor.install()\n"
            "from twisted.internet import reactor, threads, utils\n"
            "import os, signal\n"
            "def after(_):\n"
            "    return utils.getProcessOutput('/bin/echo', ['child'])\n"
            "def then(out):\n"
            "    print(type(reactor).__name__, out.decode().strip(), flush=True)\n"
            "    os.kill(os.getpid(), signal.SIGTERM)\n"
            "def begin():\n"
            "    threads.deferToThread(int).addCallback(after).addCallback(then)\n"
            "reactor.callWhenRunning(begin)\n"
            "reactor.run()\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=30,
            cwd=os.getcwd(),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
        self.assertEqual(result.stdout.strip(), "SlimEPollReactor child", result.stderr)
