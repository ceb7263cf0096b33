"""
Tests of L{appproxy.tunnel.session} and its inbound half: what each side sees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from appproxy.tunnel import frames
from appproxy.tunnel.errors import TunnelError, TunnelRefused
from appproxy.tunnel.frames import ACK, FIN, MAX_NUMBER, encode
from appproxy.tunnel.messages import UNTIL_END, pack_number, pack_reason
from appproxy.tunnel.outbox import PROMPT_FLOOD
from appproxy.tunnel.principals import digest_of
from appproxy.tunnel.settings import TunnelSettings
from appproxy.tunnel.state import IDLE_FRAMES
from tests.tunnel.support import Pair, Recorder, RecordingListener, frames_of, request, stream_of


class ExchangeTests(SynchronousTestCase):
    """One stream from OPEN to its end."""

    def setUp(self) -> None:
        self.pair = Pair()

    def test_small_exchange(self) -> None:
        """A request without body is one frame, a small answer two; then nothing is left."""
        pair = self.pair
        _, client = pair.open()
        wire = pair.opener.take()
        self.assertEqual([(kind, flags) for kind, flags, _, _ in frames_of(wire)], [(frames.OPEN, FIN)])
        pair.acceptor.session.receive(wire)
        server = stream_of(pair.acceptor.listener.served[0])
        server.head(b"200")
        server.write(b"hello")
        server.end()
        wire = pair.acceptor.take()
        self.assertEqual(
            [(kind, flags) for kind, flags, _, _ in frames_of(wire)], [(frames.HEAD, 0), (frames.DATA, FIN)]
        )
        pair.opener.session.receive(wire)
        self.assertEqual(client.calls, [("head", b"200"), ("data",), ("ended",)])
        self.assertEqual(client.body, b"hello")
        self.assertEqual((pair.opener.session.active_streams, pair.acceptor.session.active_streams), (0, 0))
        self.assertTrue(stream_of(client).closed)
        self.assertFalse(pair.opener.session.pending_output or pair.acceptor.session.pending_output)

    def test_open_arrives_as_sent(self) -> None:
        """The acceptor gets every field of OPEN."""
        message = replace(request(b"GET /x\nhost: a", application="files"), client_connection=77)
        self.pair.exchange(message)
        self.assertEqual(self.pair.acceptor.listener.messages, [message])

    def test_bodies_both_ways(self) -> None:
        """A request's body and trailers, interim heads, an answer's body and trailers, in order."""
        pair = self.pair
        client, server = pair.exchange(request(body=UNTIL_END))
        up, down = stream_of(client), stream_of(server)
        up.write(b"one")
        down.head(b"100")
        pair.pump()
        up.write(b"two")
        up.trailers(b"t: 1")
        up.end()
        down.head(b"200")
        down.write(b"answer")
        down.trailers(b"u: 2")
        down.end()
        pair.pump()
        self.assertEqual(server.calls, [("data",), ("trailers", b"t: 1"), ("ended",)])
        self.assertEqual(server.body, b"onetwo")
        self.assertEqual(
            client.calls, [("head", b"100"), ("head", b"200"), ("data",), ("trailers", b"u: 2"), ("ended",)]
        )
        self.assertEqual(pair.opener.session.active_streams + pair.acceptor.session.active_streams, 0)

    def test_empty_body(self) -> None:
        """A body that turns out empty at once is not the same as none: OPEN then goes without FIN."""
        for body in (0, UNTIL_END):
            for head in (b"POST /", b"POST /" + b"x" * 60_000):
                pair = Pair()
                stream, client = pair.open(request(head, body=body))
                stream.end()
                pair.pump()
                server = pair.acceptor.listener.served[-1]
                self.assertEqual(server.calls, [("ended",)])
                stream_of(server).head(b"200")
                stream_of(server).end()
                pair.pump()
                self.assertEqual(client.calls, [("head", b"200"), ("ended",)])
                self.assertEqual(pair.opener.session.active_streams, 0)
                self.assertEqual(pair.acceptor.session.active_streams, 0)

    def test_head_alone(self) -> None:
        """An answer without body is one frame."""
        client, server = self.pair.exchange()
        stream_of(server).head(b"204")
        stream_of(server).end()
        self.assertEqual([frame[:2] for frame in frames_of(self.pair.acceptor.take())], [(frames.HEAD, FIN)])
        self.assertEqual(client.calls, [])

    def test_end_later(self) -> None:
        """An end that comes turns after the data is a frame of its own."""
        client, server = self.pair.exchange()
        stream_of(server).head(b"200")
        self.pair.pump()
        stream_of(server).end()
        stream_of(server).end()
        self.pair.pump()
        self.assertEqual(client.calls, [("head", b"200"), ("ended",)])

    def test_times(self) -> None:
        """Times come before the head, or before a reset, with room for more behind; none after the end."""
        pair = self.pair
        for end in (lambda stream: stream.head(b"204"), lambda stream: stream.reset("backend_refused")):
            client, server = pair.exchange()
            stream = stream_of(server)
            stream.times(bytes(12) + b"more")
            end(stream)
            stream.end()
            stream.times(bytes(12))
            pair.pump()
            self.assertEqual(client.calls[0], ("times", bytes(12) + b"more"))
            self.assertEqual([each[0] for each in client.calls].count("times"), 1)
        # A peer of an earlier version reads over it.
        self.assertLess(frames.TIMES, frames.CRITICAL_FROM)

    def test_times_for_ever(self) -> None:
        """A peer that tells nothing but times is cut off."""
        pair = self.pair
        pair.exchange()
        wire = encode(frames.TIMES, 1, bytes(12)) * 1000
        with self.assertRaises(TunnelError) as raised:
            for _ in range(100):
                pair.opener.session.receive(wire)
        self.assertEqual(raised.exception.code, "flood")

    def test_upgrade(self) -> None:
        """After UPGRADED both sides send raw bytes, each with its own end."""
        pair = self.pair
        client, server = pair.exchange(request(upgrade=True))
        self.assertRaises(RuntimeError, stream_of(client).write, b"too early")
        stream_of(server).head(b"101")
        stream_of(server).upgraded()
        stream_of(server).write(b"from inside")
        pair.pump()
        stream_of(client).write(b"from outside")
        stream_of(client).end()
        pair.pump()
        self.assertEqual(client.calls, [("head", b"101"), ("upgraded",), ("data",)])
        self.assertEqual(server.calls, [("data",), ("ended",)])
        stream_of(server).write(b"!")
        stream_of(server).end()
        pair.pump()
        self.assertEqual(client.body, b"from inside!")
        self.assertEqual(pair.opener.session.active_streams + pair.acceptor.session.active_streams, 0)

    def test_upgrade_declined(self) -> None:
        """An upgrade that is answered otherwise ends like any request without body."""
        pair = self.pair
        client, server = pair.exchange(request(upgrade=True))
        stream_of(server).head(b"403")
        stream_of(server).write(b"no")
        stream_of(server).end()
        pair.pump()
        self.assertEqual(client.calls, [("head", b"403"), ("data",), ("ended",)])
        self.assertEqual(server.calls, [])
        self.assertEqual(pair.opener.session.active_streams + pair.acceptor.session.active_streams, 0)

    def test_misuse_stays_local(self) -> None:
        """Frames out of order are refused where they are asked for: the peer would close the whole tunnel."""
        client, server = self.pair.exchange(request(body=UNTIL_END))
        up, down = stream_of(client), stream_of(server)
        self.assertRaises(RuntimeError, up.head, b"x")
        self.assertRaises(RuntimeError, up.upgraded)
        self.assertRaises(RuntimeError, down.write, b"x")
        self.assertRaises(RuntimeError, down.end)
        self.assertRaises(RuntimeError, down.upgraded)
        self.assertRaises(ValueError, down.head, b"x" * (frames.MAX_HEAD + 1))
        down.head(b"200")
        down.write(b"x")
        self.assertRaises(RuntimeError, down.head, b"200")
        down.trailers(b"")
        self.assertRaises(RuntimeError, down.write, b"x")
        down.end()
        self.assertRaises(RuntimeError, down.write, b"x")
        self.assertRaises(RuntimeError, self.pair.acceptor.session.open, request(), Recorder())
        self.pair.pump()
        self.assertEqual(client.calls, [("head", b"200"), ("data",), ("trailers", b""), ("ended",)])


class ResetTests(SynchronousTestCase):
    """Streams that end before their time."""

    def setUp(self) -> None:
        self.pair = Pair()

    def test_reset(self) -> None:
        """A reset ends both directions; the side that asked for it is not called again."""
        pair = self.pair
        client, server = pair.exchange(request(body=UNTIL_END))
        stream_of(server).head(b"200")
        stream_of(server).write(b"x" * 100_000)
        in_flight = pair.acceptor.take()
        stream_of(client).reset("backend_timeout", "too slow")
        stream_of(client).write(b"ignored")
        stream_of(client).end()
        pair.opener.session.receive(in_flight)
        pair.pump()
        self.assertEqual(client.calls, [])
        self.assertEqual(server.calls, [("reset", "backend_timeout")])
        self.assertEqual(pair.acceptor.session.queued, 0)
        self.assertEqual(pair.opener.session.active_streams + pair.acceptor.session.active_streams, 0)

    def test_reset_after_early_answer(self) -> None:
        """An answer that came before the upload ended is delivered whole, then the reset."""
        pair = self.pair
        client, server = pair.exchange(request(body=10_000_000))
        stream_of(client).write(b"u" * 300_000)
        stream_of(server).head(b"413")
        stream_of(server).write(b"e" * 200_000)
        stream_of(server).end()
        stream_of(server).reset("backend_refused")
        pair.pump()
        self.assertEqual(
            client.calls, [("head", b"413"), ("data",), ("ended",), ("reset", "backend_refused")]
        )
        self.assertEqual(len(client.body), 200_000)
        self.assertEqual(pair.opener.session.active_streams + pair.acceptor.session.active_streams, 0)
        self.assertEqual(pair.opener.session.queued, 0)

    def test_second_reset_drops_the_answer(self) -> None:
        """Who cannot wait for the answer's delivery resets again."""
        client, server = self.pair.exchange(request(body=10_000_000))
        stream_of(client).pause()
        stream_of(server).head(b"413")
        stream_of(server).write(b"e" * 200_000)
        stream_of(server).end()
        stream_of(server).reset("backend_timeout")
        self.pair.pump()
        self.assertEqual(self.pair.acceptor.session.active_streams, 1)
        stream_of(server).reset("backend_timeout")
        self.pair.pump()
        self.assertEqual(self.pair.acceptor.session.active_streams, 0)
        self.assertEqual(client.calls, [("head", b"413"), ("data",), ("reset", "backend_timeout")])

    def test_reset_inside_a_callback(self) -> None:
        """A handler may reset its stream while it is called, also with the frame that ends it."""
        pair = self.pair
        client, server = pair.exchange()
        client.on_data = lambda data: stream_of(client).reset("backend_protocol")
        stream_of(server).head(b"200")
        stream_of(server).write(b"x")
        stream_of(server).end()
        pair.pump()
        self.assertEqual(client.calls, [("head", b"200"), ("data",)])
        self.assertEqual(pair.opener.session.active_streams + pair.acceptor.session.active_streams, 0)

    def test_reset_before_open_left(self) -> None:
        """A stream that is reset before its OPEN left queues nothing more than OPEN and RESET."""
        stream, _ = self.pair.open()
        stream.reset("session_ended")
        self.pair.pump()
        self.assertEqual(self.pair.acceptor.listener.served[0].calls, [("reset", "session_ended")])

    def test_reset_of_a_large_request(self) -> None:
        """The same with a head that is larger than a stream's share of a turn: both ends know of it."""
        stream, _ = self.pair.open(request(b"GET /" + b"x" * 60_000))
        stream.reset("session_ended")
        self.pair.pump()
        self.assertEqual(self.pair.acceptor.listener.served[0].calls, [("reset", "session_ended")])

    def test_bug_in_a_handler(self) -> None:
        """An exception in a handler costs its own stream, is logged, and hurts nobody else."""
        pair = self.pair
        client, server = pair.exchange()
        other, other_server = pair.exchange()

        def fail(data: bytes) -> None:
            raise ZeroDivisionError

        client.on_data = fail
        for each in (server, other_server):
            stream_of(each).head(b"200")
            stream_of(each).write(b"x")
        pair.pump()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(server.calls, [("reset", "bug")])
        self.assertEqual(client.calls[-1], ("reset", "bug"))
        self.assertEqual(other.body, b"x")

    def test_bug_while_draining(self) -> None:
        """A producer that raises when it is asked to go on costs its own stream."""
        pair = self.pair
        client, server = pair.exchange()

        def fail() -> None:
            raise ZeroDivisionError

        server.on_writable = fail
        stream_of(server).head(b"200")
        stream_of(server).write(b"x" * 200_000)
        pair.pump()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(client.calls[-1], ("reset", "bug"))

    def test_late_frames(self) -> None:
        """Frames of any kind for a stream that is over here are ignored."""
        pair = self.pair
        client, _ = pair.exchange(request(upgrade=True))
        stream_of(client).reset("session_ended")
        for kind in (frames.HEAD, frames.DATA, frames.UPGRADED, frames.TRAILERS, frames.END):
            pair.opener.session.receive(encode(kind, 1))
        pair.opener.session.receive(encode(frames.TIMES, 1, bytes(12)))
        pair.opener.session.receive(encode(frames.RESET, 1, pack_reason("x", "")))
        pair.pump()
        self.assertEqual(client.calls, [])

    def test_nobody_serves(self) -> None:
        """A stream for which the listener sets no handler is reset."""
        self.pair.acceptor.listener.opened = lambda stream, message: None  # type: ignore[method-assign]
        _, client = self.pair.open()
        self.pair.pump()
        self.assertEqual(client.calls, [("reset", "bug")])

    def test_connection_lost(self) -> None:
        """With the connection every stream is gone, and nothing new begins."""
        pair = self.pair
        client, _ = pair.exchange()
        pair.opener.session.connection_lost("cut")
        self.assertEqual(client.calls, [("reset", "tunnel_lost")])
        error = self.assertRaises(TunnelRefused, pair.opener.session.open, request(), Recorder())
        self.assertEqual(error.reason, "tunnel_lost")
        stream_of(client).write(b"ignored")
        pair.opener.session.ping()
        pair.opener.session.send_config(1, b"x")
        self.assertEqual(pair.opener.take(), b"")


class PrincipalTests(SynchronousTestCase):
    """Who a stream is for."""

    def setUp(self) -> None:
        self.pair = Pair()

    def test_told_once(self) -> None:
        """A principal crosses once, before the first stream that names it."""
        pair = self.pair
        pair.opener.session.send_principal(1, b"ada", b"proof")
        for _ in range(3):
            pair.open(request(number=1, claims=b"ada"))
        pair.pump()
        self.assertEqual(pair.acceptor.listener.calls, [("hello", "opener"), ("principal", 1, b"ada")])
        self.assertEqual([message.principal_number for message in pair.acceptor.listener.messages], [1, 1, 1])
        self.assertEqual(pair.acceptor.session.claims_of(1), b"ada")
        self.assertEqual(pair.acceptor.session.proof_of(1), b"proof")
        self.assertEqual(len(pair.acceptor.session.streams_of(1)), 3)

    def test_forget(self) -> None:
        """FORGET ends the principal's streams on both sides and nobody else's, whatever is under way."""
        pair = self.pair
        pair.opener.session.send_principal(1, b"ada")
        pair.opener.session.send_principal(2, b"bob")
        ada, ada_server = pair.exchange(request(number=1, claims=b"ada"))
        bob, bob_server = pair.exchange(request(number=2, claims=b"bob"))
        stream_of(ada_server).head(b"200")
        pair.open(request(number=1, claims=b"ada"))
        pair.opener.session.send_forget(1)
        pair.opener.session.send_forget(1)
        self.assertEqual(ada.calls, [("reset", "session_ended")])
        pair.pump()
        self.assertEqual(ada_server.calls, [("reset", "session_ended")])
        self.assertEqual((bob.calls, bob_server.calls), ([], []))
        self.assertEqual(pair.acceptor.listener.calls.count(("forgotten", 1)), 1)
        self.assertRaises(ValueError, pair.opener.session.open, request(number=1, claims=b"ada"), Recorder())

    def test_wrong_digest(self) -> None:
        """An OPEN with another principal's digest ends the tunnel: nobody is served as somebody else."""
        pair = self.pair
        pair.opener.session.send_principal(1, b"ada")
        self.assertRaises(ValueError, pair.opener.session.open, request(number=1, claims=b"bob"), Recorder())
        pair.pump()
        for message in (request(number=1, claims=b"bob"), request(number=9, claims=b"ada")):
            forged = encode(frames.OPEN, 50, message.pack(), FIN)
            error = self.assertRaises(TunnelError, pair.acceptor.session.receive, forged)
            self.assertEqual(error.code, "principal")
        self.assertEqual(pair.acceptor.listener.served, [])

    def test_too_many(self) -> None:
        """No more principals than the acceptor wants: refused here, an error there."""
        pair = Pair(acceptor=TunnelSettings(max_principals=2, max_principal_bytes=100))
        session = pair.opener.session
        session.send_principal(1, b"x" * 60)
        self.assertRaises(TunnelRefused, session.send_principal, 2, b"x" * 60)
        session.send_principal(2, b"x")
        self.assertRaises(TunnelRefused, session.send_principal, 3, b"x")
        session.send_forget(1)
        session.send_principal(3, b"x")
        pair.pump()
        forged = encode(frames.PRINCIPAL, 0, (9).to_bytes(4, "big") + (1).to_bytes(4, "big") + b"x")
        error = self.assertRaises(TunnelError, pair.acceptor.session.receive, forged)
        self.assertEqual(error.code, "principal")

    def test_numbers_never_again(self) -> None:
        """A principal number is not used twice, and the last one brings a new tunnel."""
        session = self.pair.opener.session
        session.send_principal(5, b"ada")
        self.assertRaises(ValueError, session.send_principal, 5, b"bob")
        self.assertRaises(ValueError, session.send_principal, 4, b"bob")
        self.assertRaises(ValueError, session.send_principal, 6, b"x" * 70_000)
        self.assertRaises(TunnelRefused, session.send_principal, MAX_NUMBER + 1, b"bob")
        self.pair.pump()
        self.assertIn(("going_away",), self.pair.acceptor.listener.calls)

    def test_digest_follows_claims(self) -> None:
        """The digest is of the claims alone: the proof is signed by others."""
        pair = self.pair
        pair.opener.session.send_principal(1, b"ada", b"proof")
        pair.opener.session.open(
            replace(request(), principal_number=1, principal_digest=digest_of(b"ada")), Recorder()
        )
        pair.pump()
        self.assertEqual(len(pair.acceptor.listener.served), 1)


class GoingAwayTests(SynchronousTestCase):
    """No new streams."""

    def setUp(self) -> None:
        self.pair = Pair()

    def test_acceptor_goes(self) -> None:
        """Streams that the acceptor did not see are reset with C{draining}; those under way go on."""
        pair = self.pair
        client, server = pair.exchange()
        pair.acceptor.session.go_away("draining", "restart")
        _, late = pair.open(request(body=5))
        stream_of(late).write(b"12345")
        pair.pump()
        self.assertEqual(late.calls, [("reset", "draining")])
        self.assertEqual(len(pair.acceptor.listener.served), 1)
        self.assertEqual(pair.opener.session.peer_goodbye, ("draining", "restart"))
        self.assertFalse(pair.opener.session.usable)
        self.assertRaises(TunnelRefused, pair.opener.session.open, request(), Recorder())
        stream_of(server).head(b"200")
        stream_of(server).end()
        pair.pump()
        self.assertEqual(client.calls, [("head", b"200"), ("ended",)])

    def test_goes_once(self) -> None:
        """Only the first GOAWAY counts."""
        pair = self.pair
        pair.acceptor.session.go_away("draining")
        pair.acceptor.session.go_away("again")
        again = encode(frames.GOAWAY, 0, pack_reason("again", "", 0))
        pair.pump()
        pair.opener.session.receive(again)
        self.assertEqual(pair.opener.session.peer_goodbye, ("draining", ""))
        self.assertEqual(pair.opener.listener.calls.count(("going_away",)), 1)

    def test_opener_goes(self) -> None:
        """An opener that goes away opens no more; what is open goes on."""
        pair = self.pair
        client, server = pair.exchange()
        pair.opener.session.go_away("draining")
        self.assertRaises(TunnelRefused, pair.open)
        pair.pump()
        self.assertIn(("going_away",), pair.acceptor.listener.calls)
        stream_of(server).head(b"200")
        stream_of(server).end()
        pair.pump()
        self.assertEqual(client.calls[-1], ("ended",))

    def test_numbers_used_up(self) -> None:
        """At the last stream number the tunnel goes away instead of beginning anew."""
        pair = self.pair
        pair.opener.session._state.last_stream = MAX_NUMBER - 1
        stream, _ = pair.open()
        self.assertEqual(stream.id, MAX_NUMBER)
        error = self.assertRaises(TunnelRefused, pair.open)
        self.assertEqual(error.reason, "draining")
        pair.pump()
        self.assertEqual(pair.acceptor.session.peer_goodbye, ("numbers_used_up", ""))
        self.assertEqual(len(pair.acceptor.listener.served), 1)

    def test_reset_all(self) -> None:
        """What remains is reset on both sides."""
        client, server = self.pair.exchange()
        self.pair.acceptor.session.reset_all("draining")
        self.assertEqual(server.calls, [("reset", "draining")])
        self.pair.pump()
        self.assertEqual(client.calls, [("reset", "draining")])


class LimitTests(SynchronousTestCase):
    """How much of everything."""

    def test_max_streams(self) -> None:
        """The opener stops at the acceptor's limit; SETTINGS moves it; an OPEN that crossed it is reset."""
        pair = Pair(acceptor=TunnelSettings(max_streams=2))
        pair.open()
        stream, _ = pair.open()
        error = self.assertRaises(TunnelRefused, pair.open)
        self.assertEqual(error.reason, "overloaded")
        stream.reset("session_ended")
        pair.open()
        pair.pump()
        pair.acceptor.session.send_settings(max_streams=4)
        pair.pump()
        pair.open()
        pair.pump()
        self.assertEqual(pair.acceptor.session.active_streams, 3)
        pair.acceptor.session.send_settings(max_streams=0)
        _, crossing = pair.open()
        pair.pump()
        self.assertEqual(crossing.calls, [])
        self.assertRaises(ValueError, pair.acceptor.session.send_settings, initial_window=5)

    def test_too_many_streams(self) -> None:
        """An OPEN above what was ever announced is reset with C{overloaded}, and its frames are ignored."""
        pair = Pair(acceptor=TunnelSettings(max_streams=1))
        pair.exchange()
        pair.acceptor.session.receive(
            encode(frames.OPEN, 2, request().pack(), FIN) + encode(frames.RESET, 2, pack_reason("x", ""))
        )
        self.assertEqual(len(pair.acceptor.listener.served), 1)
        self.assertEqual(
            frames_of(pair.acceptor.take()),
            [(frames.RESET, 0, 2, pack_reason("overloaded", "too many streams"))],
        )

    def test_large_head(self) -> None:
        """A head that no frame can carry is refused before it is sent."""
        pair = Pair()
        self.assertRaises(ValueError, pair.open, request(b"x" * frames.MAX_HEAD))
        pair.exchange(request(b"x" * 100_000))
        session = pair.opener.session
        self.assertEqual((session.role, session.streams_opened), ("opener", 1))
        self.assertEqual(session.peer_settings.max_streams, TunnelSettings().max_streams)

    def test_not_up_yet(self) -> None:
        """No stream is opened before the peer's HELLO."""
        pair = Pair(greeted=False)
        self.assertRaises(TunnelRefused, pair.open)
        self.assertFalse(pair.opener.session.usable)
        pair.pump()
        self.assertTrue(pair.opener.session.usable)

    def test_stuck(self) -> None:
        """A tunnel whose peer reads nothing takes neither streams nor principals."""
        pair = Pair()
        number = 0
        with self.assertRaises(TunnelRefused) as caught:
            for number in range(1, 1000):
                pair.opener.session.send_principal(number, b"x" * 50_000)
        self.assertEqual(caught.exception.reason, "overloaded")
        self.assertLess(number, 30)
        self.assertRaises(TunnelRefused, pair.open)

    def test_unread_answers(self) -> None:
        """A peer that pings without reading the answers is thrown out while that is cheap."""
        pair = Pair()
        pings = encode(frames.PING, 0, b"") * 1000 + encode(frames.FORGET, 0, pack_number(1))

        def flood() -> None:
            for _ in range(PROMPT_FLOOD // 10_000 + 2):
                pair.acceptor.session._state.idle = 0
                pair.acceptor.session.receive(pings)

        self.assertEqual(self.assertRaises(TunnelError, flood).code, "flood")

    def test_idle_frames(self) -> None:
        """Frames that move nothing are ignored up to a number; progress starts the count anew."""
        pair = Pair()
        client, _ = pair.exchange()
        stream_of(client).reset("session_ended")
        pair.opener.take()
        late = encode(frames.WINDOW, 1, pack_number(1)) * 1000

        def flood() -> None:
            for _ in range(IDLE_FRAMES // 1000 + 1):
                pair.opener.session.receive(late)

        self.assertEqual(self.assertRaises(TunnelError, flood).code, "flood")


class RuleTests(SynchronousTestCase):
    """What ends a tunnel, by its code."""

    def broken(
        self, role: str, code: str, *wire: bytes, setup: Callable[[Pair], object] = lambda pair: None
    ) -> None:
        """Check that a side gives the tunnel up for these frames."""
        pair = Pair()
        setup(pair)
        session = (pair.opener if role == "opener" else pair.acceptor).session
        error = self.assertRaises(TunnelError, session.receive, b"".join(wire))
        self.assertEqual(error.code, code)

    def test_hello(self) -> None:
        """HELLO comes first, once, from the other role."""
        for data in (encode(frames.PING, 0), encode(frames.DATA, 1, b"x"), encode(0x50, 0)):
            session = Pair(greeted=False).acceptor.session
            self.assertEqual(self.assertRaises(TunnelError, session.receive, data).code, "hello")
        hello = Pair(greeted=False).opener.take()
        self.broken("acceptor", "hello", hello)
        session = Pair(greeted=False).opener.session
        self.assertEqual(self.assertRaises(TunnelError, session.receive, hello).code, "role")

    def test_unknown_kinds(self) -> None:
        """Unknown kinds are ignored below 0x80, PROBE too; above they end the tunnel."""
        pair = Pair()
        pair.acceptor.session.receive(encode(0x7F, 3, b"?") + encode(frames.PROBE, 0, b"?"))
        self.broken("acceptor", "unknown_frame", encode(0x80, 0))

    def test_roles(self) -> None:
        """Each role sends only its own frames."""
        for kind in (frames.OPEN, frames.PRINCIPAL, frames.FORGET, frames.CLIENT_GONE):
            self.broken("opener", "role", encode(kind, 1))
        for kind in (frames.HEAD, frames.UPGRADED, frames.TIMES):
            self.broken("acceptor", "role", encode(kind, 1))

    def test_stream_numbers(self) -> None:
        """Streams that never began have no frames, and numbers only go up."""
        opened = encode(frames.OPEN, 5, request().pack(), FIN)
        self.broken("acceptor", "stream_number", encode(frames.DATA, 1, b"x"))
        self.broken("opener", "stream_number", encode(frames.HEAD, 1, b"x"))
        self.broken("acceptor", "stream_number", encode(frames.END, 0))
        self.broken("acceptor", "stream_number", opened, opened)
        self.broken("acceptor", "stream_number", encode(frames.OPEN, MAX_NUMBER + 1, request().pack(), FIN))

    def test_states(self) -> None:
        """A frame that its direction's state does not allow ends the tunnel."""
        head, data = encode(frames.HEAD, 1, b"200"), encode(frames.DATA, 1, b"x")
        trailers, end = encode(frames.TRAILERS, 1, b""), encode(frames.END, 1)
        upgraded = encode(frames.UPGRADED, 1)
        for wire in (
            [data], [trailers], [end], [upgraded], [head, upgraded], [head, data, head],
            [head, data, upgraded],
            [head, trailers, data], [head, trailers, trailers], [head, trailers, head],
        ):  # fmt: skip
            self.broken("opener", "stream_state", *wire, setup=lambda pair: pair.open())
        body = encode(frames.OPEN, 1, request(body=5).pack())
        no_body = encode(frames.OPEN, 1, request().pack(), FIN)
        upgrade = encode(frames.OPEN, 1, request(upgrade=True).pack())
        for wire in ([no_body, data], [no_body, end], [body, end, data], [body, end, end], [upgrade, data]):
            self.broken("acceptor", "stream_state", *wire)

    def test_messages(self) -> None:
        """Payloads that do not fit end the tunnel; so does an OPEN whose FIN and body disagree."""
        self.broken("acceptor", "bad_message", encode(frames.OPEN, 1, b"short"))
        self.broken("acceptor", "bad_message", encode(frames.OPEN, 1, request().pack()))
        self.broken("acceptor", "bad_message", encode(frames.OPEN, 1, request(body=1).pack(), FIN))
        self.broken("acceptor", "bad_message", encode(frames.OPEN, 1, request(upgrade=True).pack(), FIN))
        self.broken("acceptor", "bad_message", encode(frames.WINDOW, 1, pack_number(0)))
        self.broken("acceptor", "bad_message", encode(frames.RESET, 1, b""))
        self.broken("acceptor", "bad_message", encode(frames.GOAWAY, 0, b"123"))
        self.broken("acceptor", "bad_message", encode(frames.SETTINGS, 0, b"[]"))
        self.broken("acceptor", "bad_message", encode(frames.APPLIED, 0, b"1234567"))
        self.broken(
            "opener", "bad_message", encode(frames.TIMES, 1, bytes(11)), setup=lambda pair: pair.open()
        )

    def test_upgrade_not_asked_for(self) -> None:
        """UPGRADED on a stream that asked for no upgrade ends the tunnel."""
        wire = encode(frames.HEAD, 1, b"101") + encode(frames.UPGRADED, 1)
        self.broken("opener", "stream_state", wire, setup=lambda pair: pair.open())

    def test_credit(self) -> None:
        """DATA beyond the credit ends the tunnel, in frames or in parts; so does absurd credit."""
        opened = encode(frames.OPEN, 1, request(body=UNTIL_END).pack())

        def pause(pair: Pair) -> None:
            pair.acceptor.listener.on_opened = lambda recorder, message: stream_of(recorder).pause()

        full = encode(frames.DATA, 1, b"x" * (64 << 10))
        self.broken("acceptor", "flow_control", opened, full, encode(frames.DATA, 1, b"x"), setup=pause)
        self.broken("acceptor", "flow_control", opened, full, full[:20_000], setup=pause)
        self.broken("acceptor", "flow_control", opened, encode(frames.WINDOW, 1, pack_number(MAX_NUMBER)))

    def test_listener_decides(self) -> None:
        """A listener may refuse the peer at HELLO; its bug there closes the tunnel too."""
        for failure, code in ((TunnelError("role", "revoked"), "role"), (ZeroDivisionError(), "bug")):

            class Refusing(RecordingListener):
                def hello(self, peer_hello: object, failure: Exception = failure) -> None:
                    raise failure

            pair = Pair(greeted=False)
            pair.acceptor.session._state.listener = Refusing()
            error = self.assertRaises(TunnelError, pair.acceptor.session.receive, pair.opener.take())
            self.assertEqual(error.code, code)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class SmallFrameTests(SynchronousTestCase):
    """The frames of the tunnel itself."""

    def test_carried(self) -> None:
        """PING and its answer, RENEW both ways, CLIENT_GONE."""
        pair = Pair()
        pair.opener.session.ping(b"12345678")
        pair.opener.session.send_client_gone(77)
        pair.acceptor.session.send_renew(b"csr")
        pair.pump()
        pair.opener.session.send_renew(b"certificate")
        pair.pump()
        self.assertEqual(pair.opener.listener.calls[1:], [("renew", b"csr"), ("pong", b"12345678")])
        self.assertEqual(pair.acceptor.listener.calls[1:], [("client_gone", 77), ("renew", b"certificate")])

    def test_wake_once(self) -> None:
        """The session says once that it has output, and again after it was taken."""
        pair = Pair()
        before = pair.woken["opener"]
        pair.opener.session.ping()
        pair.opener.session.ping()
        pair.open()
        self.assertEqual(pair.woken["opener"], before + 1)
        wire = pair.opener.take()
        self.assertEqual([kind for kind, *_ in frames_of(wire)], [frames.PING, frames.PING, frames.OPEN])
        pair.opener.session.receive(encode(frames.PING, 0, b"", ACK))
        pair.open()
        self.assertEqual(pair.woken["opener"], before + 2)
