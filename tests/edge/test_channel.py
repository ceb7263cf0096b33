"""
Tests of L{appproxy.edge.channel}, its line and its answers: what a client
connection may do, for how long, and what our own mistakes cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import CancelledError

from appproxy.edge.answers import Answers
from appproxy.edge.client_writer import RequestSink
from appproxy.edge.gate import Gate
from appproxy.edge.line import CLOSE_SECONDS, DRAIN_BYTES
from appproxy.edge.upload_watch import BODY_RATE_WINDOW_SECONDS
from tests.contract.rig import Client, edge_settings
from tests.contract.support import HR, WIKI, ContractCase, Head, request
from tests.corpus.cases import BAD_REQUESTS, REQUESTS

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"


def broken(*_arguments: Any, **_more: Any) -> Any:
    """Ours, and wrong."""
    raise ZeroDivisionError


class BrokenSink:
    """Ours, and wrong: takes no body."""

    client_data = broken
    client_end = broken
    pause = broken
    resume = broken

    def __init__(self, exchange: RequestSink) -> None:
        self.client_gone = exchange.client_gone


class SmugglingTests(ContractCase):
    """Bytes that are no request, or could be two."""

    def test_corpus(self) -> None:
        """
        Each is answered with its status, and the connection ends; behind it nothing is read.

        Security row 26.
        """
        for case in BAD_REQUESTS:
            client = self.rig.client()
            client.send(case.message(WIKI) + request(b"GET /evil HTTP/1.1"))
            head = Head(client.take())
            self.assertEqual(head.status, case.status, case.name)
            self.assertEqual(head.all(b"connection"), [b"close"], case.name)
            self.assertTrue(client.ended, case.name)
            self.assertNotIn(b"HTTP/1.1", head.rest, case.name)
            finished = self.rig.finished[-1]
            self.assertEqual((finished.status, finished.reason), (case.status, case.rules[0]), case.name)
            client.leave()
        for backend in self.rig.backends:
            self.assertNotIn(b"/evil", backend.received)

    def test_stalled(self) -> None:
        """
        Who stalls, wherever in a request, gets a 408 once its time is over, and loses the connection.

        Security row 30.
        """
        for case in REQUESTS:
            if case.ends != "stall":
                continue
            client = self.rig.client()
            client.send(case.message(WIKI))
            for _ in case.gets:
                self.rig.backend.send(OK)
                self.assertEqual(Head(client.take()).status, 200, case.name)
            self.rig.pass_time(2 * BODY_RATE_WINDOW_SECONDS)
            answer = client.take()
            self.assertTrue(client.ended, case.name)
            if case.status:
                head = Head(answer)
                self.assertEqual((head.status, head.all(b"connection")), (case.status, [b"close"]), case.name)
                self.assertEqual(self.rig.finished[-1].reason, case.rules[0], case.name)
            else:
                self.assertEqual(answer, b"", case.name)
            client.leave()

    def test_behind_a_good_one(self) -> None:
        """The request before it is still answered."""
        client, backend, _ = self.forward(request() + b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n")
        backend.send(OK)
        first = Head(client.take())
        self.assertEqual((first.status, first.rest[:13]), (200, b"aHTTP/1.1 400"))
        self.assertTrue(client.ended)
        self.assertIn((200, ""), self.reasons)

    def test_too_much_pipelined(self) -> None:
        """A client that goes on sending while its request is served is stopped by our not reading."""
        client, backend, _ = self.forward(request())
        client.send(request() * 40_000)
        self.assertGreater(len(client.transport.waiting), 1_000_000)
        client.leave()
        self.assertTrue(backend.ended)


class TimeTests(ContractCase):
    """How long a client may take."""

    def test_silent(self) -> None:
        """A connection on which nothing comes is closed."""
        client = self.rig.client()
        self.rig.pass_time(12)
        self.assertTrue(client.ended)
        self.assertEqual((client.take(), self.rig.finished), (b"", []))

    def test_slow_head(self) -> None:
        """A head that does not end is answered with 408, however busily it comes."""
        client = self.rig.client()
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        for number in range(12):
            client.send(b"X-%d: y\r\n" % number)
            self.rig.pass_time(1)
        self.assertEqual(Head(client.take()).status, 408)
        self.assertTrue(client.ended)

    def test_slow_second_head(self) -> None:
        """So is a later one, also when it began together with the one before."""
        for first, second in ((request(), b"GET / HT"), (request() + b"GET / HT", b"")):
            client, backend, _ = self.forward(first)
            backend.send(OK)
            self.assertEqual(Head(client.take()).status, 200)
            if second:
                client.send(second)
            self.rig.pass_time(12)
            self.assertEqual(Head(client.take()).status, 408)

    def test_idle(self) -> None:
        """A kept connection is closed when nothing was asked for a whole period, without a word."""
        client, backend, _ = self.forward(request())
        backend.send(OK)
        client.take()
        self.rig.pass_time(70)
        self.assert_works(client)
        self.rig.pass_time(70)
        self.assertFalse(client.ended)
        self.rig.pass_time(90)
        self.assertTrue(client.ended)
        self.assertEqual(client.take(), b"")

    def test_peer_that_does_not_close(self) -> None:
        """Who does not close its side is cut, and what it still sends is bounded."""
        for size in (0, DRAIN_BYTES + 1):
            client = self.rig.plain_client()
            client.send(b"nonsense\r\n\r\n")
            self.assertEqual(Head(client.take()).status, 400)
            client.send(b"x" * size * 2)
            self.assertLessEqual(len(client.transport.waiting), size)
            self.rig.pass_time(CLOSE_SECONDS + 2)
            self.assertIsNotNone(client.lost)

    def test_plain_connection_is_half_closed(self) -> None:
        """Without TLS our direction is closed first, so that no reset destroys the answer."""
        client = self.rig.plain_client()
        client.send(b"nonsense\r\n\r\n")
        self.assertEqual(Head(client.take()).status, 400)
        self.assertTrue(client.half_closed)
        self.assertIsNone(client.lost)
        self.rig.pass_time(CLOSE_SECONDS + 2)
        self.assertIsNotNone(client.lost)


class DrainTests(ContractCase):
    """The daemon stops."""

    def test_nobody_there(self) -> None:
        """Without connections there is nothing to wait for."""
        self.successResultOf(self.rig.web.drain())

    def test_given_up(self) -> None:
        """Who no longer waits is not told."""
        client, backend, _ = self.forward(request())
        done = self.rig.web.drain()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        backend.send(OK)
        self.assertTrue(client.ended)

    def test_drain(self) -> None:
        """Idle connections close now, busy ones after their answer, once the client has read it."""
        idle = self.rig.client()
        busy, backend, _ = self.forward(request())
        begun, backend_of_begun, _ = self.forward(request())
        backend_of_begun.send(OK[:-1])
        done = self.rig.web.drain()
        self.rig.network.run()
        self.assertTrue(idle.ended)
        self.assertFalse(busy.ended)
        backend.send(OK)
        self.assertEqual(Head(busy.take()).all(b"connection"), [b"close"])
        self.assertTrue(busy.ended)
        self.assertNoResult(done)
        begun.stop_reading()
        backend_of_begun.send(b"a")
        self.assertNoResult(done)
        begun.go_on_reading()
        self.assertTrue(begun.take().endswith(b"a"))
        self.assertTrue(begun.ended)
        self.successResultOf(done)

    def test_cut(self) -> None:
        """What is left then is cut, and has its line in the log."""
        client, backend, _ = self.forward(request())
        self.rig.web.drain()
        self.rig.web.cut_all()
        self.rig.network.run()
        self.assertIsNotNone(client.lost)
        self.assertTrue(backend.ended)
        self.assertEqual(len(self.rig.finished), 1)

    def test_numbers(self) -> None:
        """Connections are counted while they last."""
        client = self.rig.client()
        self.rig.plain_client().leave()
        self.assertEqual(self.rig.web.connections, 1)
        client.leave()
        self.assertEqual(self.rig.web.connections, 0)


class HandedQueue:
    """Turns that are the test's."""

    def __init__(self) -> None:
        self.waiting: dict[Callable[[], None], None] = {}

    def enter(self, begin: Callable[[], None], abort: Callable[[], None]) -> None:
        """As L{TurnQueue.enter<appproxy.transport.turn_queue.TurnQueue.enter>}, in a full turn."""
        self.waiting[begin] = None

    def leave(self, begin: Callable[[], None]) -> None:
        """As L{TurnQueue.leave<appproxy.transport.turn_queue.TurnQueue.leave>}."""
        self.waiting.pop(begin, None)

    def turn(self) -> None:
        """The first one's."""
        begin = next(iter(self.waiting))
        del self.waiting[begin]
        begin()


class ArrivalTests(ContractCase):
    """The first request of a connection, in a crowd."""

    def setUp(self) -> None:
        super().setUp()
        self.queue = self.rig.web._secure.arrivals = cast(Any, HandedQueue())

    def turn(self) -> None:
        """Somebody's turn comes."""
        self.queue.turn()
        self.rig.network.run()

    def test_waits(self) -> None:
        """It is not looked at before its turn; from then on the connection waits no more."""
        client = self.rig.client()
        client.send(request()[:5])
        client.send(request()[5:])
        self.assertEqual((self.rig.backends, len(self.queue.waiting)), ([], 1))
        self.turn()
        self.rig.backend.take()
        self.rig.backend.send(OK)
        self.assertEqual(Head(client.take()).rest, b"a")
        self.assertEqual(self.queue.waiting, {})
        self.assert_works(client)

    def test_bounded(self) -> None:
        """Of who says more meanwhile no more than one read is held; nothing is lost."""
        client = self.rig.client()
        body = b"x" * 500_000
        client.send(request(b"PUT / HTTP/1.1", b"Content-Length: 500000", body=body))
        client.send(b"")
        self.assertGreater(len(client.transport.waiting), 400_000)
        self.turn()
        self.assertEqual(len(Head(self.rig.backend.take()).rest), len(body))

    def test_gone(self) -> None:
        """Who leaves takes no turn."""
        client = self.rig.client()
        client.send(request())
        client.leave()
        self.assertEqual(self.queue.waiting, {})
        self.assertEqual(self.rig.backends, [])

    def test_drained(self) -> None:
        """A daemon that stops answers what has come."""
        client = self.rig.client()
        client.send(request())
        done = self.rig.web.drain()
        self.turn()
        self.rig.backend.take()
        self.rig.backend.send(OK)
        self.assertEqual(Head(client.take()).all(b"connection"), [b"close"])
        self.assertTrue(client.ended)
        self.successResultOf(done)

    def test_drained_without_request(self) -> None:
        """What has come only in part when the daemon stops is not waited for."""
        client = self.rig.client()
        client.send(request()[:9])
        done = self.rig.web.drain()
        self.turn()
        self.assertTrue(client.ended)
        self.successResultOf(done)

    def test_not_its_fault(self) -> None:
        """Whoever waits for a turn is neither reproached with a slow head nor idle."""
        client = self.rig.client()
        client.send(request())
        self.rig.network.pass_time(edge_settings().limits.idle_timeout + 1)
        self.assertFalse(client.ended)
        self.turn()
        self.rig.backend.take()
        self.rig.backend.send(OK)
        self.assertEqual(Head(client.take()).rest, b"a")

    def test_after_the_end(self) -> None:
        """What comes once the connection has ended waits for no turn, and is not held."""
        self.queue = self.rig.web._plain.arrivals = cast(Any, HandedQueue())
        client = self.rig.plain_client()
        self.rig.network.pass_time(edge_settings().limits.head_timeout + 1)
        self.assertTrue(client.half_closed)
        client.send(b"x" * 3 * DRAIN_BYTES)
        self.assertEqual(self.queue.waiting, {})
        self.assertGreater(len(client.transport.waiting), DRAIN_BYTES)


class FirstSightTests(ContractCase):
    """A session that this edge has not seen yet."""

    def new_here(self) -> bytes:
        """The Cookie header of a session that another edge made."""
        session_id, cookie = self.signed_in()
        self.rig.sessions._memory.sessions.pop(session_id)
        return cookie

    def test_fetched(self) -> None:
        """It is looked up; the request, its body and what follows wait."""
        cookie = self.new_here()
        client = self.rig.client(HR.decode())
        client.send(
            request(b"POST / HTTP/1.1", cookie, b"Content-Length: 3", host=HR, body=b"abc")
            + request(b"GET /two HTTP/1.1", cookie, host=HR)
        )
        self.assertEqual(Head(self.rig.backend.take()).rest, b"abc")
        self.rig.backend.send(OK)
        self.assertEqual(Head(self.rig.backend.take()).line, b"GET /two HTTP/1.1")

    def test_slow_store(self) -> None:
        """While it is looked up, no more than one read is held; a client that leaves is forgotten."""
        cookie = self.new_here()
        waiting: list[Any] = []
        self.rig.web._secure.fetch = lambda _id, done: waiting.append(done)
        client = self.rig.client(HR.decode())
        client.send(
            request(b"PUT / HTTP/1.1", cookie, b"Content-Length: 9000000", host=HR) + b"x" * 2_000_000
        )
        self.assertGreater(len(client.transport.waiting), 1_900_000)
        client.leave()
        waiting[0]()
        self.assertEqual(self.rig.backends, [])
        self.assertEqual(self.reasons, [(0, "client_gone")])

    def test_store_away(self) -> None:
        """
        If nobody can tell, the answer is 503, never the application and never a loop.

        Security row 44.
        """
        cookie = self.new_here()
        self.rig.web._secure.fetch = lambda _id, done: done()
        client = self.rig.client(HR.decode())
        client.send(request(b"GET / HTTP/1.1", cookie, b"Accept: text/html", host=HR))
        self.assertEqual(Head(client.take()).status, 503)
        self.assertEqual(self.reasons, [(503, "store_unreachable")])

    def test_gone(self) -> None:
        """A session that ended elsewhere leads to sign-in."""
        session_id, cookie = self.signed_in()
        self.rig.end_session(session_id)
        client = self.rig.client(HR.decode())
        client.send(request(b"GET / HTTP/1.1", cookie, b"Accept: text/html", host=HR))
        self.assertEqual(Head(client.take()).status, 302)


class BugTests(ContractCase):
    """Our own mistakes cost one request, and are in the log."""

    def assert_500(self, client: Client, errors: int = 1) -> None:
        """The answer is a 500 with the transaction's id; nothing hangs."""
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), errors)
        head = Head(client.take())
        self.assertEqual(head.status, 500)
        self.assertIn(self.rig.finished[-1].id.encode(), head.rest)
        self.assertEqual(self.reasons[-1], (500, "bug"))

    def test_gate(self) -> None:
        """A gate that raises: 500, the connection ends, since nobody knows where it stands."""
        self.patch(self.rig.web._secure, "judge", broken)
        client = self.send(request() + request())
        self.assert_500(client)
        self.assertTrue(client.ended)
        self.assertEqual(len(self.rig.finished), 1)

    def test_gate_after_a_look_up(self) -> None:
        """Likewise when it is asked again."""
        session_id, cookie = self.signed_in()
        self.rig.sessions._memory.sessions.pop(session_id)
        judge, heads = self.rig.web._secure.judge, []

        def once(head: Any, facts: Any) -> Any:
            heads.append(head)
            return judge(head, facts) if len(heads) == 1 else broken()

        self.patch(self.rig.web._secure, "judge", once)
        self.assert_500(self.send(request(b"GET / HTTP/1.1", cookie, host=HR), HR))

    def test_opener(self) -> None:
        """A relay that raises: the exchange is closed too."""
        self.patch(self.rig.web.exchanges, "opener", None)
        client = self.send(request(b"POST / HTTP/1.1", b"Content-Length: 3", body=b"abc"))
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.assertEqual(Head(client.take()).status, 500)
        self.assertEqual(self.rig.web.live.count, 0)

    def test_pages(self) -> None:
        """A page that cannot be made is said in plain words, with its own status."""
        self.patch(Answers, "refused", broken)
        client, backend, _ = self.forward(request())
        backend.transport.loseConnection()
        self.rig.network.run()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        head = Head(client.take())
        self.assertEqual((head.status, head.all(b"content-type")), (502, [b"text/plain; charset=utf-8"]))
        self.assertTrue(client.ended)

    def test_in_the_answer(self) -> None:
        """Where the answer has begun, it is broken off."""
        client, backend, _ = self.forward(request(b"PUT / HTTP/1.1", b"Content-Length: 9", body=b"abc"))
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        channel = next(iter(self.rig.web._secure.channels))
        exchange = channel._sink
        assert exchange is not None
        channel._sink = BrokenSink(exchange)
        client.send(b"def")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(Head(client.take()).rest, b"abc")
        self.assertTrue(client.ended)

    def test_one_of_several_requests(self) -> None:
        """The requests before a mistake are answered; those after it are not begun."""
        good = Gate.judge
        calls: list[int] = []

        def judge(*arguments: Any) -> Any:
            calls.append(1)
            return good(self.rig.web.gate, *arguments) if len(calls) < 3 else broken()

        self.patch(self.rig.web._secure, "judge", judge)
        client = self.send(request(b"GET /%00 HTTP/1.1") * 5)
        self.assertEqual(client.take().count(b"HTTP/1.1 "), 3)
        self.assertEqual([status for status, _ in self.reasons], [400, 400, 500])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class HttpTests(ContractCase):
    """A connection without TLS."""

    def test_redirect(self) -> None:
        """Known hosts are sent to https with the bytes of their target; the connection lives on."""
        client = self.rig.plain_client()
        for _ in range(2):
            client.send(request(b"GET /a%20b?c=/../ HTTP/1.1"))
            head = Head(client.take())
            self.assertEqual(
                (head.status, head.all(b"location")), (308, [b"https://" + WIKI + b"/a%20b?c=/../"])
            )
        self.assertEqual(self.rig.backends, [])
