"""C{connector.toml}."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from appproxy.config.common import parse_settings
from appproxy.config.connector import ConnectorSettings
from appproxy.config.fields import FileContext

ALLOWED = 'allowed_backends = ["wiki:8080"]\n'


def read(text: str) -> ConnectorSettings | list[str]:
    """The settings, or the problems as text without the file's name."""
    found = parse_settings(ConnectorSettings, text, "", FileContext(Path("/etc/x")))
    return [str(each).lstrip(":") for each in found] if isinstance(found, list) else found


KERBEROS = """
allowed_spns = ["HTTP/*.corp.example"]
[directory]
servers = ["ldaps://dc1.corp.example"]
base = "DC=corp,DC=example"
[kerberos]
keytab_file = "connector.keytab"
principal = "appproxy-svc$@CORP.EXAMPLE"
"""


class ConnectorTests(SynchronousTestCase):
    """L{ConnectorSettings}."""

    def test_defaults(self) -> None:
        """The allow list is enough."""
        settings = read(ALLOWED)
        assert isinstance(settings, ConnectorSettings)
        self.assertEqual(settings.allowed_backends, ("wiki:8080",))
        self.assertEqual(settings.allowed_sso, ("none", "headers"))
        self.assertEqual(settings.backend.connect_timeout, 10)

    def test_allow_list_is_a_must(self) -> None:
        """Nothing is allowed by leaving it out."""
        self.assertEqual(read(""), ["allowed_backends: is missing"])
        self.assertEqual(len(read("allowed_backends = []\n")), 1)  # type: ignore[arg-type]

    def test_each_wrong_line(self) -> None:
        """Each wrong line of the allow list is a problem with its own line number."""
        found = read('allowed_backends = [\n  "wiki:0",\n  "ok:1",\n  "10.0.0.1/8",\n]\n')
        assert isinstance(found, list)
        self.assertEqual(
            [each.split(": ")[:2] for each in found],
            [["2", "allowed_backends[0]"], ["4", "allowed_backends[2]"]],
        )

    def test_sign_on(self) -> None:
        """A known mode that is not built yet says so; an unknown one is a mistake."""
        self.assertEqual(
            read(ALLOWED + 'allowed_sso = ["saml", "magic"]\n'),
            [
                '2: allowed_sso[0]: "saml" is not supported yet',
                '2: allowed_sso[1]: write "none", "headers" or "kerberos"',
            ],
        )

    def test_kerberos(self) -> None:
        """Kerberos sign-on needs services, a directory and an account; all that is missing is named."""
        asked = ALLOWED + 'allowed_sso = ["kerberos"]\n'
        (problem,) = read(asked)
        self.assertIn(
            "allowed_spns, directory.servers, kerberos.keytab_file, kerberos.principal", str(problem)
        )
        settings = read(asked + KERBEROS)
        assert isinstance(settings, ConnectorSettings), settings
        self.assertEqual(settings.kerberos.principal, "appproxy-svc$@CORP.EXAMPLE")

    def test_kerberos_sections(self) -> None:
        """Security row 45: each wrong value is named with its line and with what would be right."""
        for right, wrong, said in (
            ('"HTTP/*.corp.example"', '"HTTP/*"', "allowed_spns[0]: a service principal name is"),
            ('"HTTP/*.corp.example"', '"cifs/a.corp"', "allowed_spns[0]: a web application"),
            ('"ldaps://dc1.corp.example"', '"http://dc1"', 'directory.servers[0]: write "ldaps://host"'),
            ('"ldaps://dc1.corp.example"', '"ldap://dc1:0"', "directory.servers[0]: "),
            (
                'servers = ["ldaps://dc1.corp.example"]',
                "servers = []",
                "directory.servers and directory.base",
            ),
            ('"DC=corp,DC=example"', '"DC=corp"\nbind = "simple"', "directory.password_file"),
            ('"DC=corp,DC=example"', '"DC=corp"\nuser = "x"', "are for bind ="),
            (
                '"appproxy-svc$@CORP.EXAMPLE"',
                '"appproxy-svc$"',
                "kerberos.principal: write the account and its",
            ),
            ('"appproxy-svc$@CORP.EXAMPLE"', '"a@corp.example"', "kerberos.principal: a realm is a domain"),
            ('"appproxy-svc$@CORP.EXAMPLE"', '"a@B"\ndeadline = "2m"', "kerberos.deadline: "),
        ):
            changed = KERBEROS.replace(right, wrong)
            self.assertNotEqual(changed, KERBEROS)
            problems = read(ALLOWED + changed)
            self.assertIn(said, str(problems), wrong)

    def test_proxy(self) -> None:
        """A way out has an address, and a user with a password or neither."""
        for good in (
            'url = "http://proxy.corp.example:3128"',
            'url = "http://[fd00::1]:3128/"',
            'url = "http://p:1"\nusername = "corp\\\\svc"\npassword_file = "/etc/x/p"',
        ):
            self.assertIsInstance(read(ALLOWED + f"[proxy]\n{good}\n"), ConnectorSettings, good)
        for wrong in (
            'url = "https://p:1"',
            'url = "p:3128"',
            'url = "http://p:1/path"',
            'url = "http://user:secret@p:1"',
            'url = "http://:1"',
            'url = "http://p:99999"',
            'username = "a"\npassword_file = "/p"',
            'url = "http://p:1"\nusername = "a"',
            'url = "http://p:1"\npassword_file = "/p"',
            'url = "http://p:1"\nusername = "a:b"\npassword_file = "/p"',
        ):
            problems = read(ALLOWED + f"[proxy]\n{wrong}\n")
            self.assertIsInstance(problems, list, wrong)
            self.assertNotIn("secret", str(problems))

    def test_negotiate(self) -> None:
        """A ticket for the proxy needs an account, and no other sign-on of Kerberos."""
        way_out = '[proxy]\nurl = "http://proxy.corp.example:3128"\nnegotiate = true\n'
        account = KERBEROS[KERBEROS.index("[kerberos]") :]
        settings = read(ALLOWED + way_out + account)
        assert isinstance(settings, ConnectorSettings), settings
        self.assertTrue(settings.proxy.negotiate)
        self.assertEqual(settings.allowed_sso, ("none", "headers"))
        self.assertIsInstance(read(ALLOWED + way_out.replace("true", "1") + account), list)

    def test_negotiate_problems(self) -> None:
        """All that keeps a proxy from being shown a ticket is told at once, each with its place."""
        text = (
            ALLOWED + 'allowed_sso = ["kerberos"]\n[proxy]\nurl = "http://[fd00::1]:3128"\nnegotiate = true\n'
            'username = "svc"\npassword_file = "p"\n'
        )
        self.assertEqual(
            read(text),
            [
                '"kerberos" in allowed_sso needs allowed_spns, directory.servers, kerberos.keytab_file, '
                "kerberos.principal",
                "4: proxy.url: with proxy.negotiate write the proxy's name: tickets are for names, not for "
                "addresses",
                "5: proxy.negotiate: it needs kerberos.keytab_file, kerberos.principal",
                "6: proxy.username: with proxy.negotiate leave out proxy.username and proxy.password_file",
            ],
        )
        self.assertEqual(
            read(ALLOWED + "[proxy]\nnegotiate = true\n"),
            [
                "3: proxy.negotiate: it needs proxy.url",
                "3: proxy.negotiate: it needs kerberos.keytab_file, kerberos.principal",
            ],
        )

    def test_networks(self) -> None:
        """A network with host bits is a slip of the pen."""
        self.assertEqual(
            read(ALLOWED + 'names_resolve_into = ["10.0.0.1/8"]\n'),
            ['2: names_resolve_into[0]: "10.0.0.1/8" is not a network such as "10.0.0.0/8"'],
        )
