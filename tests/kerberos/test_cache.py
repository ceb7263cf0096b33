"""Tests of L{appproxy.kerberos.cache}."""

from __future__ import annotations

from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from hypothesis.strategies import integers, sampled_from
from twisted.trial.unittest import SynchronousTestCase

from appproxy.kerberos.cache import NEW_SECONDS, TicketCache, TicketKey, Times

ACCOUNT = "anna@CORP.EXAMPLE.COM"
NEVER = 1e9


def key(subject: str = "anna", spn: str = "HTTP/wiki", sid: str = "S-1") -> TicketKey:
    """A user's ticket for a service."""
    return TicketKey("https://id.example.com", subject, sid, spn)


class TimeTests(SynchronousTestCase):
    """How long a ticket is used."""

    def setUp(self) -> None:
        self.cache: TicketCache[str] = TicketCache(100, 600)

    def test_kept(self) -> None:
        """For the time that is set, by the even clock, wherever the system's clock is put."""
        self.cache.put(key(), ACCOUNT, "ticket", NEVER, Times(1000, 50_000))
        self.assertEqual(self.cache.get(key(), ACCOUNT, Times(1599, 10)), "ticket")
        self.assertIsNone(self.cache.get(key(), ACCOUNT, Times(1600, 50_600)))
        self.assertEqual(len(self.cache), 0)

    def test_end(self) -> None:
        """Never in its own last two minutes, by the system's clock."""
        self.cache.put(key(), ACCOUNT, "ticket", 50_300, Times(1000, 50_000))
        self.assertEqual(self.cache.get(key(), ACCOUNT, Times(1001, 50_179)), "ticket")
        self.assertIsNone(self.cache.get(key(), ACCOUNT, Times(1002, 50_180)))

    def test_about_to_end(self) -> None:
        """A ticket with less than that to live is not kept at all."""
        self.cache.put(key(), ACCOUNT, "ticket", 50_120, Times(1000, 50_000))
        self.assertEqual(len(self.cache), 0)

    def test_old(self) -> None:
        """What an application refuses is dropped, for that service, unless it is new."""
        self.cache.put(key(), ACCOUNT, "ticket", NEVER, Times(1000, 0))
        self.cache.put(key(spn="HTTP/other"), ACCOUNT, "other", NEVER, Times(1000, 0))
        issuer, subject = key()[:2]
        self.assertFalse(self.cache.drop_old(issuer, subject, "HTTP/wiki", Times(1000 + NEW_SECONDS - 1, 0)))
        self.assertFalse(self.cache.drop_old(issuer, "ben", "HTTP/wiki", Times(1000 + NEW_SECONDS, 0)))
        self.assertEqual(len(self.cache), 2)
        self.assertTrue(self.cache.drop_old(issuer, subject, "HTTP/wiki", Times(1000 + NEW_SECONDS, 0)))
        self.assertIsNone(self.cache.get(key(), ACCOUNT, Times(1100, 0)))
        self.assertEqual(len(self.cache), 1)

    def test_sweep(self) -> None:
        """What nobody asks for is gone after a sweep."""
        self.cache.put(key("anna"), ACCOUNT, "old", NEVER, Times(1000, 0))
        self.cache.put(key("ben"), ACCOUNT, "new", NEVER, Times(1500, 0))
        self.cache.sweep(Times(1600, 0))
        self.assertEqual(len(self.cache), 1)
        self.assertEqual(self.cache.get(key("ben"), ACCOUNT, Times(1600, 0)), "new")


class WhoseTests(SynchronousTestCase):
    """Whose ticket it is."""

    NOW = Times(0, 0)

    def setUp(self) -> None:
        self.cache: TicketCache[str] = TicketCache(3, 600)

    def put(self, each: TicketKey, ticket: str = "ticket", account: str = ACCOUNT) -> None:
        """Keep one."""
        self.cache.put(each, account, ticket, NEVER, self.NOW)

    def test_never_another(self) -> None:
        """Security row 45: another issuer, subject, SID or service never gets it, nor another account."""
        self.put(key())
        for other in (key("ben"), key(spn="HTTP/hr"), key(sid="S-2"), key()._replace(issuer="https://other")):
            self.assertIsNone(self.cache.get(other, ACCOUNT, self.NOW))
        self.assertIsNone(self.cache.get(key(), "ben@CORP.EXAMPLE.COM", self.NOW))

    def test_least_recently_used(self) -> None:
        """The one that was not used for longest makes room."""
        for name in ("anna", "ben", "carl"):
            self.put(key(name))
        self.cache.get(key("anna"), ACCOUNT, self.NOW)
        self.put(key("dora"))
        self.assertEqual(len(self.cache), 3)
        self.assertIsNone(self.cache.get(key("ben"), ACCOUNT, self.NOW))
        self.assertEqual(self.cache.get(key("anna"), ACCOUNT, self.NOW), "ticket")

    def test_forget(self) -> None:
        """All of a user's go, for every service and account; nobody else's."""
        self.put(key(spn="HTTP/wiki"))
        self.put(key(spn="HTTP/hr", sid="S-2"))
        self.put(key("ben"))
        self.cache.forget("https://id.example.com", "anna")
        self.assertEqual(len(self.cache), 1)
        self.assertEqual(self.cache.get(key("ben"), ACCOUNT, self.NOW), "ticket")
        self.cache.forget("https://id.example.com", "anna")

    def test_impossible(self) -> None:
        """A cache without room, or a negative time, is refused."""
        self.assertRaises(ValueError, TicketCache, 0, 600)
        self.assertRaises(ValueError, TicketCache, 1, -1)


class CacheMachine(RuleBasedStateMachine):
    """Any order of calls: what comes out is what was put in under that key, or nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: TicketCache[str] = TicketCache(4, 100)
        self.now = 0
        self.put_at: dict[TicketKey, tuple[str, int]] = {}

    keys = sampled_from([key(subject, spn) for subject in "abc" for spn in ("HTTP/x", "HTTP/y")])

    @rule(each=keys)
    def put(self, each: TicketKey) -> None:
        """A new ticket."""
        ticket = f"{each} at {self.now}"
        self.cache.put(each, ACCOUNT, ticket, NEVER, Times(self.now, 0))
        self.put_at[each] = ticket, self.now

    @rule(each=keys)
    def get(self, each: TicketKey) -> None:
        """Nothing, or that user's newest for that service."""
        found = self.cache.get(each, ACCOUNT, Times(self.now, 0))
        if found is not None:
            ticket, at = self.put_at[each]
            assert found == ticket
            assert self.now < at + 100

    @rule(subject=sampled_from("abc"))
    def forget(self, subject: str) -> None:
        """None of theirs is left."""
        self.cache.forget("https://id.example.com", subject)
        for each in [each for each in self.put_at if each.subject == subject]:
            assert self.cache.get(each, ACCOUNT, Times(self.now, 0)) is None
            del self.put_at[each]

    @rule(seconds=integers(1, 60))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.now += seconds

    @rule()
    def sweep(self) -> None:
        """None too old is left."""
        self.cache.sweep(Times(self.now, 0))
        assert len(self.cache) <= len([at for _, at in self.put_at.values() if self.now < at + 100])

    @invariant()
    def bounded(self) -> None:
        """Never more than there is room for."""
        assert len(self.cache) <= 4


class AnyOrderTests(SynchronousTestCase):
    """Whatever happens in whatever order."""

    def test_any_order(self) -> None:
        """Security row 45: a ticket is only ever found under its own key."""
        run_state_machine_as_test(CacheMachine)
