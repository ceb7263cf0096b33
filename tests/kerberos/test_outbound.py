"""Tests of L{appproxy.kerberos.outbound}."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.kerberos.causes import Cause, KerberosError, Progress, Stage
from appproxy.kerberos.outbound import OutboundProxy
from appproxy.threads.errors import Overloaded
from appproxy.threads.pool import FairPool
from appproxy.transport.addresses import HostPort
from appproxy.transport.connect_proxy import ProxyRefused
from tests.kerberos.support import REALM, HandedPool

if TYPE_CHECKING:
    from appproxy.kerberos.delegation import Delegator

DEADLINE = 5.0


class HandedAccount:
    """An account whose tokens are numbered, until it is to be refused."""

    realm = REALM
    account = f"connector$@{REALM}"

    def __init__(self) -> None:
        self.services: list[str] = []
        self.refusal: KerberosError | None = None

    def own_token(self, service: str, progress: Progress) -> bytes:
        """As L{Delegator.own_token}."""
        progress.stage = Stage.outbound_proxy
        if self.refusal is not None:
            raise self.refusal
        self.services.append(service)
        return b"token%d" % len(self.services)


class OutboundProxyTests(SynchronousTestCase):
    """L{OutboundProxy}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pool = HandedPool()
        self.account = HandedAccount()
        proxy = HostPort("proxy.corp.example.com", 3128)
        self.outbound = OutboundProxy(cast("Delegator", self.account), proxy, "/etc/appproxy/c.keytab")

    def in_thread(self):  # type: ignore[no-untyped-def]
        """A token without waiting."""
        return self.outbound.in_thread(cast(FairPool, self.pool), self.clock, DEADLINE)

    def test_tokens(self) -> None:
        """Each connection has a token of its own, for the proxy's name in the account's realm."""
        self.assertEqual(self.outbound.wait(), b"Negotiate token1")
        waiting = self.in_thread()
        self.assertNoResult(waiting)
        self.pool.calls[0].finish()
        self.assertEqual(self.successResultOf(waiting), b"Negotiate token2")
        self.assertEqual(self.account.services, [f"HTTP/proxy.corp.example.com@{REALM}"] * 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused(self) -> None:
        """A refusal names step and cause, and what to do with the real names in it; both ways alike."""
        self.account.refusal = KerberosError(Stage.outbound_proxy, Cause.spn_unknown, "not found")
        error = self.assertRaises(ProxyRefused, self.outbound.wait)
        waiting = self.in_thread()
        self.pool.calls[0].finish(self.account.refusal)
        self.assertEqual(str(self.failureResultOf(waiting, ProxyRefused).value), str(error))
        self.assertEqual(error.reason, "proxy_authentication")
        self.assertIn("the proxy proxy.corp.example.com:3128", str(error))
        self.assertIn("spn_unknown (not found)", str(error))
        self.assertIn("setspn -S 'HTTP/proxy.corp.example.com' PROXY-ACCOUNT", str(error))

    def test_own_ticket(self) -> None:
        """What is wrong with the account itself is told with its keytab."""
        self.account.refusal = KerberosError(Stage.own_ticket, Cause.keytab_unusable)
        error = self.assertRaises(ProxyRefused, self.outbound.wait)
        self.assertIn("klist -k -e -t '/etc/appproxy/c.keytab'", str(error))
        self.assertIn(f"'connector$@{REALM}'", str(error))

    def test_deadline(self) -> None:
        """A KDC that says nothing is given up, whether it holds up a thread or the queue before it."""
        waiting = self.in_thread()
        self.clock.advance(DEADLINE - 0.1)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        error = self.failureResultOf(waiting, ProxyRefused).value
        self.assertIn("kdc_timeout (no answer in 5 s)", str(error))
        self.assertTrue(self.pool.calls[0].cancelled)

    def test_given_up(self) -> None:
        """Whoever dials may give up before."""
        waiting = self.in_thread()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertTrue(self.pool.calls[0].cancelled)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_overloaded(self) -> None:
        """A call that gets no thread is told so."""
        waiting = self.in_thread()
        self.pool.calls[0].finish(Overloaded("stopping"))
        self.assertIn("overloaded", str(self.failureResultOf(waiting, ProxyRefused).value))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bug(self) -> None:
        """A fault of our own is not dressed up as the proxy's."""
        waiting = self.in_thread()
        self.pool.calls[0].finish(ZeroDivisionError())
        self.failureResultOf(waiting, ZeroDivisionError)
