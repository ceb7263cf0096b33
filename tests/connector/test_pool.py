"""L{appproxy.connector.pool}."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.connector.backend_connection import AnswerListener, BackendConnection, Owner
from appproxy.connector.pool import PRIVATE_IDLE_SECONDS, SHARED, Pool
from appproxy.transport.wheel import TimerWheel
from tests.connector.support import Backends, FakeTransport, backend

ADA_AT_HOME = Owner(client=5, user=1)


class PoolTests(SynchronousTestCase):
    """L{Pool}."""

    def setUp(self) -> None:
        """A pool that keeps two, for a minute."""
        self.clock = Clock()
        self.wheel = TimerWheel(self.clock)
        self.backends = Backends(self.clock, self.wheel)
        self.backends.maximum_idle = 2
        self.pool: Pool = self.backends.pool(backend())

    def connect(self) -> BackendConnection:
        """A new connection."""
        return self.successResultOf(self.pool.connect())

    def kept(self, key: Hashable = SHARED) -> BackendConnection:
        """One that went back."""
        connection = self.connect()
        self.pool.release(connection, key, clean=True)
        return connection

    def transport(self, connection: BackendConnection) -> FakeTransport:
        """What is under a connection."""
        return connection.transport  # type: ignore[no-any-return]

    def advance(self, seconds: float) -> None:
        """Time passes."""
        for _ in range(int(seconds)):
            self.clock.advance(1)

    def test_last_in_first_out(self) -> None:
        """The connection used last serves next, so that those nobody needs grow old."""
        first, second = self.connect(), self.connect()
        self.pool.release(first, SHARED, clean=True)
        self.pool.release(second, SHARED, clean=True)
        self.assertIs(self.pool.take(SHARED), second)
        self.assertIs(self.pool.take(SHARED), first)
        self.assertIsNone(self.pool.take(SHARED))
        self.assertEqual((self.pool.connections, self.pool.idle), (2, 0))

    def test_unclean(self) -> None:
        """What is not clean is closed."""
        connection = self.connect()
        self.pool.release(connection, SHARED, clean=False)
        self.assertTrue(self.transport(connection).aborted)
        self.assertIsNone(self.pool.take(SHARED))

    def test_idle_limit(self) -> None:
        """Shared and per-user connections together are not more than the setting says."""
        connections = [self.connect() for _ in range(3)]
        for key, connection in zip((SHARED, 1, 2), connections, strict=True):
            self.pool.release(connection, key, clean=True)
        self.assertEqual(self.pool.idle, 2)
        self.assertTrue(self.transport(connections[2]).aborted)

    def test_idle_timeout(self) -> None:
        """Nobody's connection is closed after a while, and the timer rests with the last one."""
        old = self.kept()
        self.advance(40)
        young = self.kept(1)
        self.advance(55)
        self.assertTrue(self.transport(old).aborted)
        self.assertFalse(self.transport(young).aborted)
        self.advance(60)
        self.assertTrue(self.transport(young).aborted)
        self.assertEqual((self.pool.idle, len(self.wheel)), (0, 0))

    def test_closed_while_idle(self) -> None:
        """A connection that its backend closed is not handed out, and takes nobody's place."""
        gone = self.kept()
        self.transport(gone).lose()
        self.assertEqual((self.pool.connections, self.pool.idle), (0, 0))
        self.kept()
        self.kept(1)
        self.assertEqual(self.pool.idle, 2)
        self.assertIsNot(self.pool.take(SHARED), gone)

    def test_byte_while_idle(self) -> None:
        """
        A byte that answers nothing closes the connection before anybody can take it for an answer.

        Security row 27.
        """
        connection = self.kept()
        self.transport(connection).say(b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertTrue(self.transport(connection).aborted)
        self.assertIsNone(self.pool.take(SHARED))

    def test_users_apart(self) -> None:
        """
        A user's connection serves that user alone.

        Security row 43.
        """
        connection = self.kept(1)
        self.assertIsNone(self.pool.take(SHARED))
        self.assertIsNone(self.pool.take(2))
        self.assertIs(self.pool.take(1), connection)

    def test_forget_user(self) -> None:
        """With the session go the user's connections, shared ones stay."""
        shared, users = self.kept(), self.kept(1)
        self.pool.forget_user(1)
        self.assertTrue(self.transport(users).aborted)
        self.assertFalse(self.transport(shared).aborted)
        self.assertEqual(self.pool.idle, 1)

    def private(self, owner: Owner = ADA_AT_HOME) -> BackendConnection:
        """A private connection that waits."""
        connection = self.connect()
        self.pool.make_private(connection, owner)
        self.pool.release(connection, SHARED, clean=True)
        return connection

    def test_private(self) -> None:
        """A private connection is in nobody else's reach: not shared, not of the user, not of the client."""
        connection = self.private()
        self.assertIsNone(self.pool.take(SHARED))
        self.assertIsNone(self.pool.take(1))
        self.assertIsNone(self.pool.take_private(Owner(6, 1)))
        self.assertIsNone(self.pool.take_private(Owner(5, 2)))
        self.assertIs(self.pool.take_private(ADA_AT_HOME), connection)

    def test_private_for_good(self) -> None:
        """It never becomes anybody else's, whoever asks later."""
        connection = self.private()
        self.pool.make_private(connection, Owner(6, 2))
        self.assertEqual(connection.owner, ADA_AT_HOME)
        self.assertIsNone(self.pool.take_private(Owner(6, 2)))

    def test_private_ends(self) -> None:
        """It is closed with its client, its user, its application, and after an unclean exchange."""
        ends: list[Callable[[BackendConnection], None]] = [
            lambda _: self.pool.owner_gone(5),
            lambda _: self.pool.forget_user(1),
            lambda connection: self.pool.release(connection, SHARED, clean=False),
            lambda _: self.pool.close(),
        ]
        for end in ends:
            connection = self.private()
            end(connection)
            self.assertTrue(self.transport(connection).aborted)
            self.assertIsNone(self.pool.take_private(ADA_AT_HOME))
            self.transport(connection).lose()
            self.assertEqual((self.pool.private, self.pool.connections), (0, 0))

    def test_private_lost(self) -> None:
        """One whose end nobody reports is closed in the end; one in use is not."""
        connection, used = self.private(), self.private(Owner(6, 1))
        used.begin(AnswerListener(), b"GET", None)
        self.advance(PRIVATE_IDLE_SECONDS + 62)
        self.assertTrue(self.transport(connection).aborted)
        self.assertFalse(self.transport(used).aborted)

    def test_close(self) -> None:
        """A pool that is closed keeps nothing, also of what comes back later."""
        idle, used, private = self.kept(), self.connect(), self.connect()
        self.pool.make_private(private, ADA_AT_HOME)
        self.pool.close()
        self.pool.release(used, SHARED, clean=True)
        self.pool.release(private, SHARED, clean=True)
        for connection in (idle, used, private):
            self.assertTrue(self.transport(connection).aborted)
            self.transport(connection).lose()
        self.assertEqual((self.pool.connections, self.pool.idle, self.pool.private), (0, 0, 0))
        self.assertEqual(len(self.wheel), 0)
