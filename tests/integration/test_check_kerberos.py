"""C{appproxy check --online} of a connector with Kerberos sign-on, with a real Active Directory."""

from __future__ import annotations

import json
import shutil
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.integration.support.active_directory.accounts import (
    BASE,
    DOMAIN,
    INTRANET,
    REALM,
    UNKNOWN,
    UNLISTED,
)
from tests.integration.support.active_directory.controller import need_gssapi
from tests.integration.support.installation import PROGRAMS
from tests.integration.support.kerberos import KerberosCase
from tests.integration.support.processes import run
from tests.integration.support.toml import toml_text

KDC = "a KDC of CORP.EXAMPLE.TEST gives connector$@CORP.EXAMPLE.TEST a ticket for its key"

Findings = list[tuple[str, str, str]]


class CheckTests(KerberosCase):
    """A file before any daemon has read it."""

    def setUp(self) -> None:
        """A keytab as docs/kerberos.md wants it."""
        super().setUp()
        need_gssapi()
        self.keytab = self.folder / "connector.keytab"
        self.use_keytab("connector")
        self.identity = self.folder / "state" / "identity"

    def use_keytab(self, name: str) -> None:
        """That of another account."""
        self.keytab.write_bytes(self.domain.keytab(name).read_bytes())
        self.keytab.chmod(0o600)

    def check(
        self,
        directory: dict[str, Any] | None = None,
        kerberos: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        **settings: Any,
    ) -> Findings:
        """What is found of Kerberos and the directory."""
        own = {"ca_file": self.domain.ca_file, "base": BASE, "servers": [self.domain.ldaps_url]}
        principal = {"keytab_file": self.keytab, "principal": f"connector$@{REALM}"}
        document = {
            "identity": self.identity,
            "allowed_backends": ["127.0.0.1:1"],
            "allowed_sso": ["none", "kerberos"],
            "allowed_spns": [INTRANET],
            **settings,
            "directory": {**own, **(directory or {})},
            "kerberos": {**principal, **(kerberos or {})},
        }
        path = self.folder / "connector.toml"
        path.write_text(toml_text(document))
        check = (PROGRAMS / "appproxy", "check", path, "--online", "--output", "json")
        done = run([*prefix, *check], cwd=self.folder, environment=environment or {})
        told = json.loads(done.stdout)
        self.assertEqual(told["problems"], [], done.stderr)
        found = [(each["verdict"], each["subject"], each["message"]) for each in told["online"]]
        return [each for each in found if each[1] in ("Kerberos", "directory", "delegation")]

    def assert_found(self, found: Findings, *expected: tuple[str, str, str]) -> None:
        """These, in this order; of the messages only a part is given."""
        self.assertEqual([each[:2] for each in found], [each[:2] for each in expected], found)
        for (_, _, message), (_, _, part) in zip(found, expected, strict=True):
            self.assertIn(part, message)

    def test_well(self) -> None:
        """Everything that a sign-on needs of the domain is looked at, and is well."""
        self.assert_found(
            self.check(allowed_spns=[INTRANET, f"HTTP/*.apps.{DOMAIN}"]),
            ("ok", "Kerberos", KDC),
            (
                "ok",
                "directory",
                f"{self.domain.ldaps_url}:636 takes the connector's account; its clock and ours agree",
            ),
            ("ok", "directory", "never_impersonate: every name is known"),
            ("ok", "delegation", f"connector$ may delegate to {INTRANET}, which is svc-intranet's"),
            ("ok", "delegation", f"connector$ may delegate to 2 services of HTTP/*.apps.{DOMAIN}: HTTP/one"),
        )

    def test_rights(self) -> None:
        """A service that the domain withholds, and one that nobody has, are told with the remedy."""
        services = [UNLISTED, UNKNOWN, f"HTTP/*.nowhere.{DOMAIN}"]
        found = self.check(allowed_spns=services)[3:]
        self.assert_found(
            found,
            ("warning", "delegation", f"samba-tool delegation add-service 'connector$' '{UNLISTED}'"),
            ("warning", "delegation", f"No account of the domain has the service principal name {UNKNOWN}."),
            ("warning", "delegation", f"may delegate to no service of HTTP/*.nowhere.{DOMAIN}"),
        )
        self.use_keytab("connkrbonly")
        found = self.check(kerberos={"principal": f"connkrbonly$@{REALM}"})[3:]
        self.assert_found(
            found,
            ("warning", "delegation", "samba-tool delegation for-any-protocol 'connkrbonly$' on"),
            ("ok", "delegation", INTRANET),
        )

    def test_unknown_rule(self) -> None:
        """A misspelt name in never_impersonate, which would stop all sign-on, fails."""
        found = self.check(never_impersonate=["Domain Admins", "Domian Admins"])
        self.assertEqual([each[0] for each in found], ["ok", "ok", "failed", "ok"])
        self.assertIn("never_impersonate: there is no group or account 'Domian Admins'", found[2][2])

    def test_keytab(self) -> None:
        """A keytab that is open to others, missing, or of an older password fails; nothing is bound."""
        skipped = ("skipped", "directory", "is bound to with the keytab")
        self.keytab.chmod(0o644)
        self.assert_found(self.check(), ("failed", "Kerberos", f"chmod 600 {self.keytab}"), skipped)
        self.keytab.unlink()
        self.assert_found(self.check(), ("failed", "Kerberos", f"{self.keytab} cannot be read"), skipped)
        self.use_keytab("connstale")
        found = self.check(kerberos={"principal": f"connstale$@{REALM}"})
        self.assert_found(found, ("failed", "Kerberos", "its password was changed"), skipped)

    def test_silent_kdc(self) -> None:
        """A KDC that says nothing is not waited for longer than users would."""
        relay = self.use_relay()
        relay.fall_silent()
        found = self.check(kerberos={"deadline": "1s"})
        self.assertEqual([each[0] for each in found], ["failed", "skipped"])
        self.assertIn("does not answer within kerberos.deadline. (no answer in 1 s)", found[0][2])

    def test_servers(self) -> None:
        """Each domain controller is asked: one that is away fails, and the others tell the rest."""
        servers = ["ldaps://127.0.0.1:1", self.domain.ldaps_url]
        found = self.check(directory={"servers": servers})
        self.assertEqual([each[0] for each in found], ["ok", "failed", "ok", "ok", "ok"])
        self.assertIn("ldaps://127.0.0.1:1", found[1][2])
        found = self.check(directory={"servers": servers[:1]})
        self.assertEqual([each[0] for each in found], ["ok", "failed"])

    def test_clock(self) -> None:
        """A clock that is wrong by ten minutes fails, though libkrb5 makes up for it."""
        if shutil.which("faketime") is None:
            raise SkipTest("not installed: faketime")
        found = self.check(prefix=("faketime", "+10 minutes"))
        self.assertEqual([each[0] for each in found], ["ok", "failed"], found)
        self.assertRegex(found[1][2], "its clock is (599|600|601) s behind ours. Let both machines")

    def test_credential(self) -> None:
        """A keytab that the daemon may not read itself fails; one that systemd hands over is looked for."""
        self.identity.mkdir(parents=True)
        shutil.chown(self.identity.parent, "nobody")
        nobody = f"{self.keytab}: the user nobody may not read it"
        self.assertIn(nobody, self.check()[0][2])
        found = self.check(kerberos={"keytab_file": "credential:connector.keytab"})
        self.assert_found(found, ("warning", "Kerberos", "CREDENTIALS_DIRECTORY=FOLDER"))
        where = {"CREDENTIALS_DIRECTORY": str(self.folder)}
        found = self.check(kerberos={"keytab_file": "credential:connector.keytab"}, environment=where)
        self.assertEqual({each[0] for each in found}, {"ok"}, found)

    def test_without(self) -> None:
        """A connector that signs nobody on with Kerberos is not asked for it."""
        self.assertEqual(self.check(allowed_sso=["none"]), [])
