"""
Tests of L{appproxy.tunnel.protocol} on in-memory transports and a fake clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from appproxy.tunnel import frames
from appproxy.tunnel.frames import encode
from appproxy.tunnel.messages import Role, unpack_go_away
from appproxy.tunnel.protocol import (
    ANSWER_SECONDS,
    CLOSE_SECONDS,
    TURN_BYTES,
    WRITE_BYTES,
    TunnelProtocol,
)
from appproxy.tunnel.session import TunnelSession
from appproxy.tunnel.settings import KIB, MIB, TunnelSettings
from tests.tunnel.support import Recorder, RecordingListener, frames_of, request, stream_of


class CountingTransport(StringTransport):
    """Remembers each write by itself, and how it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.aborted = False
        self.filled: Callable[[], None] | None = None

    def write(self, data: bytes) -> None:
        """Note one write; it may be more than there is room for."""
        self.writes.append(data)
        super().write(data)
        if self.filled is not None:
            self.filled()

    def abortConnection(self) -> None:
        """Note the abort."""
        self.aborted = True
        super().abortConnection()


class Turns:
    """The end of the reactor's turn, when the test says so."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def __call__(self, call: Callable[[], None]) -> None:
        self.due.append(call)

    def end(self) -> bool:
        """End one turn; whether anything was due."""
        due, self.due = self.due, []
        for call in due:
            call()
        return bool(due)


class Side:
    """One end: protocol, transport, listener."""

    def __init__(self, role: Role, clock: Clock, settings: TunnelSettings) -> None:
        self.listener = RecordingListener()
        self.turns = Turns()
        self.transport = CountingTransport()
        self.protocol = TunnelProtocol(
            lambda wake: TunnelSession(role, settings, self.listener, wake), clock, self.turns
        )
        self.lost: list[str] = []
        self.protocol.lost.addCallback(self.lost.append)
        self.protocol.makeConnection(self.transport)

    def close(self) -> None:
        """The transport reports the end of the connection."""
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def sent(self) -> bytes:
        """What was written since the last look."""
        data: bytes = self.transport.value()
        self.transport.clear()
        self.transport.writes.clear()
        return data


class Wire:
    """Two protocols, and the turns that carry bytes between them."""

    def __init__(self, settings: TunnelSettings | None = None) -> None:
        self.clock = Clock()
        self.opener = Side("opener", self.clock, settings or TunnelSettings())
        self.acceptor = Side("acceptor", self.clock, settings or TunnelSettings())

    def turn(self) -> bool:
        """One turn on each side; whether bytes moved."""
        self.opener.turns.end()
        self.acceptor.turns.end()
        up, down = self.opener.sent(), self.acceptor.sent()
        if up:
            self.acceptor.protocol.dataReceived(up)
        if down:
            self.opener.protocol.dataReceived(down)
        return bool(up or down)

    def pump(self) -> None:
        """Turns until both are quiet."""
        while self.turn():
            pass

    def exchange(self, **what: Any) -> tuple[Recorder, Recorder]:
        """Open a stream: the opener's recorder and the acceptor's."""
        client = Recorder()
        client.stream = self.opener.protocol.session.open(request(**what), client)
        self.pump()
        return client, self.acceptor.listener.served[-1]


class TurnTests(SynchronousTestCase):
    """What one turn of the reactor writes."""

    def setUp(self) -> None:
        self.wire = Wire()
        self.wire.pump()

    def test_up(self) -> None:
        """Both sides greet at once, without waiting for each other, and know each other then."""
        wire = Wire()
        verifyObject(IPushProducer, wire.opener.protocol)
        self.assertEqual(wire.opener.transport.writes, [])
        wire.opener.turns.end()
        wire.acceptor.turns.end()
        self.assertEqual(len(wire.opener.transport.writes), 1)
        self.assertEqual(len(wire.acceptor.transport.writes), 1)
        wire.pump()
        self.assertEqual(wire.opener.listener.calls, [("hello", "acceptor")])
        self.assertEqual(wire.acceptor.listener.calls, [("hello", "opener")])

    def test_one_write_a_turn(self) -> None:
        """All that happens in one turn leaves in one write."""
        wire = self.wire
        session = wire.opener.protocol.session
        for _ in range(50):
            session.open(request(), Recorder())
        session.ping()
        self.assertEqual(wire.opener.transport.writes, [])
        wire.opener.turns.end()
        self.assertEqual(len(wire.opener.transport.writes), 1)
        self.assertEqual(len(frames_of(wire.opener.transport.value())), 51)
        self.assertFalse(wire.opener.turns.end())

    def test_a_turn_is_bounded(self) -> None:
        """A turn writes no more than its share, in pieces that TLS digests; the next turn goes on."""
        wire = Wire(TunnelSettings(initial_window=8 * MIB))
        wire.pump()
        client, server = wire.exchange()
        stream_of(server).head(b"200")
        stream_of(server).write(b"x" * (2 * MIB))
        stream_of(server).end()
        turns = 0
        while wire.acceptor.turns.end():
            turns += 1
            writes = wire.acceptor.transport.writes
            self.assertLessEqual(sum(map(len, writes)), TURN_BYTES + WRITE_BYTES)
            self.assertLessEqual(max(map(len, writes)), WRITE_BYTES)
            wire.opener.protocol.dataReceived(wire.acceptor.sent())
        self.assertGreaterEqual(turns, 8)
        self.assertEqual(client.body, b"x" * (2 * MIB))
        self.assertEqual(client.calls[-1], ("ended",))

    def test_counters(self) -> None:
        """Both sides count the tunnel's bytes."""
        wire = self.wire
        self.assertGreater(wire.opener.protocol.bytes_sent, 100)
        self.assertEqual(wire.opener.protocol.bytes_sent, wire.acceptor.protocol.bytes_received)


class BackPressureTests(SynchronousTestCase):
    """The transport is full; the peer's reader is slow."""

    def setUp(self) -> None:
        self.wire = Wire()
        self.wire.pump()

    def test_paused_transport(self) -> None:
        """While the transport takes nothing, producers pause, and small frames still go first."""
        wire = self.wire
        first, first_server = wire.exchange()
        second, second_server = wire.exchange()
        acceptor = wire.acceptor.protocol
        acceptor.pauseProducing()
        stream_of(first_server).head(b"200")
        stream_of(first_server).write(b"x" * (300 * KIB))
        self.assertFalse(first_server.can_write)
        stream_of(second_server).head(b"204")
        stream_of(second_server).end()
        self.assertFalse(wire.turn())
        wire.clock.advance(3)
        acceptor.resumeProducing()
        self.assertEqual(acceptor.paused_total, 3)
        wire.acceptor.turns.end()
        numbers = [number for kind, _, number, _ in frames_of(wire.acceptor.transport.value())]
        self.assertEqual(numbers[:2], [stream_of(first).id, stream_of(second).id])
        wire.pump()
        self.assertEqual(len(first.body), 300 * KIB)
        self.assertEqual(second.calls[-1], ("ended",))
        self.assertTrue(first_server.can_write)

    def test_paused_within_a_turn(self) -> None:
        """A transport that pauses us before the turn ends gets nothing more in it."""
        wire = self.wire
        wire.opener.protocol.session.ping()
        wire.opener.protocol.pauseProducing()
        wire.opener.protocol.pauseProducing()
        self.assertTrue(wire.opener.turns.end())
        self.assertEqual(wire.opener.transport.writes, [])
        wire.opener.protocol.resumeProducing()
        wire.opener.turns.end()
        self.assertEqual(len(wire.opener.transport.writes), 1)

    def test_full_within_a_turn(self) -> None:
        """A transport that is full in the midst of a turn gets no more bulk, so small frames go before it."""
        wire = Wire(TunnelSettings(initial_window=8 * MIB))
        wire.pump()
        _, bulk = wire.exchange()
        small, small_server = wire.exchange()
        stream_of(bulk).head(b"200")
        wire.pump()
        stream_of(bulk).write(b"x" * MIB)
        transport, acceptor = wire.acceptor.transport, wire.acceptor.protocol
        transport.filled = acceptor.pauseProducing
        transport.writes.clear()
        wire.acceptor.turns.end()
        self.assertEqual(len(transport.writes), 1)
        self.assertLessEqual(len(transport.writes[0]), WRITE_BYTES)
        wire.opener.protocol.dataReceived(wire.acceptor.sent())
        stream_of(small_server).head(b"204")
        stream_of(small_server).end()
        acceptor.resumeProducing()
        wire.acceptor.turns.end()
        _, _, number, _ = frames_of(wire.acceptor.transport.value())[0]
        self.assertEqual(number, stream_of(small).id)

    def test_slow_reader(self) -> None:
        """A reader that pauses stops its own stream's sender; another stream goes on."""
        wire = self.wire
        slow, slow_server = wire.exchange()
        stream_of(slow).pause()
        stream_of(slow_server).head(b"200")
        stream_of(slow_server).write(b"x" * (400 * KIB))
        fast, fast_server = wire.exchange()
        stream_of(fast_server).head(b"200")
        stream_of(fast_server).write(b"y" * (400 * KIB))
        wire.pump()
        self.assertEqual((len(slow.body), len(fast.body)), (64 * KIB, 400 * KIB))
        self.assertFalse(slow_server.can_write)
        stream_of(slow).resume()
        wire.pump()
        self.assertEqual(len(slow.body), 400 * KIB)


class TimeTests(SynchronousTestCase):
    """Pings, silence, deadlines."""

    def setUp(self) -> None:
        self.wire = Wire()

    def advance(self, seconds: float, carry: bool = True) -> None:
        """Let time pass in steps of the reactor's."""
        for _ in range(int(seconds * 2)):
            self.wire.clock.advance(0.5)
            if carry:
                self.wire.pump()

    def test_hello_deadline(self) -> None:
        """A peer that says nothing for 10 s is dropped; one that greets in time stays."""
        self.advance(9, carry=False)
        self.assertFalse(self.wire.opener.transport.disconnecting)
        self.advance(1, carry=False)
        self.assertTrue(self.wire.opener.transport.disconnecting)
        last = frames_of(self.wire.opener.transport.value())[-1]
        self.assertEqual(unpack_go_away(last[3])[1], "hello")

    def test_pings_keep_it_alive(self) -> None:
        """A quiet tunnel lives on its pings, and the round trip is known."""
        self.wire.pump()
        for side in (self.wire.opener, self.wire.acceptor):
            side.listener.pong = side.protocol.pong  # type: ignore[method-assign]
        self.advance(120)
        for side in (self.wire.opener, self.wire.acceptor):
            self.assertFalse(side.transport.aborted)
            self.assertIsNotNone(side.protocol.round_trip)

    def test_ping_every_20_seconds(self) -> None:
        """A ping leaves after 20 s, not before."""
        self.wire.pump()
        self.advance(19.5, carry=False)
        self.assertFalse(self.wire.opener.turns.end())
        self.advance(0.5, carry=False)
        self.wire.opener.turns.end()
        self.assertEqual([frame[0] for frame in frames_of(self.wire.opener.sent())], [frames.PING])

    def test_dead_peer(self) -> None:
        """Without a byte for 45 s the connection is aborted, and every stream ends."""
        self.wire.pump()
        client, _ = self.wire.exchange()
        self.advance(44, carry=False)
        self.assertFalse(self.wire.opener.transport.aborted)
        self.advance(6, carry=False)
        self.assertTrue(self.wire.opener.transport.aborted)
        self.wire.opener.close()
        self.assertEqual(client.calls, [("reset", "tunnel_lost")])
        self.assertEqual(self.wire.opener.lost, ["nothing was heard for 45 s"])

    def test_peer_that_does_not_read(self) -> None:
        """A peer that sends but takes nothing for 45 s is dead as well."""
        self.wire.pump()
        self.wire.opener.protocol.pauseProducing()
        for _ in range(51):
            self.wire.clock.advance(1)
            self.wire.opener.protocol.dataReceived(encode(0x7F, 0))
        self.assertTrue(self.wire.opener.transport.aborted)

    def test_nothing_ticks_after_the_end(self) -> None:
        """A lost tunnel leaves no timer behind."""
        self.wire.pump()
        self.wire.opener.close()
        self.wire.acceptor.close()
        self.assertEqual(self.wire.clock.getDelayedCalls(), [])


class EndTests(SynchronousTestCase):
    """How tunnels end."""

    def setUp(self) -> None:
        self.wire = Wire()
        self.wire.pump()

    def test_broken_rule(self) -> None:
        """A peer that breaks a rule is told which, and the connection closes; later bytes are ignored."""
        wire = self.wire
        client, _ = wire.exchange()
        wire.opener.protocol.dataReceived(encode(0x90, 0))
        wire.opener.protocol.dataReceived(encode(0x90, 0))
        last = frames_of(wire.opener.transport.value())[-1]
        self.assertEqual(unpack_go_away(last[3])[1:], ("unknown_frame", "a frame of kind 0x90"))
        self.assertTrue(wire.opener.transport.disconnecting)
        self.assertIsNone(wire.opener.transport.producer)
        wire.opener.close()
        self.assertEqual(client.calls, [("reset", "tunnel_lost")])
        self.assertEqual(wire.opener.lost, ["unknown_frame: a frame of kind 0x90"])

    def test_close_takes_too_long(self) -> None:
        """A connection that does not close in an orderly way is aborted."""
        self.wire.opener.protocol.dataReceived(encode(0x90, 0))
        self.wire.clock.advance(CLOSE_SECONDS)
        self.assertTrue(self.wire.opener.transport.aborted)

    def test_abort(self) -> None:
        """A revoked peer's connection is gone at once."""
        self.wire.opener.protocol.abort("revoked")
        self.assertTrue(self.wire.opener.transport.aborted)
        self.wire.opener.close()
        self.assertEqual(self.wire.opener.lost, ["revoked"])

    def test_drain_idle(self) -> None:
        """A tunnel without streams drains at once."""
        done = self.wire.acceptor.protocol.drain(30)
        self.wire.pump()
        self.assertTrue(self.wire.acceptor.transport.disconnecting)
        self.assertNoResult(done)
        self.wire.acceptor.close()
        self.assertEqual(self.successResultOf(done), "drained")
        self.assertEqual(self.successResultOf(self.wire.acceptor.protocol.drain(30)), "drained")

    def test_drain_waits(self) -> None:
        """Streams under way finish, their bytes leave, then the tunnel closes; nothing new is taken."""
        wire = self.wire
        client, server = wire.exchange()
        done = wire.acceptor.protocol.drain(30)
        wire.pump()
        self.assertIn(("going_away",), wire.opener.listener.calls)
        self.assertFalse(wire.acceptor.transport.disconnecting)
        stream_of(server).head(b"200")
        stream_of(server).write(b"x" * (500 * KIB))
        stream_of(server).end()
        wire.pump()
        self.assertEqual(len(client.body), 500 * KIB)
        self.assertEqual(client.calls[-1], ("ended",))
        self.assertTrue(wire.acceptor.transport.disconnecting)
        wire.acceptor.close()
        self.assertEqual(self.successResultOf(done), "drained")

    def test_drain_timeout(self) -> None:
        """What is not over in time is reset with C{draining}, on both sides."""
        wire = self.wire
        client, server = wire.exchange()
        wire.acceptor.protocol.drain(30)
        wire.pump()
        for _ in range(29):
            wire.clock.advance(1)
            wire.pump()
        self.assertFalse(wire.acceptor.transport.disconnecting)
        wire.clock.advance(1)
        self.assertEqual(server.calls, [("reset", "draining")])
        self.assertTrue(wire.acceptor.transport.disconnecting)
        wire.opener.protocol.dataReceived(wire.acceptor.sent())
        self.assertEqual(client.calls, [("reset", "draining")])

    def test_drain_ends_with_the_peers_reset(self) -> None:
        """The last stream may end without a frame of ours; draining notices all the same."""
        wire = self.wire
        client, _ = wire.exchange()
        wire.acceptor.protocol.drain(30)
        wire.pump()
        stream_of(client).reset("session_ended")
        wire.pump()
        self.assertTrue(wire.acceptor.transport.disconnecting)

    def test_drain_ends_with_the_last_bytes(self) -> None:
        """
        The last answer may still be on its way when its stream is over: a slow line has the rest of the time
        that streams have for it, and some seconds at least.
        """
        for passed, allowed in ((10, 20), (29, CLOSE_SECONDS)):
            wire = self.wire = Wire()
            wire.pump()
            _, server = wire.exchange()
            done = wire.acceptor.protocol.drain(30)
            wire.pump()
            wire.clock.pump([1] * passed)
            stream_of(server).head(b"200")
            stream_of(server).end()
            wire.acceptor.turns.end()
            self.assertTrue(wire.acceptor.transport.disconnecting)
            wire.clock.advance(allowed - 0.1)
            self.assertFalse(wire.acceptor.transport.aborted)
            wire.clock.advance(0.1)
            self.assertTrue(wire.acceptor.transport.aborted)
            wire.acceptor.close()
            self.assertEqual(self.successResultOf(done), "drained")

    def retire(self, timeout: float = 30) -> Deferred[str]:
        """The acceptor wants no more streams."""
        acceptor: Any = self.wire.acceptor
        acceptor.listener.pong = acceptor.protocol.pong
        return self.wire.acceptor.protocol.retire(timeout)

    def test_retire(self) -> None:
        """
        An acceptor that retires serves the streams that were on their way when it said so, which a draining
        one would give up; it gets no others, and closes after the last.
        """
        wire = self.wire
        late = Recorder()
        late.stream = wire.opener.protocol.session.open(request(), late)
        done = self.retire()
        wire.turn()
        self.assertFalse(wire.opener.protocol.session.usable)
        wire.pump()
        (server,) = wire.acceptor.listener.served
        self.assertEqual(late.calls, [])
        self.assertIn(("going_away",), wire.opener.listener.calls)
        stream_of(server).head(b"200")
        stream_of(server).end()
        wire.pump()
        self.assertEqual(late.calls, [("head", b"200"), ("ended",)])
        wire.acceptor.close()
        self.assertEqual(self.successResultOf(done), "drained")

    def test_retire_idle(self) -> None:
        """A tunnel without streams retires at once."""
        done = self.retire()
        self.wire.pump()
        self.assertTrue(self.wire.acceptor.transport.disconnecting)
        self.wire.acceptor.close()
        self.assertEqual(self.successResultOf(done), "drained")

    def test_retire_timeout(self) -> None:
        """What is not over in time is reset, also if the opener never answered."""
        wire = self.wire
        _, server = wire.exchange()
        self.retire(30)
        wire.clock.advance(30)
        self.assertEqual(server.calls, [("reset", "draining")])
        self.assertTrue(wire.acceptor.transport.disconnecting)

    def test_retire_without_an_answer(self) -> None:
        """A peer that is gone answers nothing: for a tunnel without streams it is waited for some seconds."""
        wire = self.wire
        _, server = wire.exchange()
        self.retire(3600)
        wire.acceptor.turns.end()
        wire.clock.advance(ANSWER_SECONDS)
        wire.acceptor.turns.end()
        self.assertFalse(wire.acceptor.transport.disconnecting)
        stream_of(server).reset("cancelled")
        wire.clock.advance(ANSWER_SECONDS)
        wire.acceptor.turns.end()
        self.assertTrue(wire.acceptor.transport.disconnecting)

    def test_retire_with_a_late_answer(self) -> None:
        """Where something goes through it, the answer is waited for; after it nothing is due any more."""
        wire = self.wire
        client, _ = wire.exchange()
        self.retire(3600)
        wire.clock.advance(ANSWER_SECONDS * 2)
        late = Recorder()
        late.stream = wire.opener.protocol.session.open(request(), late)
        wire.pump()
        self.assertEqual(len(wire.acceptor.listener.served), 2)
        for each in wire.acceptor.listener.served:
            stream_of(each).head(b"200")
            stream_of(each).end()
        wire.pump()
        self.assertEqual((client.calls[-1], late.calls[-1]), (("ended",), ("ended",)))
        self.assertTrue(wire.acceptor.transport.disconnecting)
        self.assertNotIn("answer", wire.acceptor.protocol._timers)

    def test_retire_opener(self) -> None:
        """An opener, which opens the streams itself, needs nobody's answer to open no more."""
        client, server = self.wire.exchange()
        self.wire.opener.protocol.retire(30)
        self.wire.opener.turns.end()
        self.wire.acceptor.protocol.dataReceived(self.wire.opener.sent())
        self.assertIn(("going_away",), self.wire.acceptor.listener.calls)
        self.assertEqual((client.calls, server.calls), ([], []))

    def test_connection_lost(self) -> None:
        """A connection that breaks resets all streams, and says why, once."""
        wire = self.wire
        client, server = wire.exchange()
        wire.opener.close()
        wire.acceptor.close()
        self.assertEqual(
            (client.calls, server.calls), ([("reset", "tunnel_lost")], [("reset", "tunnel_lost")])
        )
        self.assertEqual(len(wire.opener.lost), 1)
