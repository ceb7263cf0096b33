"""Tests of L{appproxy.connector.way_out}."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.config.connector import ConnectorSettings
from appproxy.connector.way_out import LONGEST_TICKET_SECONDS, NoWayOut, WayOut, blocking_way_out
from appproxy.kerberos import library
from appproxy.kerberos.causes import KerberosUnavailable, Progress
from appproxy.kerberos.keytab import KeytabError

REALM = "CORP.EXAMPLE"


class ThreadClock(Clock):
    """A reactor to which threads have nothing to say."""

    def callFromThread(self, *call: object) -> None:
        """Dropped."""


class SilentAccount:
    """An account whose KDC says nothing before the test is over."""

    realm = REALM
    account = f"svc@{REALM}"

    def __init__(self) -> None:
        self.over = threading.Event()
        self.keytab_problem = ""

    def check_keytab(self) -> None:
        """As L{Delegator.check_keytab}."""
        if self.keytab_problem:
            raise KeytabError(self.keytab_problem)

    def own_token(self, service: str, progress: Progress) -> bytes:
        """As L{Delegator.own_token}."""
        self.over.wait(30)
        return service.encode()


def settings(proxy: dict[str, Any], **more: Any) -> ConnectorSettings:
    """A connector's, with this way out."""
    return ConnectorSettings.model_validate({"allowed_backends": ("wiki:80",), "proxy": proxy, **more})


NEGOTIATE = {"url": "http://proxy.corp.example:3128", "negotiate": True}


class WayOutTests(SynchronousTestCase):
    """L{WayOut} and L{blocking_way_out}."""

    def setUp(self) -> None:
        self.account = SilentAccount()
        self.addCleanup(self.account.over.set)
        self.made: list[tuple[str, Path, int | None]] = []
        self.patch(library, "make_delegator", self.make)

    def make(self, account: str, keytab: Path, owner: int | None = None) -> SilentAccount:
        """As L{library.make_delegator}."""
        self.made.append((account, keytab, owner))
        return self.account

    def negotiating(self, keytab: str = "/etc/x/c.keytab", **own: Any) -> ConnectorSettings:
        """With an account."""
        return settings(NEGOTIATE, kerberos={"keytab_file": keytab, "principal": f"svc@{REALM}", **own})

    def test_others(self) -> None:
        """Without Negotiate nobody asks for a ticket."""
        for proxy in ({}, {"url": "http://p:1"}):
            way_out = WayOut(settings(proxy), ThreadClock())
            self.assertEqual(way_out.proxy, blocking_way_out(settings(proxy), 0))
            self.assertEqual(way_out.proxy is None, not proxy)
            way_out.close()
        self.assertEqual(self.made, [])

    def test_deadline(self) -> None:
        """However long users wait for tickets, a tunnel's leaves time to dial."""
        for wanted, seconds in ((60.0, LONGEST_TICKET_SECONDS), (2.0, 2.0)):
            clock = ThreadClock()
            way_out = WayOut(self.negotiating(deadline=f"{wanted:g}s"), clock)
            assert way_out.proxy is not None
            assert way_out.proxy.authorize is not None
            waiting = way_out.proxy.authorize()
            assert isinstance(waiting, Deferred)
            clock.advance(seconds - 0.1)
            self.assertNoResult(waiting)
            clock.advance(0.1)
            self.assertIn("kdc_timeout", str(self.failureResultOf(waiting).value))
            way_out.close()

    def test_command_line(self) -> None:
        """It waits where it is, and takes the daemon's keytab."""
        self.account.over.set()
        proxy = blocking_way_out(self.negotiating(), 998)
        assert proxy is not None
        assert proxy.authorize is not None
        self.assertEqual(proxy.authorize(), b"Negotiate HTTP/proxy.corp.example@CORP.EXAMPLE")
        self.assertEqual(self.made, [(f"svc@{REALM}", Path("/etc/x/c.keytab"), 998)])

    def test_problems(self) -> None:
        """What is missing is told with the setting that names it."""
        self.assertRefused("kerberos.keytab_file: .*LoadCredential=", self.negotiating("credential:c.keytab"))
        missing = {"url": "http://p:1", "username": "u", "password_file": str(Path(self.mktemp()).absolute())}
        self.assertRefused("proxy.password_file: ", settings(missing))
        self.account.keytab_problem = "c.keytab can be read by others"
        self.assertRefused("kerberos.keytab_file: c.keytab can be read", self.negotiating())

        def unavailable(*_: object) -> None:
            raise KerberosUnavailable("pip install")

        self.patch(library, "make_delegator", unavailable)
        self.assertRefused("proxy.negotiate: pip install", self.negotiating())

    def assertRefused(self, said: str, wrong: ConnectorSettings) -> None:
        """Neither the daemon nor the command line begins."""
        for begin in (lambda: WayOut(wrong, ThreadClock()), lambda: blocking_way_out(wrong, 0)):
            self.assertRegex(str(self.assertRaises(NoWayOut, begin)), said)
