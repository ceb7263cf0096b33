"""Tests of L{appproxy.session.records}."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs

from appproxy.model.principal import Principal
from appproxy.session import records
from appproxy.session.memory import MAXIMUM_COOKIES, MAXIMUM_SESSIONS
from appproxy.session.record import Tokens, decode_record, encode_record
from appproxy.session.records import (
    FETCHES_AT_ONCE,
    MAXIMUM_FETCHES,
    TOUCH_SECONDS,
    CookieProblem,
    NotHere,
    StoreAway,
)
from appproxy.store.istore import Put, StoreUnavailable
from appproxy.store.keys import SESSIONS
from appproxy.store.patience import ANSWER_SECONDS
from tests.session.support import ADA, GRACE, WIKI_HOST, Edge, EdgeTestCase, ShortLives


class OpeningTests(EdgeTestCase):
    """What a cookie opens."""

    def open(self, session_id: str, edge: Edge | None = None) -> Principal | None:
        """Open a fresh cookie of a session at the wiki's host."""
        edge = edge or self.edge
        return edge.sessions.open_cookie(edge.sessions.cookie(session_id, WIKI_HOST), WIKI_HOST)

    def test_own_session(self) -> None:
        """A session that began here opens at once, with the user and the session's own id."""
        session_id = self.begin_session()
        principal = self.open(session_id)
        assert principal is not None
        self.assertEqual(principal.subject, ADA.subject)
        self.assertEqual(principal.session_id, session_id)
        self.assertEqual(principal.groups, ADA.groups)

    def test_no_cookie(self) -> None:
        """No cookie is nobody."""
        self.assertIsNone(self.edge.sessions.open_cookie(b"", WIKI_HOST))

    def test_ids_differ(self) -> None:
        """Every sign-in has a new id of 32 hexadecimal digits."""
        ids = {self.begin_session() for _ in range(20)}
        self.assertEqual(len(ids), 20)
        self.assertTrue(all(len(each) == 32 and int(each, 16) >= 0 for each in ids))

    def test_cookie_is_small(self) -> None:
        """A cookie is under 1 KB, however many groups the user has."""
        many = Principal("i", "s", "", groups=frozenset(f"group-{n:036}" for n in range(500)))
        session_id = self.begin_session(many)
        self.assertLess(len(self.edge.sessions.cookie(session_id, WIKI_HOST)), 1000)

    def test_hit_is_one_look(self) -> None:
        """A second request with the same cookie unseals nothing and asks nobody."""
        session_id = self.begin_session()
        cookie = self.edge.sessions.cookie(session_id, WIKI_HOST)
        first = self.edge.sessions.open_cookie(cookie, WIKI_HOST)
        self.patch(self.edge.keyring, "unseal", None)
        self.edge.store.reads.clear()
        self.assertIs(self.edge.sessions.open_cookie(cookie, WIKI_HOST), first)
        self.assertEqual(self.edge.store.reads, [])

    def test_other_host(self) -> None:
        """
        A cookie of one host is worthless at another, also after it was opened at its own.

        Security row 43.
        """
        session_id = self.begin_session()
        cookie = self.edge.sessions.cookie(session_id, WIKI_HOST)
        self.edge.sessions.open_cookie(cookie, WIKI_HOST)
        for host in (b"mail.example.com", b"", b"wiki.example.com.evil.test", b"WIKI.example.com"):
            with self.assertRaises(CookieProblem) as caught:
                self.edge.sessions.open_cookie(cookie, host)
            self.assertEqual(caught.exception.reason, "cookie_invalid")

    def test_tampered(self) -> None:
        """No single character of a cookie can be changed, left out or added."""
        cookie = self.edge.sessions.cookie(self.begin_session(), WIKI_HOST)
        forged = [cookie[:n] + bytes([cookie[n] ^ 1]) + cookie[n + 1 :] for n in range(len(cookie))]
        forged += [cookie[:-1], cookie[1:], cookie + b"A", cookie + b"=", b" " + cookie, b"a" * 5000]
        for each in forged:
            with self.assertRaises(CookieProblem):
                self.edge.sessions.open_cookie(each, WIKI_HOST)

    def test_old_cookie(self) -> None:
        """A cookie older than any session costs no read of the store."""
        cookie = self.edge.sessions.cookie(self.begin_session(), WIKI_HOST)
        self.pass_time(self.lifetimes.maximum_lifetime + 61, 600)
        self.edge.store.reads.clear()
        with self.assertRaises(CookieProblem) as caught:
            self.edge.sessions.open_cookie(cookie, WIKI_HOST)
        self.assertEqual(caught.exception.reason, "session_expired")
        self.assertEqual(self.edge.store.reads, [])

    def test_cookies_kept_are_bounded(self) -> None:
        """However many cookies are opened, a bounded number is kept; all stay good."""
        session_id = self.begin_session()
        known, opened = self.edge.sessions._memory.sessions[session_id], self.edge.sessions._opened
        opened.update({(b"elsewhere", b"%d" % number): known for number in range(MAXIMUM_COOKIES - 5)})
        cookies = [self.edge.sessions.cookie(session_id, WIKI_HOST) for _ in range(12)]
        for cookie in cookies * 2:
            self.assertIsNotNone(self.edge.sessions.open_cookie(cookie, WIKI_HOST))
            self.assertLessEqual(len(opened), MAXIMUM_COOKIES)
        self.assertEqual(len(opened), 12)

    def test_sessions_kept_are_bounded(self) -> None:
        """A session that had to make room is read from the store again."""
        first = self.begin_session()
        cookie = self.edge.sessions.cookie(first, WIKI_HOST)
        self.edge.sessions.open_cookie(cookie, WIKI_HOST)
        sessions = self.edge.sessions._memory.sessions
        other = sessions[self.begin_session(GRACE)]
        sessions.update({str(number): other for number in range(MAXIMUM_SESSIONS - 2)})
        self.begin_session(GRACE)
        self.assertEqual(len(self.edge.sessions), MAXIMUM_SESSIONS)
        with self.assertRaises(NotHere):
            self.edge.sessions.open_cookie(cookie, WIKI_HOST)
        self.assertTrue(self.successResultOf(self.edge.sessions.fetch(first)))
        self.assertIsNotNone(self.edge.sessions.open_cookie(cookie, WIKI_HOST))


class FirstSightTests(EdgeTestCase):
    """A session that began at another edge."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.make_edge()
        self.session_id = self.begin_session(edge=self.other)
        self.cookie = self.other.sessions.cookie(self.session_id, WIKI_HOST)

    def test_fetch(self) -> None:
        """At first sight the record is read once; after that it is known."""
        with self.assertRaises(NotHere) as caught:
            self.edge.sessions.open_cookie(self.cookie, WIKI_HOST)
        self.assertEqual(caught.exception.session_id, self.session_id)
        self.assertTrue(self.successResultOf(self.edge.sessions.fetch(self.session_id)))
        principal = self.edge.sessions.open_cookie(self.cookie, WIKI_HOST)
        assert principal is not None
        self.assertEqual(principal.user_principal_name, "ada@example.com")

    def test_fetch_is_shared(self) -> None:
        """Many requests at first sight cause one read; one that goes away takes nothing from the others."""
        self.edge.store.reads.clear()
        self.edge.store.hold_answers()
        waiting = [self.edge.sessions.fetch(self.session_id) for _ in range(10)]
        waiting[0].addErrback(lambda _failure: None)
        waiting[0].cancel()
        self.edge.store.release()
        self.assertEqual([self.successResultOf(each) for each in waiting[1:]], [True] * 9)
        self.assertEqual(len(self.edge.store.reads), 1)

    def test_ended_before_first_sight(self) -> None:
        """A cookie whose session was ended is told so, and is not asked for twice."""
        self.successResultOf(self.other.sessions.end(self.session_id, "administrator"))
        self.assertFalse(self.successResultOf(self.edge.sessions.fetch(self.session_id)))
        self.edge.store.reads.clear()
        with self.assertRaises(CookieProblem) as caught:
            self.edge.sessions.open_cookie(self.cookie, WIKI_HOST)
        self.assertEqual(caught.exception.reason, "session_ended")
        self.assertEqual(self.edge.store.reads, [])

    def test_expired_before_first_sight(self) -> None:
        """A session that nobody used is told from one that was ended."""
        self.pass_time(self.lifetimes.idle_lifetime + 2, 30)
        self.assertFalse(self.successResultOf(self.edge.sessions.fetch(self.session_id)))
        with self.assertRaises(CookieProblem) as caught:
            self.edge.sessions.open_cookie(self.cookie, WIKI_HOST)
        self.assertEqual(caught.exception.reason, "session_expired")

    def test_ended_while_fetching(self) -> None:
        """A session that ends while its record is on its way does not come to life."""
        self.edge.store.hold_answers()
        fetching = self.edge.sessions.fetch(self.session_id)
        self.successResultOf(self.other.sessions.end(self.session_id, "sign_out"))
        self.edge.store.release()
        self.assertFalse(self.successResultOf(fetching))
        with self.assertRaises(CookieProblem):
            self.edge.sessions.open_cookie(self.cookie, WIKI_HOST)

    def test_ended_while_fetching_and_the_watch_was_lost(self) -> None:
        """A record read before a full read is read again: its end may have been missed."""
        self.edge.store.hold_answers()
        fetching = self.edge.sessions.fetch(self.session_id)
        self.edge.store.cut()
        self.successResultOf(self.other.sessions.end(self.session_id, "sign_out"))
        self.edge.store.mend()
        self.pass_time(3)
        self.assertTrue(self.edge.sessions.ready)
        self.edge.store.release()
        self.assertFalse(self.successResultOf(fetching))

    def test_fetches_are_bounded(self) -> None:
        """Reads under way are limited; beyond that nobody can tell."""
        self.edge.store.hold_answers()
        for number in range(MAXIMUM_FETCHES):
            self.edge.sessions.fetch(f"{number:032x}")
        self.failureResultOf(self.edge.sessions.fetch(self.session_id), StoreAway)
        self.edge.store.release()
        self.pass_time(2)
        self.assertTrue(self.successResultOf(self.edge.sessions.fetch(self.session_id)))

    def test_fetches_in_turn(self) -> None:
        """The store is asked for a few records at a time; all are read in the end."""
        self.edge.store.hold_answers()
        before = len(self.edge.store.reads)
        fetches = [self.edge.sessions.fetch(f"{number:032x}") for number in range(FETCHES_AT_ONCE * 3)]
        self.assertEqual(len(self.edge.store.reads) - before, FETCHES_AT_ONCE)
        self.edge.store.release()
        self.pass_time(2)
        for each in fetches:
            self.assertFalse(self.successResultOf(each))

    def test_fetches_wait_in_bounded_time(self) -> None:
        """Where the store says nothing nobody waits longer for the others than for an answer of their own."""
        self.edge.store.hold_answers()
        fetches = [self.edge.sessions.fetch(f"{number:032x}") for number in range(FETCHES_AT_ONCE * 3)]
        self.pass_time(2 * ANSWER_SECONDS)
        for each in fetches:
            self.failureResultOf(each, StoreAway)
        self.edge.store.release()

    def test_many_fail_at_once(self) -> None:
        """A store that goes away fails all that wait, however many."""
        self.edge.store.hold_answers()
        fetches = [self.edge.sessions.fetch(f"{number:032x}") for number in range(MAXIMUM_FETCHES)]
        self.edge.store.cut()
        self.edge.store.release()
        self.pass_time(2 * ANSWER_SECONDS)
        for each in fetches:
            self.failureResultOf(each, StoreAway)

    def test_store_away(self) -> None:
        """A first sight while the store is away cannot be told from no session."""
        self.edge.store.cut()
        self.failureResultOf(self.edge.sessions.fetch(self.session_id), StoreAway)

    def test_record_of_another(self) -> None:
        """A record copied to another session's place opens nothing."""
        value = self.stored(f"/appproxy/1/sessions/{self.session_id}")
        other_id = "f" * 32

        self.successResultOf(self.real_store.transact([], [Put(f"/appproxy/1/sessions/{other_id}", value)]))
        with capturedLogs() as logs:
            self.assertFalse(self.successResultOf(self.edge.sessions.fetch(other_id)))
        self.assertEqual([each["log_level"] for each in logs], [LogLevel.error])

    def test_restart(self) -> None:
        """Sessions outlive the edge that made them."""
        self.other.sessions.stop()
        self.edge.sessions.stop()
        newborn = self.make_edge()
        self.assertTrue(self.successResultOf(newborn.sessions.fetch(self.session_id)))
        self.assertIsNotNone(newborn.sessions.open_cookie(self.cookie, WIKI_HOST))


class EndTests(EdgeTestCase):
    """What ends a session."""

    def setUp(self) -> None:
        super().setUp()
        self.session_id = self.begin_session()
        self.cookie = self.edge.sessions.cookie(self.session_id, WIKI_HOST)
        self.assertIsNotNone(self.edge.sessions.open_cookie(self.cookie, WIKI_HOST))

    def assert_ended(self, reason: str, edge: Edge | None = None) -> None:
        """The cookie opens nothing, and whoever watches was told once."""
        edge = edge or self.edge
        with self.assertRaises(CookieProblem) as caught:
            edge.sessions.open_cookie(self.cookie, WIKI_HOST)
        self.assertEqual(caught.exception.reason, reason)
        self.assertEqual(edge.ended, [self.session_id])

    def test_end_here(self) -> None:
        """Ending works at once."""
        self.successResultOf(self.edge.sessions.end(self.session_id, "sign_out"))
        self.assert_ended("session_ended")
        self.assertIsNone(self.successResultOf(self.edge.sessions.tokens(self.session_id)))

    def test_end_elsewhere(self) -> None:
        """Ending works at every edge at once, by watch."""
        other = self.make_edge()
        self.successResultOf(other.sessions.end(self.session_id, "sign_out"))
        self.assert_ended("session_ended")

    def test_deleted_record(self) -> None:
        """Deleting the record is all that it takes."""
        self.successResultOf(self.real_store.transact([], [], [f"/appproxy/1/sessions/{self.session_id}"]))
        self.assert_ended("session_ended")

    def test_unknown_session_ends(self) -> None:
        """Watchers hear of sessions that are not in memory (any more): their streams may be open."""
        other = self.make_edge()
        self.successResultOf(self.edge.sessions.end(self.session_id, "sign_out"))
        self.assertEqual(other.ended, [self.session_id])

    def test_end_twice(self) -> None:
        """Ending again changes nothing, and watchers hear of it once."""
        for _ in range(2):
            self.successResultOf(self.edge.sessions.end(self.session_id, "sign_out"))
        self.assert_ended("session_ended")

    def test_end_while_store_away(self) -> None:
        """Ending fails aloud when other edges cannot be told; here it works all the same."""
        self.edge.store.cut()
        self.failureResultOf(self.edge.sessions.end(self.session_id, "sign_out"), StoreUnavailable)
        self.assert_ended("session_ended")

    def test_failing_watcher(self) -> None:
        """A watcher that fails keeps nobody else from hearing it."""

        def broken(_session_id: str) -> None:
            raise RuntimeError("broken watcher")

        told: list[str] = []
        self.edge.sessions.watch_ended(broken)
        self.edge.sessions.watch_ended(told.append)
        self.successResultOf(self.edge.sessions.end(self.session_id, "sign_out"))
        self.assert_ended("session_ended")
        self.assertEqual(told, [self.session_id])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_maximum_lifetime(self) -> None:
        """After the maximum a session ends by itself, within about a second, however busy it is."""
        for _ in range(14 * 60 - 1):
            self.pass_time(60, 60)
            self.assertIsNotNone(self.edge.sessions.open_cookie(self.cookie, WIKI_HOST))
        self.assertEqual(self.edge.ended, [])
        self.pass_time(61)
        self.assert_ended("session_expired")
        self.assertIsNone(self.successResultOf(self.edge.sessions.tokens(self.session_id)))

    def test_maximum_lifetime_between_sweeps(self) -> None:
        """A request that comes before the sweep sees the end too."""
        self.edge.sessions._sweeping.stop()
        for _ in range(14 * 2):
            self.pass_time(1800, 600)
            try:
                self.edge.sessions.open_cookie(self.cookie, WIKI_HOST)
            except CookieProblem:
                break
        self.assert_ended("session_expired")

    def test_idle_lifetime(self) -> None:
        """Without a request a session ends."""
        self.pass_time(self.lifetimes.idle_lifetime + 2, 5)
        self.assert_ended("session_expired")

    def test_use_keeps_alive(self) -> None:
        """Requests put the idle end off, and the store hears of them once a minute at most."""
        touches: list[int] = []
        keep_alive = self.edge.store.keep_alive

        def counted(leases: Sequence[int]) -> Deferred[frozenset[int]]:
            touches.extend(leases)
            return keep_alive(leases)

        self.patch(self.edge.store, "keep_alive", counted)
        for _ in range(3 * 360):
            self.pass_time(10, 10)
            self.assertIsNotNone(self.edge.sessions.open_cookie(self.cookie, WIKI_HOST))
        self.assertLessEqual(len(touches), 3 * 60 + 1)
        self.pass_time(self.lifetimes.idle_lifetime + 70, 10)
        self.assert_ended("session_expired")

    def test_told_together(self) -> None:
        """The store hears of many sessions' use at once, and a lost one ends while the others go on."""
        calls: list[Sequence[int]] = []
        keep_alive = self.edge.store.keep_alive

        def counted(leases: Sequence[int]) -> Deferred[frozenset[int]]:
            calls.append(leases)
            return keep_alive(leases)

        self.patch(self.edge.store, "keep_alive", counted)
        ids = [self.session_id, self.begin_session(), self.begin_session()]
        self.pass_time(TOUCH_SECONDS + 1, 1)
        memory = self.edge.sessions._memory.sessions
        lost = ids[1]
        memory[lost].lease = 4711
        for session_id in ids:
            self.edge.sessions.touch(session_id)
        self.assertEqual(calls, [])
        self.pass_time(1, 1)
        self.assertEqual([len(each) for each in calls], [3])
        self.assertEqual([each in memory for each in ids], [True, False, True])

    def test_use_elsewhere_keeps_alive(self) -> None:
        """Requests at one edge keep the session alive at all."""
        other = self.make_edge()
        self.successResultOf(other.sessions.fetch(self.session_id))
        for _ in range(4 * 6):
            self.pass_time(600, 600)
            other.sessions.open_cookie(self.cookie, WIKI_HOST)
        self.assertIsNotNone(self.edge.sessions.open_cookie(self.cookie, WIKI_HOST))

    def test_open_streams_keep_alive(self) -> None:
        """An open stream may say that it is in use."""
        for _ in range(4 * 6):
            self.pass_time(600, 600)
            self.edge.sessions.touch(self.session_id)
        self.assertIsNotNone(self.edge.sessions.open_cookie(self.cookie, WIKI_HOST))

    def test_lease_lost(self) -> None:
        """A touch that finds no lease ends the session, whatever became of the events."""
        self.edge.store._taps[-1].stop()
        self.pass_time(self.lifetimes.idle_lifetime + 2, 5)
        self.edge.sessions.touch(self.session_id)
        self.pass_time(1, 1)
        self.assert_ended("session_expired")

    def test_end_many(self) -> None:
        """Sessions end together, more of them than go into one transaction; others go on."""
        self.patch(records, "_END_AT_ONCE", 2)
        others = [self.begin_session(GRACE) for _ in range(4)]
        self.successResultOf(self.edge.sessions.end_many([self.session_id, *others[:3]], "administrator"))
        self.assertEqual(self.edge.ended, [self.session_id, *others[:3]])
        with self.assertRaises(CookieProblem) as caught:
            self.edge.sessions.open_cookie(self.cookie, WIKI_HOST)
        self.assertEqual(caught.exception.reason, "session_ended")
        listing = self.successResultOf(self.edge.store.list(SESSIONS))
        self.assertEqual([item.key for item in listing.items], [SESSIONS + others[3]])
        fresh = self.edge.sessions.cookie(others[3], WIKI_HOST)
        self.assertIsNotNone(self.edge.sessions.open_cookie(fresh, WIKI_HOST))

    def test_end_all(self) -> None:
        """One command ends every session and voids every cookie."""
        self.begin_session(GRACE)
        self.assertEqual(self.successResultOf(self.edge.sessions.end_all()), 2)
        self.assertEqual(len(self.edge.sessions), 0)
        with self.assertRaises(CookieProblem) as caught:
            self.edge.sessions.open_cookie(self.cookie, WIKI_HOST)
        self.assertEqual(caught.exception.reason, "cookie_invalid")
        fresh = self.begin_session()
        self.assertIsNotNone(
            self.edge.sessions.open_cookie(self.edge.sessions.cookie(fresh, WIKI_HOST), WIKI_HOST)
        )


class StoreAwayTests(EdgeTestCase):
    """The store cannot be asked."""

    def setUp(self) -> None:
        super().setUp()
        self.session_id = self.begin_session()
        self.cookie = self.edge.sessions.cookie(self.session_id, WIKI_HOST)
        self.edge.sessions.open_cookie(self.cookie, WIKI_HOST)

    def test_grace(self) -> None:
        """Known sessions go on for the grace time; then nobody can tell."""
        self.edge.store.cut()
        self.assertFalse(self.edge.sessions.ready)
        self.pass_time(self.lifetimes.revocation_grace - 1)
        self.assertIsNotNone(self.edge.sessions.open_cookie(self.cookie, WIKI_HOST))
        self.pass_time(1.5, 0.5)
        for cookie in (self.cookie, b"anything"):
            with self.assertRaises(StoreAway):
                self.edge.sessions.open_cookie(cookie, WIKI_HOST)

    def test_back(self) -> None:
        """When the store is back and was read anew, sessions go on."""
        self.edge.store.cut()
        self.pass_time(300)
        self.edge.store.mend()
        self.pass_time(2)
        self.assertTrue(self.edge.sessions.ready)
        self.assertIsNotNone(self.edge.sessions.open_cookie(self.cookie, WIKI_HOST))
        self.assertEqual(self.edge.ended, [])

    def test_ended_meanwhile(self) -> None:
        """What was ended while the store was away is noticed at the next full read."""
        other = self.make_edge()
        self.edge.store.cut()
        self.successResultOf(other.sessions.end(self.session_id, "administrator"))
        self.assertIsNotNone(self.edge.sessions.open_cookie(self.cookie, WIKI_HOST))
        self.edge.store.mend()
        self.pass_time(2)
        self.assertEqual(self.edge.ended, [self.session_id])
        with self.assertRaises(CookieProblem):
            self.edge.sessions.open_cookie(self.cookie, WIKI_HOST)

    def test_begun_during_full_read(self) -> None:
        """A session that began after the full read was made is not taken for ended."""
        listing = self.successResultOf(self.real_store.list("/appproxy/1/sessions/"))
        younger = self.begin_session(GRACE)
        self.edge.sessions._read(listing)
        self.assertEqual(self.edge.ended, [])
        self.assertIsNotNone(self.edge.sessions.expires_at(younger))

    def test_hangs(self) -> None:
        """A store that merely stops answering is noticed by its missing sign of life."""
        self.edge.store.hang()
        self.pass_time(25)
        self.assertFalse(self.edge.sessions.ready)
        self.pass_time(self.lifetimes.revocation_grace)
        with self.assertRaises(StoreAway):
            self.edge.sessions.open_cookie(self.cookie, WIKI_HOST)
        self.edge.store.mend()
        self.pass_time(15)
        self.assertIsNotNone(self.edge.sessions.open_cookie(self.cookie, WIKI_HOST))

    def test_create_fails(self) -> None:
        """Nobody can sign in while the session cannot be written down."""
        self.edge.store.cut()

        self.failureResultOf(self.edge.sessions.create(ADA, Tokens()), StoreUnavailable)

    def test_ready_only_after_full_read(self) -> None:
        """An edge that starts while the store is away is not ready; it keeps trying."""
        late = Edge(self.real_store, self.clock)
        late.store.cut()
        starting = late.sessions.start()
        self.pass_time(30)
        self.assertNoResult(starting)
        self.assertFalse(late.sessions.ready)
        late.store.mend()
        self.pass_time(3)
        self.successResultOf(starting)
        self.addCleanup(late.sessions.stop)
        self.assertTrue(late.sessions.ready)


class RecordTests(EdgeTestCase):
    """What stands in the store."""

    lifetimes = ShortLives(idle_lifetime=120.0)

    def test_sealed(self) -> None:
        """
        Neither tokens nor claims can be read in the store.

        Security row 41.
        """
        session_id = self.begin_session(id_token="CANARY-id", refresh_token="CANARY-refresh")
        listing = self.successResultOf(self.real_store.list("/appproxy/1/"))
        everything = b"".join(item.value for item in listing.items)
        for secret in (b"CANARY", b"ada@example.com", session_id.encode()):
            self.assertNotIn(secret, everything)
        tokens = self.successResultOf(self.edge.sessions.tokens(session_id))
        assert tokens is not None
        self.assertEqual((tokens.id_token, tokens.refresh_token), ("CANARY-id", "CANARY-refresh"))
        self.assertNotIn("CANARY", repr(tokens))

    def test_short_idle_lifetime(self) -> None:
        """With a short idle lifetime the store hears of use more often, so that use still counts."""
        session_id = self.begin_session()
        cookie = self.edge.sessions.cookie(session_id, WIKI_HOST)
        for _ in range(30):
            self.pass_time(35, 35)
            self.assertIsNotNone(self.edge.sessions.open_cookie(cookie, WIKI_HOST))

    def test_refreshed_claims(self) -> None:
        """
        A record that is written anew brings its claims to every edge.

        Security row 19.
        """

        session_id = self.begin_session()
        cookie = self.edge.sessions.cookie(session_id, WIKI_HOST)
        self.edge.sessions.open_cookie(cookie, WIKI_HOST)
        key = f"/appproxy/1/sessions/{session_id}"
        record = decode_record(session_id, self.stored(key), self.edge.sealer)
        newer = replace(record, principal=replace(record.principal, groups=frozenset({"Sales"})))
        value = encode_record(newer, self.edge.sealer)
        self.successResultOf(self.real_store.transact([], [Put(key, value, record.lease)]))
        principal = self.edge.sessions.open_cookie(cookie, WIKI_HOST)
        assert principal is not None
        self.assertEqual(principal.groups, {"Sales"})
        self.assertEqual(self.edge.ended, [])
