"""C{appproxy check --online}: identities and tunnels, against a relay that runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from appproxy.cli.online import Finding
from appproxy.cli.online_tunnel import check_identity, check_relays
from appproxy.pki.certificates import Role
from appproxy.relay.service import RelayService
from appproxy.relay.tap import Options
from tests.relay.support import HOST
from tests.relay.test_service import enrolled


class TunnelTests(TestCase):
    """L{check_relays} and L{check_identity}."""

    async def start(self, role: Role = "relay") -> str:
        """Start a relay; where it listens."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        enrolled(folder / "identity")
        (folder / "relay.toml").write_text(
            'identity = "identity"\n[listen]\nhttps = ["127.0.0.1:0"]\n[metrics]\nlisten = "127.0.0.1:0"\n'
        )
        options = Options()
        options.parseOptions(["--config", str(folder / "relay.toml")])
        self.relay = service = RelayService(reactor, options)
        if role != "relay":
            self.patch(service, "_load_identity", lambda: enrolled(folder / "other", role))
        await Deferred.fromCoroutine(service.start())
        self.addCleanup(lambda: Deferred.fromCoroutine(service.stop()))
        port: Any = service._ports[0].getHost()
        return f"127.0.0.1:{port.port}"

    async def found(self, check: Callable[[], Iterator[Finding]]) -> list[tuple[str, str, str]]:
        """What a check finds, while the relay runs."""
        findings = await deferToThread(lambda: list(check()))
        return [(each.verdict, each.subject, each.message) for each in findings]

    def identity(self, role: Role = "edge", made_at: float | None = None) -> Path:
        """A folder with an identity."""
        folder = Path(self.mktemp()).absolute()
        enrolled(folder, role, made_at)
        return folder

    async def test_relay(self) -> None:
        """A relay that takes the edge is fine, and sees no more of it than a handshake."""
        address = await self.start()
        edge = self.identity()
        self.assertEqual(
            await self.found(lambda: check_relays(edge, [address, address])),
            [("ok", "relay", f"{address} answers as {HOST}")],
        )
        self.assertEqual(self.relay._edges.attached, 0)

    async def test_not_taken(self) -> None:
        """One that does not take the certificate is not."""
        address = await self.start()
        edge = self.identity("connector")
        self.assertEqual(
            await self.found(lambda: check_relays(edge, [address])),
            [("failed", "relay", f"{address} does not take our certificate")],
        )

    async def test_no_relay(self) -> None:
        """Nor is somebody else with a certificate of ours, or nobody."""
        address = await self.start("edge")
        edge = self.identity()
        self.assertEqual(
            await self.found(lambda: check_relays(edge, [address, "127.0.0.1:1"])),
            [
                ("failed", "relay", f"{address} is no relay"),
                ("failed", "relay", "127.0.0.1:1 does not answer: Connection refused"),
            ],
        )

    async def test_before_the_first_start(self) -> None:
        """An edge without a certificate sees only whether somebody listens; nobody may be there yet."""
        address = await self.start()
        expired = self.identity(made_at=time.time() - 400 * 86400)
        for folder in (Path(self.mktemp()), expired):
            findings = await self.found(partial(check_relays, folder, [address, "127.0.0.1:1"]))
            self.assertEqual([verdict for verdict, _, _ in findings], ["ok", "warning"])

    async def test_not_enrolled(self) -> None:
        """Without an identity the way to one is said."""
        ((verdict, _, message),) = await self.found(lambda: check_identity(Path(self.mktemp()), []))
        self.assertEqual(verdict, "failed")
        self.assertIn("appproxy enroll", message)

    async def test_connector(self) -> None:
        """A connector's tunnels may end at relays."""
        address = await self.start()
        connector = self.identity("connector")
        findings = await self.found(lambda: check_identity(connector, [address]))
        self.assertEqual(
            [(verdict, subject) for verdict, subject, _ in findings],
            [("ok", "identity"), ("failed", "tunnel")],
        )
        self.assertIn("does not take our certificate", findings[1][2], "no edge has told of it")

    async def test_relay_dials_nobody(self) -> None:
        """Where a relay enrolled there is nothing that it could dial."""
        relay = self.identity("relay")
        findings = await self.found(lambda: check_identity(relay, ["127.0.0.1:1"]))
        self.assertEqual([verdict for verdict, _, _ in findings], ["ok"])
