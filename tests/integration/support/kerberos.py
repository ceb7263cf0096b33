"""
A connector's Kerberos in the test's own process, with a real KDC.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.trial.unittest import SkipTest, TestCase

from appproxy.kerberos.causes import Cause, KerberosError, Progress, Stage
from appproxy.kerberos.environment import prepare
from appproxy.kerberos.library import make_delegator
from appproxy.kerberos.names import account_principal
from appproxy.kerberos.negotiation import Negotiation
from appproxy.kerberos.tickets import TicketKey, Tickets, TicketSettings, TokenForm
from appproxy.threads.pool import FairPool
from tests.integration.support.active_directory.accounts import INTRANET, REALM
from tests.integration.support.active_directory.controller import (
    DomainController,
    active_directory,
    need_active_directory,
)
from tests.integration.support.active_directory.relay import Relay
from tests.integration.support.processes import START_SECONDS

try:
    from appproxy.kerberos.delegation import Delegator
    from appproxy.kerberos.service_ticket import ServiceTicket
except ImportError as error:  # the optional package, or libkrb5, is not there
    raise SkipTest(f"gssapi: {error}") from None

THREADS = 16

clock = IReactorTime(_reactor)


class PauseWatch:
    """
    How long the reactor did nothing else.

    @ivar longest_seconds: the longest time between two turns that should have been a millisecond apart.
    """

    def __init__(self) -> None:
        self.longest_seconds = 0.0
        self._last = time.perf_counter()
        self._loop = LoopingCall(self._turn)
        self._loop.start(0.001)

    def stop(self) -> float:
        """The longest."""
        self._loop.stop()
        return self.longest_seconds

    def _turn(self) -> None:
        now = time.perf_counter()
        self.longest_seconds = max(self.longest_seconds, now - self._last)
        self._last = now


class KerberosCase(TestCase):
    """
    Has the run's own domain; libkrb5 in this process talks to it alone.

    The system's C{krb5.conf} of these tests says C{forwardable = false}, as a careless administrator's
    might: ours has to win in each of them.
    """

    timeout = 300
    domain: DomainController

    def setUp(self) -> None:
        """The run's own domain."""
        need_active_directory()
        self.domain = active_directory()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        for name in ("KRB5_CONFIG", "KRB5RCACHENAME"):
            self.addCleanup(_restore, name, os.environ.get(name))
        os.environ["KRB5RCACHENAME"] = f"file2:{self.folder}/replays"
        self.use_krb5_config(self.domain.krb5_config)

    def use_krb5_config(self, path: Path) -> None:
        """From now on libkrb5 reads this, after ours."""
        careless = self.folder / path.name
        text = path.read_text()
        careless.write_text(text.replace("forwardable = true", "forwardable = false"))
        self.assertNotEqual(careless.read_text(), text)
        os.environ["KRB5_CONFIG"] = str(careless)
        prepare(os.environ)

    def use_relay(self, delay_seconds: float = 0.0) -> Relay:
        """From now on the KDC is behind this."""
        relay = self.domain.relay()
        self.addCleanup(relay.stop)
        relay.delay_seconds = delay_seconds
        self.use_krb5_config(self.domain.krb5_config_for(relay.address, relay.port))
        return relay

    def delegator(self, connector: str = "connector", keytab: Path | None = None) -> Delegator:
        """Of one of the connectors' accounts."""
        return make_delegator(f"{connector}$@{REALM}", keytab or self.domain.keytab(connector))

    def ticket(self, user: str = "alice", spn: str = INTRANET) -> ServiceTicket:
        """A user's ticket, without threads."""
        return self.delegator().ticket(f"{user}@{REALM}", f"{spn}@{REALM}", Progress())

    def assertRefused(self, stage: Stage, cause: Cause, call: Callable[[], object]) -> KerberosError:
        """It fails at this step for this reason."""
        error = self.assertRaises(KerberosError, call)
        assert isinstance(error, KerberosError)
        self.assertEqual((error.stage, error.cause), (stage, cause), error.detail)
        return error


class Desk:
    """L{Tickets} of a connector, and all that belongs to them; it ends with the test."""

    def __init__(self, case: KerberosCase, settings: TicketSettings | None = None) -> None:
        self.pool = FairPool("kerberos", THREADS, IReactorFromThreads(_reactor))
        self.tickets = Tickets(case.delegator(), self.pool, clock, time.time, settings)
        case.addCleanup(self.pool.stop)
        case.addCleanup(self.tickets.close)

    def ask(
        self, user: str, spn: str = INTRANET, form: TokenForm = TokenForm.spnego
    ) -> Negotiation | Deferred[Negotiation]:
        """One request of a user."""
        key = TicketKey("https://id.example.com", user, f"S-1-5-21-{user}", spn)
        return self.tickets.negotiation(key, account_principal(user, REALM), form)

    async def get(self, user: str, spn: str = INTRANET, form: TokenForm = TokenForm.spnego) -> Negotiation:
        """One request of a user, when it has its token."""
        result = self.ask(user, spn, form)
        return await result if isinstance(result, Deferred) else result

    async def cause(self, user: str) -> Cause | None:
        """Why a user gets no token, if so."""
        try:
            await self.get(user)
        except KerberosError as error:
            return error.cause
        return None


async def until(ready: Callable[[], Awaitable[bool]], what: str) -> None:
    """Ask again and again, while the reactor runs."""
    deadline = time.monotonic() + START_SECONDS
    while not await ready():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {START_SECONDS:g} s")
        await deferLater(clock, 0.02)


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
