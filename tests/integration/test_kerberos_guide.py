"""docs/kerberos.md: its commands for Samba do what they are there for."""

from __future__ import annotations

import re
from typing import Final

from tests.integration.support.active_directory.accounts import REALM
from tests.integration.support.active_directory.controller import active_directory, need_active_directory
from tests.integration.support.case import ROOT, IntegrationTestCase
from tests.integration.support.processes import must_run

GUIDE: Final = ROOT / "docs" / "kerberos.md"
KEYTAB: Final = "/etc/appproxy/connector.keytab"
OURS: Final = {
    "CORP.EXAMPLE": REALM,
    "corp.example": REALM.lower(),
    "DC=corp,DC=example": "DC=corp,DC=example,DC=test",
    "intranet": "guide",
    "ada": "alice",
    KEYTAB: "connector.keytab",
}
"""Names of the guide, and those of the domain of the tests, which has an intranet already."""


def commands() -> list[str]:
    """The guide's blocks for a shell, in our own domain."""
    blocks: list[str] = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    for theirs, ours in OURS.items():
        blocks = [re.sub(rf"\b{theirs}\b" if theirs != KEYTAB else theirs, ours, each) for each in blocks]
    return blocks


class GuideTests(IntegrationTestCase):
    """Typed at a domain controller, in the guide's order."""

    def setUp(self) -> None:
        """The run's own domain, with an application's account and an administrator."""
        super().setUp()
        need_active_directory()
        self.need("ldbmodify", "testparm", "kinit", "kvno")
        controller = active_directory()
        self.environment = {
            **controller.environment,
            "SMB_CONF_PATH": str(controller.smb_conf_file),
            "KRB5CCNAME": str(self.folder / "cache"),
        }
        for name in ("guide-svc", "dana"):
            self.type(f"samba-tool user create {name} --random-password")
        self.addCleanup(self.remove)

    def remove(self) -> None:
        """The domain is as it was."""
        for name in ("guide-svc", "dana", "appproxy-svc"):
            self.type(f"samba-tool user delete {name}")

    def type(self, typed: str) -> str:
        """Run a block; each of its commands has to succeed."""
        command = ("bash", "-euo", "pipefail", "-c", typed)
        return must_run(command, cwd=self.folder, environment=self.environment)

    def test_all(self) -> None:
        """From an empty domain to a user's ticket, with AES; and administrators are kept out."""
        service, connector, people, ticket = commands()
        self.type(service)
        self.assertIn("guide.corp.example.test", self.type(connector))
        keys = self.type("klist -k -e -t connector.keytab")
        self.assertIn("aes256-cts", keys)
        self.type(people)
        self.assertIn("True", self.type("samba-tool user sensitive dana show"))
        self.assertIn("dana", self.type('samba-tool group listmembers "Protected Users"'))
        shown = self.type(ticket.replace("kdestroy", "klist -e"))
        self.assertIn("for client alice@CORP.EXAMPLE.TEST", shown)
        self.assertIn("HTTP/guide.corp.example.test@CORP.EXAMPLE.TEST: kvno = ", shown)
