"""
Tests of credit, fairness and memory: L{appproxy.tunnel.outbox}, L{appproxy.tunnel.stream}
and L{appproxy.tunnel.state} together.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.tunnel import frames
from appproxy.tunnel.errors import TunnelRefused
from appproxy.tunnel.frames import BLOCKED, DATA, FIN
from appproxy.tunnel.messages import UNTIL_END
from appproxy.tunnel.outbox import PROMPT_FULL, PROMPT_ROOM, PROMPT_SHARE, QUEUED_FULL
from appproxy.tunnel.settings import KIB, MIB, TunnelSettings
from appproxy.tunnel.stream import HIGH_MARK, LOW_MARK, Stream
from tests.tunnel.support import TURN, Pair, Recorder, frames_of, request, stream_of


class Download:
    """A producer that writes whenever it may, as a backend connection does."""

    def __init__(self, server: Recorder, size: int, piece: int = 64 * KIB) -> None:
        self.stream = stream_of(server)
        self.left = size
        self.piece = piece
        self.recorder = server
        self.most = 0
        server.on_writable = self.go
        self.stream.head(b"200")
        self.go()

    def go(self) -> None:
        """Write until told to pause."""
        while self.left and self.recorder.can_write:
            size = min(self.piece, self.left)
            self.left -= size
            self.stream.write(b"d" * size)
            self.most = max(self.most, self.stream.queued)
        if not self.left:
            self.stream.end()


class CreditTests(SynchronousTestCase):
    """Who may send how much."""

    def test_writable(self) -> None:
        """A stream without credit keeps what is written, pauses its producer, and wakes it later."""
        pair = Pair()
        client, server = pair.exchange()
        stream_of(client).pause()
        download = Download(server, 10 * MIB)
        pair.pump()
        self.assertFalse(server.can_write)
        self.assertEqual(len(client.body), 64 * KIB)
        self.assertLessEqual(download.most, HIGH_MARK + 64 * KIB)
        stream_of(client).resume()
        pair.pump()
        self.assertEqual(len(client.body), 10 * MIB)
        self.assertEqual(client.calls[-1], ("ended",))
        self.assertLess(LOW_MARK, HIGH_MARK)

    def test_small_bodies_need_no_window(self) -> None:
        """Credit is granted when half of it is used, not for every answer."""
        pair = Pair()
        client, server = pair.exchange()
        stream_of(server).head(b"200")
        stream_of(server).write(b"x" * 16_000)
        pair.opener.session.receive(pair.acceptor.take())
        self.assertEqual(pair.opener.take(), b"")
        stream_of(server).write(b"x" * 20_000)
        pair.opener.session.receive(pair.acceptor.take())
        self.assertEqual([frame[0] for frame in frames_of(pair.opener.take())], [frames.WINDOW])
        self.assertEqual(len(client.body), 36_000)

    def test_no_window_after_the_end(self) -> None:
        """Nobody grants credit to a direction that has ended."""
        pair = Pair()
        _, server = pair.exchange()
        stream_of(server).head(b"200")
        stream_of(server).write(b"x" * (64 * KIB))
        stream_of(server).end()
        pair.opener.session.receive(pair.acceptor.take())
        self.assertEqual(pair.opener.take(), b"")

    def test_no_window_for_what_will_not_come(self) -> None:
        """Who knows how much is still to come grants no credit beyond it."""
        pair = Pair()
        client, server = pair.exchange()
        stream_of(client).expect(200 * KIB)
        Download(server, 200 * KIB)
        windows = 0
        while client.calls[-1:] != [("ended",)]:
            pair.opener.session.receive(pair.acceptor.take())
            granted = pair.opener.take()
            windows += len(frames_of(granted))
            pair.acceptor.session.receive(granted)
        self.assertEqual(len(client.body), 200 * KIB)
        unaware = 200 // 32
        self.assertLess(windows, unaware)
        self.assertLess(0, windows)

        client, server = pair.exchange()
        stream_of(client).expect(64 * KIB)
        stream_of(server).head(b"200")
        stream_of(server).write(b"x" * (60 * KIB))
        pair.opener.session.receive(pair.acceptor.take())
        stream_of(client).pause()
        stream_of(client).resume()
        self.assertEqual(pair.opener.take(), b"")

    def test_more_than_expected(self) -> None:
        """A peer that has more than was expected gets it through, paused or not: the reader judges it."""
        for paused in (False, True):
            pair = Pair()
            client, server = pair.exchange()
            stream_of(client).expect(64 * KIB)
            if paused:
                stream_of(client).pause()
            Download(server, 300 * KIB)
            pair.pump()
            stream_of(client).resume()
            pair.pump()
            self.assertEqual(len(client.body), 300 * KIB)

    def test_blocked_is_said_once(self) -> None:
        """A sender without credit says so with its last DATA, or once with an empty one."""
        pair = Pair()
        client, server = pair.exchange()
        stream_of(client).pause()
        stream_of(server).head(b"200")
        stream_of(server).write(b"x" * (64 * KIB))
        stream_of(server).write(b"y")
        sent = [frame for frame in frames_of(pair.acceptor.take()) if frame[0] == DATA]
        self.assertEqual([frame[1] for frame in sent], [BLOCKED])
        stream_of(server).write(b"z")
        self.assertEqual(pair.acceptor.take(), b"")

        _, other = pair.exchange()
        stream_of(other).head(b"200")
        stream_of(other).write(b"x" * (64 * KIB))
        pair.acceptor.take()
        for _ in range(3):
            stream_of(other).write(b"y")
        self.assertEqual(frames_of(pair.acceptor.take()), [(DATA, BLOCKED, 2, b"")])

    def test_window_grows(self) -> None:
        """Where the window is what limits, it doubles up to its limit, and returns its share at the end."""
        settings = TunnelSettings(max_window=1 * MIB)
        windows = [64 * KIB]
        pair = Pair(opener=settings)
        client, server = pair.exchange()
        Download(server, 20 * MIB)
        while client.calls[-1:] != [("ended",)]:
            pair.opener.session.receive(pair.acceptor.take())
            windows.append(stream_of(client)._window)
            pair.acceptor.session.receive(pair.opener.take())
        self.assertEqual(len(client.body), 20 * MIB)
        self.assertEqual(windows, sorted(windows))
        self.assertGreater(max(windows), 200 * KIB)
        self.assertLessEqual(max(windows), 1 * MIB)
        self.assertEqual(pair.opener.session._state._growth_left, settings.growth_limit)

    def test_slow_reader_does_not_grow(self) -> None:
        """Where the reader is what limits, the window stays as it is."""
        pair = Pair()
        client, server = pair.exchange()
        client.on_data = lambda data: stream_of(client).pause()
        Download(server, 2 * MIB)
        for _ in range(20):
            pair.pump()
            stream_of(client).resume()
        self.assertEqual(stream_of(client)._window, 64 * KIB)

    def test_growth_is_limited_together(self) -> None:
        """All windows' growth stays below the tunnel's limit, and nobody takes it all."""
        settings = TunnelSettings(growth_limit=4 * MIB)
        pair = Pair(opener=settings)
        clients = []
        for _ in range(20):
            client, server = pair.exchange_now()
            Download(server, 100 * MIB)
            clients.append(client)
        for _ in range(20):
            long_way = b"".join(pair.acceptor.take() for _ in range(20))
            pair.opener.session.receive(long_way)
            pair.acceptor.session.receive(pair.opener.take())
        windows = [stream_of(client)._window for client in clients]
        self.assertLessEqual(sum(windows) - 20 * 64 * KIB, 4 * MIB)
        self.assertGreater(sum(window > 64 * KIB for window in windows), 10)


class FairnessTests(SynchronousTestCase):
    """Nobody waits for another's bulk."""

    def test_small_answer_passes_bulk(self) -> None:
        """A small answer leaves with the next write, however much other streams have queued."""
        pair = Pair(opener=TunnelSettings(initial_window=8 * MIB))
        for _ in range(10):
            stream_of(pair.exchange()[1]).head(b"200")
        for bulk in pair.acceptor.listener.served:
            stream_of(bulk).write(b"b" * MIB)
        pair.acceptor.take()
        client, server = pair.exchange_now()
        stream_of(server).head(b"200")
        stream_of(server).write(b"x" * 1000)
        stream_of(server).end()
        wire = pair.acceptor.take()
        self.assertEqual([frame[2] for frame in frames_of(wire)[:2]], [stream_of(client).id] * 2)

    def test_turn_is_bounded(self) -> None:
        """One turn's write is bounded, whatever is queued."""
        pair = Pair(opener=TunnelSettings(initial_window=8 * MIB))
        for _ in range(30):
            _, server = pair.exchange()
            stream_of(server).head(b"200")
            stream_of(server).write(b"b" * MIB)
            pair.acceptor.session.ping(b"x" * 64)
        while wire := pair.acceptor.take():
            self.assertLess(len(wire), TURN + 66 * KIB)

    def test_round_robin(self) -> None:
        """Streams with much to send get equal shares."""
        pair = Pair(opener=TunnelSettings(initial_window=8 * MIB))
        for _ in range(8):
            _, server = pair.exchange_now()
            stream_of(server).head(b"200")
            stream_of(server).write(b"b" * (2 * MIB))
        sent = dict.fromkeys(range(1, 9), 0)
        for _ in range(20):
            for kind, _, number, payload in frames_of(pair.acceptor.take()):
                if kind == DATA:
                    sent[number] += len(payload)
        self.assertLessEqual(max(sent.values()) - min(sent.values()), 64 * KIB)

    def test_many_small_streams_leave_room_for_bulk(self) -> None:
        """A crowd that always has more than a turn takes cannot starve a download: it gets its share."""
        pair = Pair(opener=TunnelSettings(initial_window=8 * MIB))
        client, server = pair.exchange_now()
        Download(server, 3 * MIB)
        crowd: list[Stream] = []
        for _ in range(40):
            _, each = pair.exchange_now()
            stream_of(each).head(b"200")
            crowd.append(stream_of(each))
        for _ in range(100):
            for stream in crowd:
                stream.write(b"s" * (PROMPT_SHARE // 2))
            pair.opener.session.receive(pair.acceptor.take())
        self.assertGreater(len(client.body), 100 * TURN // 41 // 2)

    def test_share_of_a_turn(self) -> None:
        """What one stream can put ahead of others' turns is bounded, and its bytes stay in order."""
        pair = Pair(opener=TunnelSettings(initial_window=8 * MIB))
        client, server = pair.exchange()
        stream_of(server).head(b"200")
        for number in range(1000):
            stream_of(server).write(bytes([number % 256]) * 100)
        parts = pair.acceptor.session._state.box.parts
        self.assertLessEqual(sum(map(len, parts)), PROMPT_SHARE)
        pair.pump()
        self.assertEqual(client.body, b"".join(bytes([number % 256]) * 100 for number in range(1000)))
        self.assertGreater(PROMPT_ROOM, PROMPT_SHARE)

    def test_more_prompt_than_a_turn(self) -> None:
        """A backlog of control frames leaves over several turns, in order, before any bulk."""
        pair = Pair()
        for number in range(1, 20):
            pair.opener.session.send_principal(number, bytes([number]) * 50_000)
        _, client = pair.open(request(body=UNTIL_END, number=19, claims=bytes([19]) * 50_000))
        stream_of(client).write(b"u" * 100_000)
        stream_of(client).end()
        wires = []
        while wire := pair.opener.take():
            wires.append(wire)
            pair.acceptor.session.receive(wire)
            pair.opener.session.receive(pair.acceptor.take())
        self.assertGreater(len(wires), 4)
        self.assertEqual([call[1] for call in pair.acceptor.listener.calls[1:]], list(range(1, 20)))
        self.assertEqual(len(pair.acceptor.listener.served[0].body), 100_000)
        self.assertEqual(pair.acceptor.listener.served[0].calls[-1], ("ended",))

    def test_requests_keep_their_order(self) -> None:
        """
        However large heads are, requests arrive in the order of their numbers, and the answer to a ping
        behind them: a number that comes too late would end the tunnel for everybody.
        """
        self.assert_in_order(Pair(), "small", "large", "small", "large")

    def test_requests_keep_their_order_behind_others(self) -> None:
        """The same where what waits already fills the turn."""
        pair = Pair()
        while pair.opener.session.prompt_output < PROMPT_ROOM - KIB:
            _, client = pair.open(request(body=UNTIL_END))
            stream_of(client).write(b"u" * (PROMPT_SHARE // 2))
        self.assert_in_order(pair, "medium", "small", "medium", "small")

    def assert_in_order(self, pair: Pair, *heads: str) -> None:
        """Open a stream for each head, and see in which order they arrive."""
        arrived: list[object] = []
        pair.acceptor.listener.on_opened = lambda _, message: arrived.append(message.head)
        self.patch(pair.acceptor.listener, "pong", arrived.append)
        sizes = {"small": 10, "medium": 2 * KIB, "large": 60 * KIB}
        sent = [b"x" * sizes[each] for each in heads]
        for head in sent:
            pair.open(request(head))
        pair.acceptor.session.ping(b"?")
        pair.opener.session.receive(pair.acceptor.take())
        pair.pump()
        self.assertEqual(arrived[-len(heads) - 1 :], [*sent, b"?"])

    def test_many_large_requests(self) -> None:
        """Where requests come faster than they leave, no more are taken on; those that were leave whole."""
        pair = Pair()
        opened = 0
        with self.assertRaises(TunnelRefused) as caught:
            while True:
                pair.open(request(b"GET /" + b"x" * 120_000))
                opened += 1
        self.assertEqual(caught.exception.reason, "overloaded")
        self.assertLess(pair.opener.session.prompt_output, PROMPT_FULL + 256 * KIB)
        pair.pump()
        self.assertEqual(len(pair.acceptor.listener.served), opened)
        self.assertTrue(pair.opener.session.usable)


class StallTests(SynchronousTestCase):
    """One stalled stream, many busy ones."""

    def test_stalled_stream_blocks_nobody(self) -> None:
        """
        While one reader stalls, a hundred others get everything, and memory stays bounded.

        Security row 31.
        """
        pair = Pair()
        stalled, stalled_server = pair.exchange()
        stream_of(stalled).pause()
        stuck = Download(stalled_server, 20 * MIB)
        clients = []
        for _ in range(100):
            client, server = pair.exchange_now()
            Download(server, MIB // 4)
            clients.append(client)
        pair.pump()
        self.assertEqual({len(client.body) for client in clients}, {MIB // 4})
        self.assertEqual(len(stalled.body), 64 * KIB)
        self.assertLessEqual(stuck.most, HIGH_MARK + 64 * KIB)
        self.assertEqual(pair.acceptor.session.queued, stream_of(stalled_server).queued)
        stream_of(stalled).resume()
        pair.pump()
        self.assertEqual(len(stalled.body), 20 * MIB)

    def test_all_stalled(self) -> None:
        """With every reader stalled, what waits is bounded, and no new stream is taken on."""
        pair = Pair()
        for _ in range(500):
            client, server = pair.exchange()
            stream_of(client).pause()
            Download(server, MIB)
        pair.pump()
        self.assertLess(pair.acceptor.session.queued, QUEUED_FULL + 500 * 80 * KIB)
        held = sum(len(recorder.body) for recorder in pair.opener.listener.served)
        self.assertLessEqual(held, 500 * 64 * KIB)

    def test_unread_uploads_refuse_new_streams(self) -> None:
        """An opener whose uploads pile up opens nothing more until they drain."""
        pair = Pair()
        with self.assertRaises(TunnelRefused) as caught:
            for _ in range(1000):
                _, client = pair.open(request(body=UNTIL_END))
                stream_of(client).write(b"u" * 200_000)
        self.assertEqual(caught.exception.reason, "overloaded")
        self.assertLess(pair.opener.session.queued, QUEUED_FULL + MIB)
        self.assertFalse(pair.opener.session.usable)

    def test_fin_with_the_last_data(self) -> None:
        """The end of a long body rides on its last DATA frame."""
        pair = Pair()
        _, server = pair.exchange()
        stream_of(server).head(b"200")
        stream_of(server).write(b"x" * 40_000)
        stream_of(server).end()
        sent = frames_of(pair.acceptor.take())
        self.assertEqual(sent[-1][:2], (DATA, FIN))
