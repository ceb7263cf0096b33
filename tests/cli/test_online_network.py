"""C{appproxy check --online}: certificates, names, ports, backends."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import trustme
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from appproxy.cli.online import Finding
from appproxy.cli.online_access import Account
from appproxy.cli.online_connector import check_backends
from appproxy.cli.online_network import addresses_of, check_certificates, check_names, check_ports
from appproxy.transport.addresses import ListenAddress

NOW: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)


def pairs(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """Verdicts and messages."""
    return [(finding.verdict, finding.message) for finding in findings]


class CertificateTests(SynchronousTestCase):
    """L{check_certificates}."""

    def setUp(self) -> None:
        """A folder with a certificate for all names below one domain, for a year."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.authority = trustme.CA()
        self.put("wildcard", "*.apps.example", NOW + timedelta(days=365))

    def put(self, name: str, host: str, ends: datetime) -> None:
        """A certificate file."""
        issued = self.authority.issue_cert(host, not_after=ends)
        issued.private_key_and_cert_chain_pem.write_to_path(str(self.folder / f"{name}.pem"))

    def found(self, *hosts: str, now: datetime = NOW) -> list[tuple[str, str]]:
        """What is said of the folder."""
        return pairs(list(check_certificates([self.folder], hosts, lambda: now)))

    def test_covers(self) -> None:
        """A wildcard stands for one label, as in TLS, and for no more."""
        verdicts = self.found("auth.apps.example", "a.b.apps.example", "apps.example")
        self.assertEqual(
            verdicts[1:],
            [
                ("failed", "none is for a.b.apps.example"),
                ("failed", "none is for apps.example"),
            ],
        )
        self.assertEqual(verdicts[0][0], "ok")
        self.assertIn("*.apps.example, until 2027-03-02", verdicts[0][1])

    def test_expiry(self) -> None:
        """A certificate that ends soon is a warning, one that ended a failure."""
        for days, verdict in ((340, "ok"), (352, "warning"), (366, "failed")):
            self.assertEqual(self.found(now=NOW + timedelta(days=days))[0][0], verdict)

    def test_not_valid_yet(self) -> None:
        """Nor is one of use that begins later."""
        self.assertEqual(self.found(now=NOW - timedelta(days=36500))[0][0], "failed")

    def test_unusable(self) -> None:
        """A broken file is named; the others still count."""
        (self.folder / "broken.pem").write_text("nothing")
        verdicts = self.found("auth.apps.example")
        self.assertEqual([verdict for verdict, _ in verdicts], ["failed", "ok"])
        self.assertIn("broken.pem", verdicts[0][1])

    def test_empty(self) -> None:
        """A folder without a certificate is said to be that."""
        (self.folder / "wildcard.pem").unlink()
        self.assertEqual(self.found(), [("failed", f"{self.folder} has none")])


class NameTests(SynchronousTestCase):
    """L{check_names}."""

    def test_names(self) -> None:
        """Hosts without address fail; hosts that lead elsewhere are pointed out."""
        known = {"a.example": ["192.0.2.1"], "b.example": ["192.0.2.1"], "c.example": ["192.0.2.9"]}

        def resolve(host: str) -> Sequence[str]:
            if host not in known:
                raise OSError
            return known[host]

        self.assertEqual(
            pairs(list(check_names(["b.example", "a.example"], resolve))),
            [("ok", "a.example, b.example: 192.0.2.1")],
        )
        self.assertEqual(
            pairs(list(check_names(["a.example", "c.example", "d.example"], resolve))),
            [
                ("failed", "d.example has no address"),
                ("warning", "a.example: 192.0.2.1 (others differ)"),
                ("warning", "c.example: 192.0.2.9 (others differ)"),
            ],
        )

    def test_localhost(self) -> None:
        """Names below localhost are this machine, whatever the system's resolver knows."""
        self.assertEqual(addresses_of("auth.demo.localhost"), ["127.0.0.1"])


class PortTests(SynchronousTestCase):
    """L{check_ports}."""

    def test_ports(self) -> None:
        """A port is free, or taken by something that is not ours."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
            self.assertEqual(pairs(list(check_ports([address]))), [("warning", f"{address} is in use")])
        self.assertEqual(pairs(list(check_ports([address]))), [("ok", f"{address} is free")])

    def test_privileged(self) -> None:
        """Whoever checks may be root; what counts is whether the daemon's user may have the port."""
        if not ListenAddress.parse(":1").is_privileged:
            raise SkipTest("on this machine everybody may have any port")
        account = Account("appproxy-edge", 4_000_000, frozenset())
        ((verdict, message),) = pairs(list(check_ports([":1"], account=account)))
        self.assertEqual(verdict, "warning")
        self.assertIn("the user appproxy-edge may not have it", message)
        self.assertIn('write "systemd:https"', message)


class ConnectorTests(SynchronousTestCase):
    """What lies behind a connector."""

    def test_backends(self) -> None:
        """Names in full are looked at: where they lead, and whether they answer."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            lines = [f"wiki.localhost:{port}", "*.corp.example:80", "10.0.0.0/8:80"]
            self.assertEqual(
                pairs(list(check_backends(lines, ["127.0.0.0/8"]))),
                [("ok", f"wiki.localhost:{port} answers")],
            )
            self.assertEqual(
                pairs(list(check_backends(lines, ["10.0.0.0/8"])))[0],
                ("failed", f"wiki.localhost:{port}: 127.0.0.1 is in none of names_resolve_into"),
            )
        self.assertEqual(pairs(list(check_backends(lines, ["127.0.0.0/8"])))[0][0], "warning")
