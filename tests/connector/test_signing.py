"""L{appproxy.connector.signing}: sign-on that each request needs anew, through an exchange."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from appproxy.connector.signing import MAXIMUM_DROPPED_BYTES
from appproxy.httpwire.block import Blocks, blocks_of, fields_of
from appproxy.httpwire.field import Fields, field
from appproxy.model.application import Backend
from appproxy.model.principal import Principal
from appproxy.sso.errors import SignOnError
from appproxy.sso.modes import SignOns
from appproxy.sso.sign_on import Attempt, SignOn
from appproxy.tunnel.times import seconds_at
from tests.connector.support import ADA, EVE, Answer, Edge, backend, failures_of

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ASKS = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 4\r\n\r\nwho?"
SECRET = b"X-Secret"


class Counted(Attempt):
    """
    Numbers what it sends; asks again as often as the application answers 401, three times at most.

    @ivar held: what is not ready yet, if the mode holds it back.
    """

    def __init__(self, mode: CountedMode, principal: Principal | None, repeatable: bool) -> None:
        self._mode = mode
        self._principal = principal
        self._repeatable = repeatable
        self._sent = 0
        self.headers: Fields = []

    def prepare(self) -> Deferred[None] | None:
        """Headers, at once or later."""
        self._mode.before()
        waiting: Deferred[None] | None = None
        if self._mode.holds:
            waiting = Deferred(self._mode.cancelled.append)
            self._mode.waiting.append(waiting)
        user = self._principal.subject if self._principal is not None else ""
        self._sent += 1
        self.headers = [field(b"Authorization", b"%s-%d" % (user.encode(), self._sent))]
        return waiting

    def answered(self, status: int, headers: Blocks) -> bool:
        """Ask again after 401; 418 is not for the user."""
        if status == 418:
            raise SignOnError("a teapot", "sso_unavailable")
        return status == 401 and self._repeatable and self._sent < 4

    def passed(self, headers: Blocks) -> Blocks:
        """All but one."""
        return blocks_of([each for each in fields_of(headers) if each.name != SECRET])

    def proved(self) -> bool | None:
        """As the mode says."""
        return self._mode.proved


class CountedMode(SignOn):
    """A mode that signs on each request."""

    def __init__(self) -> None:
        super().__init__([b"Authorization"], binds_connection=True)
        self.holds = False
        self.waiting: list[Deferred[None]] = []
        self.cancelled: list[Deferred[None]] = []
        self.before: Callable[[], object] = str
        self.proved: bool | None = None

    def attempt(self, principal: Principal | None, repeatable: bool) -> Attempt:
        """One for each request."""
        return Counted(self, principal, repeatable)


class CountedSignOns(SignOns):
    """Every application has the same mode."""

    def __init__(self) -> None:
        super().__init__(["none"])
        self.mode = CountedMode()
        self.forgotten: list[Principal] = []

    def of(self, backend: Backend) -> SignOn:
        """The mode."""
        return self.mode

    def forget(self, principal: Principal) -> None:
        """Note it."""
        self.forgotten.append(principal)


class SigningTests(SynchronousTestCase):
    """An exchange whose request is signed on by itself."""

    def setUp(self) -> None:
        self.sign_ons = CountedSignOns()
        self.mode = self.sign_ons.mode
        self.edge = Edge([backend(passthrough=False)], self.sign_ons)
        self.edge.know(1, ADA)
        self.edge.know(2, EVE)

    def ask(self, method: bytes = b"GET", body: int = -2, client: int = 1) -> Answer:
        """A request of Ada's."""
        if body == -2:
            return self.edge.request(method, user=1, principal=ADA, client=client)
        return self.edge.request(method, user=1, principal=ADA, body=body, client=client)

    def sent(self) -> bytes:
        """What signed on the newest request of the newest connection."""
        head = self.edge.transport.take()
        self.assertEqual(head.count(b"Authorization: "), 1, head)
        return head.partition(b"Authorization: ")[2].partition(b"\r\n")[0]

    def test_at_once(self) -> None:
        """What is there at once goes with the first byte, for the user of the request."""
        answer = self.ask()
        self.assertEqual(self.sent(), b"ada-1")
        self.edge.say(OK)
        self.assertEqual((answer.status, bytes(answer.body), answer.complete), (200, b"hi", True))

    def test_later(self) -> None:
        """Nothing is dialled or sent before it is there."""
        self.mode.holds = True
        answer = self.ask()
        self.assertEqual(self.edge.backends.transports, [])
        self.mode.waiting.pop().callback(None)
        self.assertEqual(self.sent(), b"ada-1")
        self.edge.say(OK)
        self.assertTrue(answer.complete)

    def test_fails_later(self) -> None:
        """A sign-on that comes to nothing says why to the edge, and no backend is asked."""
        self.mode.holds = True
        answer = self.ask()
        self.mode.waiting.pop().errback(SignOnError("no ticket", "sso_timeout"))
        self.edge.pump()
        self.assertEqual(answer.reason, "sso_timeout")
        self.assertEqual(self.edge.backends.transports, [])

    def times(self, answer: Answer) -> list[float]:
        """What the edge is told: seconds at the connector, at the application, and for the sign-on."""
        ((_, payload),) = [each for each in answer.calls if each[0] == "times"]
        return [seconds_at(payload, at) for at in (0, 4, 8)]

    def pass_and(self, seconds: float, result: object = None) -> None:
        """Time passes, and the sign-on is done, or comes to nothing."""
        self.edge.clock.advance(seconds)
        waiting = self.mode.waiting.pop()
        waiting.errback(result) if isinstance(result, Exception) else waiting.callback(None)
        self.edge.pump()

    def test_time(self) -> None:
        """The edge is told how long the sign-on took, apart from the application."""
        self.mode.holds = True
        answer = self.ask()
        self.pass_and(2)
        self.edge.clock.advance(1)
        self.edge.say(OK)
        self.assertEqual(self.times(answer), [3, 1, 2])

    def test_time_of_a_failure(self) -> None:
        """Of a sign-on that came to nothing, too; the application had no time then."""
        self.mode.holds = True
        answer = self.ask()
        self.pass_and(2, SignOnError("no ticket", "sso_timeout"))
        self.assertEqual(self.times(answer), [2, -1, 2])

    def test_time_of_two(self) -> None:
        """Where the application asks for another sign-on both count, and not what it took to ask."""
        self.mode.holds = True
        answer = self.ask()
        self.pass_and(2)
        self.edge.clock.advance(4)
        self.edge.say(ASKS)
        self.pass_and(1)
        self.edge.clock.advance(5)
        self.edge.say(OK)
        self.assertEqual(self.times(answer), [12, 5, 3])

    def test_bug_in_it(self) -> None:
        """A bug in a sign-on costs its stream, at once."""
        self.mode.holds = True
        answer = self.ask()
        self.mode.waiting.pop().errback(ZeroDivisionError())
        self.edge.pump()
        self.assertEqual(answer.reason, "bug")
        self.assertEqual(failures_of(self, ZeroDivisionError), 1)

    def test_client_leaves(self) -> None:
        """A client that leaves is not signed on any more."""
        self.mode.holds = True
        answer = self.ask()
        answer.open_stream.reset("cancelled", "")
        self.edge.pump()
        self.assertEqual(self.mode.cancelled, self.mode.waiting)
        self.assertEqual(self.edge.backends.transports, [])

    def test_body_waits(self) -> None:
        """A body that comes before the sign-on is there is sent after it, whole."""
        self.mode.holds = True
        answer = self.ask(b"POST", 4)
        answer.open_stream.write(b"ab")
        answer.open_stream.write(b"cd")
        answer.open_stream.end()
        self.edge.pump()
        self.mode.waiting.pop().callback(None)
        self.assertTrue(self.edge.transport.take().endswith(b"\r\n\r\nabcd"))
        self.edge.say(OK)
        self.assertTrue(answer.complete)

    def test_asks_again(self) -> None:
        """What only asks for a sign-on is not for the user: the request goes again, on its connection."""
        answer = self.ask()
        self.assertEqual(self.sent(), b"ada-1")
        self.edge.say(ASKS)
        self.assertEqual((answer.heads, self.sent()), ([], b"ada-2"))
        self.edge.say(OK)
        self.assertEqual((answer.status, bytes(answer.body)), (200, b"hi"))
        self.assertEqual(len(self.edge.backends.transports), 1)

    def test_asks_and_closes(self) -> None:
        """One that closes after it asked is asked over another connection."""
        for said in (
            ASKS.replace(b"Content-Length: 4", b"Content-Length: 9"),
            ASKS.replace(b"Content-Length: 4", b"Connection: close"),
        ):
            answer = self.ask()
            before = len(self.edge.backends.transports)
            self.edge.say(said)
            self.edge.lose()
            self.assertEqual(len(self.edge.backends.transports), before + 1)
            self.assertEqual(self.sent(), b"ada-2")
            self.edge.say(OK)
            self.assertEqual((answer.status, bytes(answer.body)), (200, b"hi"))

    def test_asks_at_length(self) -> None:
        """Of an answer that only asks, no more is read than is cheap."""
        answer = self.ask()
        first = self.edge.transport
        self.edge.say(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 9999999\r\n\r\n")
        self.edge.say(b"x" * (MAXIMUM_DROPPED_BYTES + 1))
        self.assertTrue(first.over)
        self.assertEqual(self.sent(), b"ada-2")
        self.edge.say(OK)
        self.assertEqual((answer.status, bytes(answer.body)), (200, b"hi"))

    def test_never_for_ever(self) -> None:
        """What the sign-on does not ask to repeat is passed on."""
        answer = self.ask()
        for _ in range(4):
            self.edge.say(ASKS)
        self.assertEqual((answer.status, bytes(answer.body)), (401, b"who?"))

    def test_not_for_the_user(self) -> None:
        """An answer that fails the sign-on's check is not passed on, nor is its connection used again."""
        answer = self.ask()
        self.edge.say(b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual((answer.heads, answer.reason), ([], "sso_unavailable"))
        self.assertTrue(self.edge.transport.over)

    def test_headers_withheld(self) -> None:
        """The sign-on decides which headers of the answer pass."""
        answer = self.ask()
        self.edge.say(b"HTTP/1.1 200 OK\r\nX-Secret: 1\r\nX-Other: 2\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual([each.name for each in answer.heads[0][2]], [b"X-Other"])

    def test_interim_is_no_answer(self) -> None:
        """Interim answers are passed on as they are."""
        answer = self.ask()
        self.edge.say(b"HTTP/1.1 103 Early Hints\r\nX-Secret: 1\r\n\r\n")
        self.edge.say(OK)
        self.assertEqual([head[0] for head in answer.heads], [103, 200])

    def test_upgrade(self) -> None:
        """An upgrade is signed on like any other request; its answer is checked and keeps its cookies."""
        upgrade = [(b"Upgrade", b"websocket"), (b"Sec-WebSocket-Key", b"x")]
        answer = self.edge.request(headers=upgrade, user=1, principal=ADA, upgrade=True)
        self.assertEqual(self.sent(), b"ada-1")
        self.edge.say(ASKS)
        self.assertEqual((answer.heads, self.sent()), ([], b"ada-2"))
        self.edge.say(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"X-Secret: 1\r\nSet-Cookie: a=b\r\n\r\n"
        )
        self.assertEqual(answer.status, 101)
        names = [each.name for each in answer.heads[0][2]]
        self.assertIn(b"Set-Cookie", names)
        self.assertNotIn(b"X-Secret", names)

    def test_stale_connection(self) -> None:
        """A request that goes again since its kept connection was closed is signed on anew."""
        self.ask()
        self.edge.say(OK)
        answer = self.ask()
        self.edge.transport.take()
        self.edge.lose()
        self.assertEqual(len(self.edge.backends.transports), 2)
        self.assertEqual(self.sent(), b"ada-2")
        self.edge.say(OK)
        self.assertTrue(answer.complete)

    def test_connections_are_the_users(self) -> None:
        """Security row 27: no request goes over a connection that another user was signed on to."""
        self.ask()
        self.edge.say(OK)
        other = self.edge.request(user=2, principal=EVE)
        self.assertEqual(len(self.edge.backends.transports), 2)
        self.assertEqual(self.sent(), b"eve-1")
        self.edge.say(OK)
        self.assertTrue(other.complete)
        self.ask()
        self.assertEqual(len(self.edge.backends.transports), 2)
        self.assertIn(b"ada-1", self.edge.backends.transports[0].take())

    def test_clients_own_is_dropped(self) -> None:
        """Security row 6: what the client sent in the header of the sign-on never reaches the application."""
        self.edge.request(
            headers=[(b"Authorization", b"Basic x"), (b"authorization", b"Negotiate y")],
            user=1,
            principal=ADA,
        )
        self.assertEqual(self.sent(), b"ada-1")

    def test_forgotten(self) -> None:
        """When a session ends, so does what signed its user on."""
        self.edge.session.send_forget(1)
        self.edge.pump()
        self.assertEqual(self.sign_ons.forgotten, [ADA])
