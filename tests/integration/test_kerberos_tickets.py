"""Many users' tickets, with a real KDC that is far away, silent, stopped or restarted."""

from __future__ import annotations

import random
import time
from collections import Counter

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest

from appproxy.kerberos.causes import KDC_SILENT, Cause, KerberosError
from appproxy.kerberos.negotiation import Negotiation
from appproxy.kerberos.one_ticket import only_ticket
from appproxy.kerberos.tickets import TicketSettings, TokenForm
from tests.integration.support.active_directory.acceptor import Acceptor
from tests.integration.support.active_directory.accounts import INTRANET, REALM, SEVERAL
from tests.integration.support.kerberos import Desk, KerberosCase, PauseWatch, until

try:
    import gssapi

    from appproxy.kerberos.delegation import PRINCIPAL
    from appproxy.kerberos.service_ticket import ServiceTicket
except ImportError as error:  # the optional package, or libkrb5, is not there
    raise SkipTest(f"gssapi: {error}") from None

REQUESTS = 1000
CROWD = 500
MILLISECONDS = 1000


class WhoseTests(KerberosCase):
    """Who the application sees."""

    async def test_two_users(self) -> None:
        """
        Security row 45: of a thousand interleaved requests of two users to two services, while tickets
        come and go, each reaches the application as its own user, and each answer proves itself to its own.
        """
        desk = Desk(self, TicketSettings(keep_seconds=0.5))
        acceptors = {
            INTRANET: Acceptor(self.domain.keytab("svc-intranet")),
            SEVERAL[0]: Acceptor(self.domain.keytab("svc-apps")),
        }
        chosen = random.Random(45)
        seen: Counter[str] = Counter()

        async def request(user: str, spn: str, form: TokenForm) -> None:
            negotiation = await desk.get(user, spn, form)
            name, reply = acceptors[spn].accept(negotiation.token)
            self.assertEqual(name, f"{user}@{REALM}")
            negotiation.verify(reply)
            seen[user] += 1

        for _ in range(REQUESTS // 20):
            batch = [
                Deferred.fromCoroutine(
                    request(
                        chosen.choice(("alice", "bsmith")),
                        chosen.choice(list(acceptors)),
                        chosen.choice(list(TokenForm)),
                    )
                )
                for _ in range(20)
            ]
            if chosen.random() < 0.2:
                # Only what is kept: those under way would be told that the user has left.
                await gatherResults(batch)
                desk.tickets.forget("https://id.example.com", "alice")
            else:
                await gatherResults(batch)
        self.assertEqual(seen.total(), REQUESTS)
        self.assertGreater(min(seen["alice"], seen["bsmith"]), REQUESTS // 3)
        self.assertGreater(desk.tickets.misses, 8)
        self.assertGreater(desk.tickets.hits, REQUESTS // 2)

    async def test_fresh_tokens(self) -> None:
        """No two requests have the same token, also those that waited for the same ticket."""
        desk = Desk(self)
        waiting = [Deferred.fromCoroutine(desk.get("alice")) for _ in range(50)]
        tokens = [each.token for each in await gatherResults(waiting)]
        tokens += [(await desk.get("alice")).token for _ in range(50)]
        self.assertEqual(len(set(tokens)), 100)

    def test_one_ticket(self) -> None:
        """
        Security row 45: what is kept for a user's requests is a ticket to one application: with it no KDC can
        be asked, whatever service it is used for.
        """
        ticket = self.ticket()
        kept = ticket._user.export()
        self.assertEqual(only_ticket(kept, f"{INTRANET}@{REALM}"), kept)
        self.assertNotIn(b"krbtgt", kept)
        relay = self.use_relay()
        self.assertTrue(ticket.negotiate(True).token)
        other = ServiceTicket(ticket._user, gssapi.Name(f"{SEVERAL[0]}@{REALM}", PRINCIPAL), 0.0)
        self.assertRaises(KerberosError, other.negotiate, True)
        self.assertEqual(relay.connections, 0)

    async def test_new_keytab(self) -> None:
        """A new password and keytab of the connector are taken up without a restart."""
        desk = Desk(self)
        await desk.get("alice")
        self.domain.set_password("connector$", "An0ther-passw0rd!")
        self.assertIs(await Desk(self).cause("alice"), Cause.keytab_stale)
        self.domain.renew_keytab("connector")
        self.assertIsNone(await desk.cause("carol"))
        self.assertIsNone(await Desk(self).cause("alice"))


class OutageTests(KerberosCase):
    """A KDC that does not answer."""

    async def test_stopped(self) -> None:
        """
        With the KDC stopped a ticket at hand makes a thousand tokens, on the reactor's thread and without
        a KDC; others are refused soon. Once it runs again they are served.
        """
        desk = Desk(self)
        await desk.get("alice")
        await desk.get("alice", SEVERAL[0])
        self.domain.stop()
        try:
            before = time.perf_counter()
            for _ in range(REQUESTS):
                self.assertIsNot(desk.ask("alice").__class__, Deferred)
            each = (time.perf_counter() - before) / REQUESTS
            self.assertNotIsInstance(desk.ask("alice", SEVERAL[0]), Deferred)
            before = time.perf_counter()
            self.assertIn(await desk.cause("carol"), (Cause.kdc_unreachable, Cause.kdc_timeout))
            refused = time.perf_counter() - before
        finally:
            self.domain.start()
        print(f"\ntoken of a ticket at hand: {each * 1e6:.0f} us; refused after {refused:.2f} s")
        self.assertEqual(desk.pool.running, 0)
        self.assertIsNone(await desk.cause("carol"))

    async def test_silent(self) -> None:
        """
        When the KDC says nothing, the first fails at the deadline, others at once, and users with tickets
        go on; when it speaks again, so do all.
        """
        relay = self.use_relay()
        desk = Desk(self)
        await desk.get("alice")
        relay.fall_silent()
        before = time.perf_counter()
        waiting = [Deferred.fromCoroutine(desk.cause(user)) for user in ("bsmith", "carol", "boss")]
        self.assertEqual(await gatherResults(waiting), [Cause.kdc_timeout] * 3)
        print(f"\nthree users without a ticket failed after {time.perf_counter() - before:.2f} s")
        trying = Deferred.fromCoroutine(desk.cause("carol"))
        self.assertIs(await desk.cause("boss"), Cause.kdc_timeout)
        self.assertFalse(trying.called)
        self.assertNotIsInstance(desk.ask("alice"), Deferred)
        self.assertIs(await trying, Cause.kdc_timeout)
        relay.speak()

        async def served() -> bool:
            return await desk.cause("boss") is None

        await until(served, "serves again")
        self.assertEqual(desk.tickets.silent_realms, 0)
        causes = [Deferred.fromCoroutine(desk.cause(user)) for user in ("bsmith", "carol", "alice")]
        self.assertEqual(await gatherResults(causes), [None] * 3)

    async def test_restarted(self) -> None:
        """
        While the KDC restarts under load, each request succeeds or is told that the KDC is away; afterwards
        all succeed.
        """
        names = self.domain.add_crowd(60)
        desk = Desk(self)
        restarting = deferToThread(self.domain.restart)
        rounds: Counter[Cause | None] = Counter()
        while not restarting.called or not rounds[None]:
            desk.tickets.forget("https://id.example.com", names[0])
            waiting = [Deferred.fromCoroutine(desk.cause(name)) for name in names]
            rounds.update(await gatherResults(waiting))
            for name in names:
                desk.tickets.forget("https://id.example.com", name)
        await restarting
        print(f"\nduring a restart: {', '.join(f'{each}: {count}' for each, count in rounds.items())}")
        self.assertLessEqual(set(rounds) - {None}, KDC_SILENT | {Cause.kdc_error})
        self.assertEqual(
            await gatherResults([Deferred.fromCoroutine(desk.cause(name)) for name in names]), [None] * 60
        )


class BurstTests(KerberosCase):
    """Many at once."""

    async def test_burst(self) -> None:
        """Five hundred users' first requests in a burst, the KDC 50 ms away, all succeed as themselves."""
        names = self.domain.add_crowd(CROWD)
        self.use_relay(0.05)
        # A machine that is busy with more than this may take its time: it is told, not judged.
        desk = Desk(self, TicketSettings(deadline_seconds=60, queue_seconds=240))
        latencies: list[float] = []
        begun = time.perf_counter()

        async def first(name: str) -> Negotiation:
            negotiation = await desk.get(name)
            latencies.append(time.perf_counter() - begun)
            return negotiation

        watch = PauseWatch()
        try:
            got = await gatherResults([Deferred.fromCoroutine(first(name)) for name in names])
        finally:
            pause = watch.stop()
        latencies.sort()
        print(
            f"\n{CROWD} first tickets, KDC 50 ms away: {latencies[-1]:.2f} s,"
            f" median {latencies[CROWD // 2]:.2f} s"
        )
        print(f"the reactor's longest pause meanwhile: {pause * MILLISECONDS:.0f} ms")
        acceptor = Acceptor(self.domain.keytab("svc-intranet"))
        seen = [acceptor.accept(each.token)[0] for each in got]
        self.assertEqual(seen, [f"{name}@{REALM}" for name in names])
        self.assertEqual(desk.tickets.cached, CROWD)
