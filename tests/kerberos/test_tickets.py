"""Tests of L{appproxy.kerberos.tickets}; with a real KDC in L{tests.integration.test_kerberos_tickets}."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from appproxy.kerberos.causes import Cause, KerberosError, Stage
from appproxy.kerberos.tickets import MAXIMUM_SHARED, TicketSettings, TokenForm
from appproxy.threads.errors import Overloaded
from tests.kerberos.support import REALM, WIKI, TicketDesk


class TicketCase(SynchronousTestCase):
    """Has a L{TicketDesk}."""

    def setUp(self) -> None:
        self.desk = TicketDesk()
        self.calls = self.desk.pool.calls

    def assertCause(self, cause: Cause, waiting: object) -> KerberosError:
        """It failed for this reason."""
        assert isinstance(waiting, Deferred)
        error = self.failureResultOf(waiting, KerberosError).value
        assert isinstance(error, KerberosError)
        self.assertIs(error.cause, cause)
        return error

    def get(self, subject: str = "anna", spn: str = WIKI) -> None:
        """The user has a ticket from now on."""
        waiting = self.desk.wait(subject, spn)
        self.calls[-1].start()
        self.calls[-1].finish()
        self.successResultOf(waiting)


class HitTests(TicketCase):
    """Where the ticket is at hand."""

    def test_at_once(self) -> None:
        """The second request gets its own token at once, without a thread."""
        first = self.desk.wait()
        self.calls[0].start()
        self.calls[0].finish()
        service = f"anna@{REALM} to {WIKI}@{REALM}"
        self.assertEqual(self.successResultOf(first), f"{service} #1 wrapped")
        self.assertEqual(self.desk.ask(), f"{service} #2 wrapped")
        self.assertEqual(self.desk.ask(form=TokenForm.kerberos), f"{service} #3")
        self.assertEqual(len(self.calls), 1)
        self.assertEqual((self.desk.tickets.hits, self.desk.tickets.misses), (2, 1))

    def test_others(self) -> None:
        """Security row 45: another user, service or account has to get its own ticket."""
        self.get()
        for arguments in (("ben",), ("anna", "HTTP/hr")):
            self.assertIsInstance(self.desk.ask(*arguments), Deferred)
        self.assertIsInstance(self.desk.ask(account=f"admin@{REALM}"), Deferred)
        self.assertEqual(len(self.calls), 4)

    def test_time(self) -> None:
        """After ten minutes the KDC is asked again, and meanwhile it is swept away."""
        self.get()
        self.desk.clock.advance(599)
        self.assertNotIsInstance(self.desk.ask(), Deferred)
        self.desk.clock.advance(1)
        self.desk.clock.advance(60)
        self.assertEqual(self.desk.tickets.cached, 0)
        self.assertIsInstance(self.desk.ask(), Deferred)

    def test_short_ticket(self) -> None:
        """A ticket is not used in its last two minutes."""
        self.desk.delegator.lifetime = 300
        self.get()
        self.desk.clock.advance(179)
        self.assertNotIsInstance(self.desk.ask(), Deferred)
        self.desk.clock.advance(1)
        self.assertIsInstance(self.desk.ask(), Deferred)

    def test_broken_ticket(self) -> None:
        """A ticket that libkrb5 cannot use any more is replaced."""
        self.get()
        self.desk.delegator.made[0].broken = True
        self.assertIsInstance(self.desk.ask(), Deferred)


class MissTests(TicketCase):
    """Where the KDC is asked."""

    def test_shared(self) -> None:
        """Requests for the same ticket wait for one call, and each gets a token of its own."""
        waiting = [self.desk.wait() for _ in range(3)]
        self.assertEqual(len(self.calls), 1)
        self.calls[0].start()
        self.calls[0].finish()
        self.assertEqual(len({str(self.successResultOf(each)) for each in waiting}), 3)

    def test_shared_bound(self) -> None:
        """Not more than so many wait for one."""
        for _ in range(MAXIMUM_SHARED):
            self.desk.wait().addErrback(lambda _: None)
        self.assertCause(Cause.overloaded, self.desk.ask())

    def test_lanes(self) -> None:
        """The pool is told user and realms: the connector's own, the user's, the service's."""
        self.desk.ask("anna", WIKI)
        self.desk.ask("ben", "HTTP/hr@HR.EXAMPLE.COM", account="ben@EU.EXAMPLE.COM")
        self.assertEqual(self.calls[0].lane, REALM)
        self.assertEqual(self.calls[1].lane, f"{REALM} EU.EXAMPLE.COM HR.EXAMPLE.COM")
        self.assertEqual(self.calls[0].user, "https://id.example.com anna")

    def test_refused(self) -> None:
        """A refusal reaches all who wait, is counted, and is not remembered."""
        waiting = [self.desk.wait() for _ in range(2)]
        self.calls[0].start()
        self.calls[0].finish(KerberosError(Stage.s4u2self, Cause.user_disabled))
        for each in waiting:
            self.assertCause(Cause.user_disabled, each)
        self.assertEqual(self.desk.tickets.failures[Cause.user_disabled], 1)
        self.assertIsInstance(self.desk.ask(), Deferred)
        self.assertEqual(len(self.calls), 2)

    def test_overloaded(self) -> None:
        """What finds no room in the pool fails as such."""
        waiting = self.desk.wait()
        self.calls[0].finish(Overloaded("2048 calls wait already"))
        self.assertCause(Cause.overloaded, waiting)

    def test_bug(self) -> None:
        """An error of ours is logged as ours, and reaches who waits as one of Kerberos."""
        waiting = self.desk.wait()
        self.calls[0].start()
        self.calls[0].finish(ZeroDivisionError())
        self.assertCause(Cause.other, waiting)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_cancelled_waiting(self) -> None:
        """When all have left before a thread began, the call is withdrawn."""
        first, second = self.desk.wait(), self.desk.wait()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertFalse(self.calls[0].cancelled)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertTrue(self.calls[0].cancelled)
        self.assertEqual(self.desk.clock.getDelayedCalls(), [])

    def test_cancelled_running(self) -> None:
        """When all have left after it began, the ticket is kept for the next request."""
        waiting = self.desk.wait()
        self.calls[0].start()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.calls[0].finish()
        self.assertNotIsInstance(self.desk.ask(), Deferred)


class SilenceTests(TicketCase):
    """Where the KDC does not answer."""

    def test_deadline(self) -> None:
        """A call that began fails after the deadline, and names the step."""
        waiting = self.desk.wait()
        self.calls[0].start()
        self.desk.clock.advance(4.9)
        self.assertNoResult(waiting)
        self.desk.clock.advance(0.2)
        error = self.assertCause(Cause.kdc_timeout, waiting)
        self.assertIs(error.stage, Stage.own_ticket)
        self.assertEqual(self.desk.tickets.silent_realms, 1)

    def test_burst(self) -> None:
        """While the KDC answers, many wait for their turn for longer than the deadline."""
        waiting = [self.desk.wait(f"user {number}") for number in range(10)]
        for call, each in zip(self.calls, waiting, strict=True):
            call.start()
            self.desk.clock.advance(2)
            call.finish()
            self.successResultOf(each)

    def test_those_behind(self) -> None:
        """Those who wait for a thread fail when the first misses the deadline; other realms' do not."""
        first, second = self.desk.wait("anna"), self.desk.wait("ben")
        other = self.desk.wait("carl", "HTTP/hr@HR.EXAMPLE.COM")
        self.calls[0].start()
        self.desk.clock.advance(5)
        self.assertCause(Cause.kdc_timeout, first)
        self.assertCause(Cause.kdc_timeout, second)
        self.assertTrue(self.calls[1].cancelled)
        self.assertNoResult(other)
        other.addErrback(lambda _: None)

    def test_slow_one(self) -> None:
        """One who misses the deadline while others are answered fails alone."""
        slow, quick, behind = (self.desk.wait(name) for name in ("anna", "ben", "carl"))
        self.calls[0].start()
        self.calls[1].start()
        self.desk.clock.advance(4)
        self.calls[1].finish()
        self.successResultOf(quick)
        self.desk.clock.advance(1)
        self.assertCause(Cause.kdc_timeout, slow)
        self.assertEqual(self.desk.tickets.silent_realms, 0)
        self.assertNoResult(behind)
        self.calls[2].start()
        self.calls[2].finish()
        self.successResultOf(behind)

    def test_silent_after_answers(self) -> None:
        """The call that began with the last answer shows that the KDC has fallen silent since."""
        first, second, behind = (self.desk.wait(name) for name in ("anna", "ben", "carl"))
        self.calls[0].start()
        self.calls[0].finish()
        self.successResultOf(first)
        self.calls[1].start()
        self.desk.clock.advance(5)
        for each in (second, behind):
            self.assertCause(Cause.kdc_timeout, each)
        self.assertEqual(self.desk.tickets.silent_realms, 1)

    def fall_silent(self) -> None:
        """One misses the deadline."""
        waiting = self.desk.wait("first")
        self.calls[-1].start()
        self.desk.clock.advance(5)
        self.assertCause(Cause.kdc_timeout, waiting)

    def test_one_tries(self) -> None:
        """A silent realm is tried by one request; others fail at once, and tickets at hand serve on."""
        self.get("dora")
        self.fall_silent()
        trying = self.desk.wait("anna")
        self.assertCause(Cause.kdc_timeout, self.desk.ask("ben"))
        self.assertNotIsInstance(self.desk.ask("dora"), Deferred)
        self.calls[-1].start()
        self.desk.clock.advance(5)
        self.assertCause(Cause.kdc_timeout, trying)
        again = self.desk.wait("ben")
        self.calls[-1].start()
        self.calls[-1].finish()
        self.successResultOf(again)
        self.assertEqual(self.desk.tickets.silent_realms, 0)
        self.desk.wait("anna").addErrback(lambda _: None)
        self.desk.wait("ben2").addErrback(lambda _: None)

    def test_tries_without_thread(self) -> None:
        """The one that tries fails in time even if hanging calls leave it no thread, and the next may try."""
        self.fall_silent()
        trying = self.desk.wait("anna")
        self.desk.clock.advance(5)
        self.assertCause(Cause.kdc_timeout, trying)
        self.assertTrue(self.calls[-1].cancelled)
        self.desk.wait("ben").addErrback(lambda _: None)

    def test_trier_leaves(self) -> None:
        """When the one that tries is withdrawn, the next may try."""
        self.fall_silent()
        trying = self.desk.wait("anna")
        trying.cancel()
        self.failureResultOf(trying, CancelledError)
        self.desk.wait("ben").addErrback(lambda _: None)

    def test_late_ticket(self) -> None:
        """A ticket that comes after the deadline ends the silence, and serves the next request."""
        self.fall_silent()
        self.calls[0].finish()
        self.assertEqual(self.desk.tickets.silent_realms, 0)
        self.assertNotIsInstance(self.desk.ask("first"), Deferred)

    def test_late_silence(self) -> None:
        """That libkrb5 gives up in the end says nothing new."""
        self.fall_silent()
        self.calls[0].finish(KerberosError(Stage.s4u2self, Cause.kdc_unreachable))
        self.assertEqual(self.desk.tickets.silent_realms, 1)

    def test_refusal_is_an_answer(self) -> None:
        """A KDC that says no has answered."""
        self.fall_silent()
        waiting = self.desk.wait("anna")
        self.calls[-1].start()
        self.calls[-1].finish(KerberosError(Stage.s4u2self, Cause.account_unknown))
        self.assertCause(Cause.account_unknown, waiting)
        self.assertEqual(self.desk.tickets.silent_realms, 0)

    def test_no_thread(self) -> None:
        """Who gets no thread for half a minute while the KDC answers is told that there are too many."""
        waiting = self.desk.wait()
        self.desk.clock.advance(29.9)
        self.assertNoResult(waiting)
        self.desk.clock.advance(0.2)
        self.assertCause(Cause.overloaded, waiting)
        self.assertTrue(self.calls[0].cancelled)
        self.assertEqual(self.desk.tickets.silent_realms, 0)


class EndTests(TicketCase):
    """Where tickets have to go."""

    def test_forget(self) -> None:
        """Security row 45: a user who signed out has no ticket left; others keep theirs."""
        self.get("anna")
        self.get("ben")
        self.desk.tickets.forget("https://id.example.com", "anna")
        self.assertNotIsInstance(self.desk.ask("ben"), Deferred)
        self.desk.wait("anna").addErrback(lambda _: None)

    def test_forget_under_way(self) -> None:
        """Security row 45: what was under way when a user signed out goes to nobody and is not kept."""
        running = self.desk.wait("anna")
        self.calls[0].start()
        waiting = self.desk.wait("anna", "HTTP/hr")
        self.desk.tickets.forget("https://id.example.com", "anna")
        for each in (running, waiting):
            self.failureResultOf(each, CancelledError)
        self.calls[0].finish()
        self.assertEqual(self.desk.tickets.cached, 0)
        self.assertTrue(self.calls[1].cancelled)

    def test_one_cancels_another(self) -> None:
        """Who is cancelled by another's callback, while all are told, takes the ticket from nobody."""
        for error in (None, KerberosError(Stage.s4u2self, Cause.other)):
            first, second, third = waiting = [self.desk.wait("anna") for _ in range(3)]
            first.addBoth(_cancel, second)
            self.calls[-1].start()
            self.calls[-1].finish(error)
            self.assertTrue(third.called)
            self.failureResultOf(second, CancelledError)
            for each in waiting:
                each.addErrback(lambda _: None)
            self.desk.tickets.forget("https://id.example.com", "anna")

    def test_forget_after_deadline(self) -> None:
        """Security row 45: a ticket that comes late is not kept for a user who signed out meanwhile."""
        waiting = self.desk.wait("anna")
        self.calls[0].start()
        self.desk.clock.advance(5)
        self.assertCause(Cause.kdc_timeout, waiting)
        self.desk.tickets.forget("https://id.example.com", "anna")
        self.calls[0].finish()
        self.assertEqual(self.desk.tickets.cached, 0)

    def test_close(self) -> None:
        """At the end nothing is kept, nothing waits, no timer is left, and nothing new begins."""
        self.get("ben")
        waiting, running = self.desk.wait("anna"), self.desk.wait("carl")
        self.calls[-1].start()
        self.desk.tickets.close()
        for each in (waiting, running, self.desk.ask("dora")):
            self.assertCause(Cause.overloaded, each)
        self.calls[-1].finish()
        self.assertEqual(self.desk.tickets.cached, 0)
        self.assertEqual(self.desk.clock.getDelayedCalls(), [])

    def test_size(self) -> None:
        """No more tickets than the setting are kept."""
        self.desk = TicketDesk(TicketSettings(size=2))
        self.calls = self.desk.pool.calls
        for name in ("anna", "ben", "carl"):
            self.get(name)
        self.assertEqual(self.desk.tickets.cached, 2)


def _cancel(_result: object, other: Deferred[Any]) -> None:
    other.cancel()
