"""Tests of L{appproxy.model.service_name}."""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import text
from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.service_name import NameRefused, Service, concrete, parse_service, permits

HOME = "CORP.EXAMPLE.COM"


class ParseTests(SynchronousTestCase):
    """L{parse_service}."""

    def test_forms(self) -> None:
        """Host, short name, port, realm and pattern; what is read is written as it was."""
        for written, service in {
            "HTTP/wiki.corp.example.com": Service("HTTP", "wiki.corp.example.com"),
            "HTTP/wiki": Service("HTTP", "wiki"),
            "HTTP/wiki:8080": Service("HTTP", "wiki", "8080"),
            "HTTP/wiki.hr.example.com@HR.EXAMPLE.COM": Service(
                "HTTP", "wiki.hr.example.com", "", "HR.EXAMPLE.COM"
            ),
            "HTTP/*.corp.example.com": Service("HTTP", "*.corp.example.com"),
        }.items():
            self.assertEqual(parse_service(written), service)
            self.assertEqual(str(service), written)

    def test_principal(self) -> None:
        """The Kerberos name is in its own realm, or in the connector's."""
        self.assertEqual(parse_service("HTTP/wiki").principal(HOME), "HTTP/wiki@CORP.EXAMPLE.COM")
        self.assertEqual(parse_service("HTTP/wiki@HR.COM").principal(HOME), "HTTP/wiki@HR.COM")

    def test_refused(self) -> None:
        """
        Security row 28, security row 45: nothing that Kerberos or a header could read as more than one
        name.
        """
        for written in (
            "",
            "wiki",
            "HTTP/",
            "/wiki",
            "HTTP/a/b",
            "HTTP/a@B@C",
            "HTTP/a@",
            "HTTP/a@corp",
            "HTTP/a\\@B",
            "HTTP/a b",
            "HTTP/a\r\nX: y",
            "HTTP/a\0",
            "HTTP/*",
            "HTTP/a*.b",
            "HTTP/*.*.b",
            "HTTP/a.*.b",
            "HTTP/-a",
            "HTTP/a..b",
            "HTTP/a.",
            "HTTP/wíki",
            "HTTP/a:0",
            "HTTP/a:65536",
            "HTTP/a:",
            "H TTP/a",
            "HTTP/" + "a." * 300 + "b",
        ):
            with self.assertRaises(NameRefused, msg=ascii(written)):
                parse_service(written)

    @given(text(alphabet="HTP/ab.*:@09-\\ \n", max_size=30))
    def test_any_text(self, written: str) -> None:
        """What is read is written as it was."""
        try:
            service = parse_service(written)
        except NameRefused:
            return
        self.assertEqual(str(service), written)
        self.assertEqual(service.principal(HOME).count("@"), 1)


class ConcreteTests(SynchronousTestCase):
    """L{concrete}."""

    def test_host(self) -> None:
        """The star stands for one label of the host; port and realm stay."""
        pattern = parse_service("HTTP/*.Corp.example.com:8080@HR.EXAMPLE.COM")
        made = concrete(pattern, "Wiki.corp.example.com")
        self.assertEqual(str(made), "HTTP/wiki.corp.example.com:8080@HR.EXAMPLE.COM")
        literal = parse_service("HTTP/wiki")
        self.assertEqual(concrete(literal, "any.host"), literal)

    def test_refused(self) -> None:
        """Security row 45: no other host gets a name below that domain."""
        pattern = parse_service("HTTP/*.corp.example.com")
        for host in (
            "corp.example.com",
            "a.b.corp.example.com",
            "a.corp.example.com.evil.com",
            "acorp.example.com",
            ".corp.example.com",
            "*.corp.example.com",
            "10.0.0.1",
            "a@B.corp.example.com",
            "",
        ):
            with self.assertRaises(NameRefused, msg=host):
                concrete(pattern, host)


class PermitTests(SynchronousTestCase):
    """L{permits}."""

    def assertPermits(self, allowed: bool, pattern: str, spn: str) -> None:
        """The pattern stands for that name, or does not."""
        patterns = [parse_service("HTTP/other"), parse_service(pattern)]
        self.assertIs(permits(patterns, parse_service(spn), HOME), allowed, (pattern, spn))

    def test_permitted(self) -> None:
        """The same name in any case of the host, a host below the pattern, the pattern itself."""
        for pattern, spn in (
            ("HTTP/wiki", "HTTP/WIKI"),
            ("HTTP/*.corp.example.com", "HTTP/wiki.CORP.example.com"),
            ("HTTP/*.corp.example.com", "HTTP/*.corp.example.com"),
            ("HTTP/wiki@CORP.EXAMPLE.COM", "HTTP/wiki"),
            ("HTTP/wiki", "HTTP/wiki@CORP.EXAMPLE.COM"),
            ("HTTP/wiki:80@HR.COM", "HTTP/wiki:80@HR.COM"),
        ):
            self.assertPermits(True, pattern, spn)

    def test_not_permitted(self) -> None:
        """Security row 45: another class, host, port, realm or depth is another service."""
        for pattern, spn in (
            ("HTTP/wiki", "HTTP/wiki2"),
            ("HTTP/wiki", "cifs/wiki"),
            ("HTTP/wiki", "http/wiki"),
            ("HTTP/wiki", "HTTP/wiki:80"),
            ("HTTP/wiki:80", "HTTP/wiki"),
            ("HTTP/wiki", "HTTP/wiki@HR.COM"),
            ("HTTP/wiki@HR.COM", "HTTP/wiki"),
            ("HTTP/wiki.corp.example.com", "HTTP/*.corp.example.com"),
            ("HTTP/*.corp.example.com", "HTTP/corp.example.com"),
            ("HTTP/*.corp.example.com", "HTTP/a.b.corp.example.com"),
            ("HTTP/*.corp.example.com", "HTTP/*.hr.corp.example.com"),
            ("HTTP/*.corp.example.com", "HTTP/evilcorp.example.com"),
        ):
            self.assertPermits(False, pattern, spn)

    def test_nothing(self) -> None:
        """Security row 45: no patterns, no services."""
        self.assertFalse(permits([], parse_service("HTTP/wiki"), HOME))
