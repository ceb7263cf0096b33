"""
C{python -m tests tests.integration.tls_scan}: what testssl.sh finds of an edge with default settings.

Not among C{make test}'s: a scan takes some minutes. Needs testssl.sh (Debian: testssl.sh).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from twisted.trial.unittest import SkipTest

from tests.integration.support.case import ROOT, IntegrationTestCase
from tests.integration.support.installation import Installation
from tests.integration.support.processes import run
from tests.prepare import find_command

SCAN_SECONDS: Final = 3600
VALIDITY: Final = timedelta(days=90)
"""Of the certificate, as public authorities give it."""

HARMLESS: Final = ("OK", "INFO")
MANUAL: Final = ROOT / "docs" / "security.md"

EXPLAINED: Final[Mapping[str, str]] = {
    "cert_revocation": "a private authority has no CRL",
    "DNS_CAArecord": "of the domain's owner",
    "HTTP_status_code": "a redirect, where testssl.sh would like a page",
}
"""What is found of an edge and is no fault of its, and why."""


class ScanTests(IntegrationTestCase):
    """An edge whose sign-in and portal are set up, and that publishes one application."""

    timeout = 3 * SCAN_SECONDS

    def setUp(self) -> None:
        """Start the edge."""
        super().setUp()
        self.program = find_command("testssl")
        if self.program is None:
            raise SkipTest("not installed: testssl (Debian: testssl.sh)")
        self.site = Installation(self)
        since = datetime.now(UTC)
        public = self.site.folder / "certificates" / "public.pem"
        self.site.authority.issue(f"*.{self.site.domain}", to=public, since=since, until=since + VALIDITY)
        self.site.start_provider()
        self.site.start_edge()
        self.site.publish({"echo": {"internal_url": "http://backend.example.com/"}})

    def findings(self, host: str, *options: str) -> dict[str, str]:
        """Severity and words of each finding by its id, unless it is harmless."""
        file = self.folder / f"{host}.json"
        quiet = ("--quiet", "--color", "0", "--warnings", "batch", "--ip", "127.0.0.1")
        trusted = ("--add-ca", self.site.authority.ca_file, "--jsonfile", file)
        said = run((str(self.program), *quiet, *trusted, *options, self.site.url(host)), seconds=SCAN_SECONDS)
        found = json.loads(file.read_text("utf-8"))
        # One that broke off would find little.
        assert len(found) > 1 and said.returncode == 0, said.stdout + said.stderr
        self.assertNotIn("scanProblem", [each["id"] for each in found])
        return {
            each["id"]: f"{each['severity']} {each['finding']}"
            for each in found
            if each["severity"] not in HARMLESS
        }

    def unexplained(self, host: str, *options: str) -> dict[str, str]:
        """Those that the manual does not explain."""
        found = self.findings(host, *options)
        return {name: words for name, words in found.items() if name not in EXPLAINED}

    def test_everything(self) -> None:
        """Protocols, ciphers, certificate, headers, known attacks: nothing is found but what is explained."""
        self.assertEqual(self.unexplained("portal"), {})

    def test_other_hosts(self) -> None:
        """Nor is at the sign-in host and at one of an application, whose answers differ."""
        for host in ("auth", "echo"):
            self.assertEqual(self.unexplained(host, "--server-defaults", "--headers"), {}, host)

    def test_manual(self) -> None:
        """What is explained here is explained in the manual, under the name that testssl.sh gives it."""
        text = MANUAL.read_text("utf-8")
        self.assertEqual([name for name in EXPLAINED if f"`{name}`" not in text], [])
