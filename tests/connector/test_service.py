"""L{appproxy.connector.service}: how a connector starts, why it does not, and when it gives up."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.config import daemon
from appproxy.config.connector import ConnectorSettings
from appproxy.config.daemon import EXIT_CONFIGURATION, EXIT_NOT_ENROLLED, EXIT_UNAVAILABLE
from appproxy.connector import service
from appproxy.connector.service import (
    ASK_AGAIN_SECONDS,
    NOT_TRUSTED_SECONDS,
    READY_AFTER_SECONDS,
    ConnectorService,
)
from appproxy.connector.tap import Options
from appproxy.observe.metrics_service import MetricsService
from appproxy.pki.certificates import (
    CONNECTORS_ISSUER,
    certificate_to_pem,
    fingerprint,
    key_from_pem,
    make_key,
)
from appproxy.pki.identity import Enrolment, NotEnrolled, load
from appproxy.pki.issuing import make_certificate, make_link, make_root
from appproxy.pki.trust import AnnouncedRoot
from appproxy.store.files import write_private
from tests.config.support import RecordingWriter
from tests.pki.support import DAY
from tests.relay.support import Holder, ca, holder


def write_identity(folder: Path, who: Holder, addresses: tuple[str, ...] = ("edge.example:443",)) -> Path:
    """An identity's folder."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(folder / "key.pem", who.key_pem)
    (folder / "certificate.pem").write_bytes(who.chain_pem)
    (folder / "ca.pem").write_bytes(ca().pem)
    enrolment = Enrolment("hq", "main", addresses, "connect.example")
    (folder / "enrolment.json").write_bytes(enrolment.encode())
    return folder


class ServiceTestCase(SynchronousTestCase):
    """Makes services."""

    def setUp(self) -> None:
        """Codes of the process's end are noted instead."""
        self.codes: list[int] = []
        self.patch(daemon, "exit_with", lambda _reactor, code, _writer: self.codes.append(code))
        self.folder = Path(self.mktemp()).absolute()

    def service(self, **settings: Any) -> ConnectorService:
        """A connector's service, not started."""
        options = Options()
        options.settings = ConnectorSettings.model_validate(
            {
                "identity": str(self.folder),
                "allowed_backends": ["*.corp.example"],
                "metrics": {"listen": "127.0.0.1:0"},
                **settings,
            }
        )
        options.writer = RecordingWriter()  # type: ignore[assignment]
        self.reactor: Any = MemoryReactorClock()
        self.reactor.rightNow = time.time()
        made = ConnectorService(self.reactor, options)
        self.addCleanup(lambda: made.running and made.stopService())
        return made

    def started(self, **settings: Any) -> ConnectorService:
        """A connector's service, started."""
        made = self.service(**settings)
        made.startService()
        return made


class StartTests(ServiceTestCase):
    """How L{ConnectorService} starts, or why not."""

    def test_interface(self) -> None:
        """It is a service for twistd."""
        write_identity(self.folder, holder("connector", "hq"))
        self.assertTrue(IService.providedBy(self.service()))

    def test_dials(self) -> None:
        """Every address of the identity and of the file is dialled, each once."""
        write_identity(self.folder, holder("connector", "hq"), ("edge.example:1", "edge.example:2"))
        self.started(connect=["edge.example:2", "edge.example:3"])
        self.assertEqual(sorted(client[1] for client in self.reactor.tcpClients), [1, 2, 3])
        self.assertEqual(self.codes, [])

    def test_ready_without_a_tunnel(self) -> None:
        """It is ready after a while even if nobody is there to dial: systemd should leave it alone."""
        write_identity(self.folder, holder("connector", "hq"), ("203.0.113.1:443",))
        made = self.service()
        ready: list[bool] = []
        self.patch(made.notifier, "ready", lambda: ready.append(True))
        made.startService()
        self.reactor.advance(READY_AFTER_SECONDS - 1)
        self.assertEqual(ready, [])
        self.reactor.advance(1)
        self.assertEqual(ready, [True])

    def test_stopped_before_it_is_ready(self) -> None:
        """A connector that is stopped while it waits is not ready afterwards."""
        write_identity(self.folder, holder("connector", "hq"), ("203.0.113.1:443",))
        made = self.service()
        ready: list[bool] = []
        self.patch(made.notifier, "ready", lambda: ready.append(True))
        made.startService()
        self.successResultOf(made.stopService())
        self.assertEqual((ready, self.codes), ([], []))

    def test_not_enrolled(self) -> None:
        """Without an identity it exits with 77: starting again does not help."""
        self.started()
        self.assertEqual(self.codes, [EXIT_NOT_ENROLLED])

    def test_unusable_identity(self) -> None:
        """So it does with one that cannot be used, whatever is wrong with it."""
        other = holder("connector", "other")

        def key_of_another(folder: Path) -> None:
            write_private(folder / "key.pem", other.key_pem)

        def open_to_others(folder: Path) -> None:
            (folder / "key.pem").chmod(0o644)

        def garbage(name: str) -> Any:
            return lambda folder: write_private(folder / name, b"garbage")

        for spoil in (
            key_of_another,
            open_to_others,
            garbage("key.pem"),
            garbage("certificate.pem"),
            garbage("ca.pem"),
            garbage("enrolment.json"),
            lambda folder: (folder / "enrolment.json").write_bytes(b"[]"),
            lambda folder: (folder / "certificate.pem").write_bytes(b""),
        ):
            self.codes.clear()
            spoil(write_identity(self.folder, holder("connector", "hq")))
            self.assertRaises(NotEnrolled, load, self.folder)
            self.started()
            self.assertEqual(self.codes, [EXIT_NOT_ENROLLED])

    def test_role(self) -> None:
        """A relay's identity is none for a connector."""
        write_identity(self.folder, holder("relay", "relay-1"))
        self.started()
        self.assertEqual(self.codes, [EXIT_NOT_ENROLLED])

    def test_bad_address(self) -> None:
        """Neither is one that names no addresses that could be dialled."""
        write_identity(self.folder, holder("connector", "hq"), ("no address",))
        self.started()
        self.assertEqual(self.codes, [EXIT_NOT_ENROLLED])

    def test_expired(self) -> None:
        """An expired certificate: 77."""
        write_identity(self.folder, holder("connector", "hq"))
        made = self.service()
        self.reactor.advance(40 * DAY)
        made.startService()
        self.assertEqual(self.codes, [EXIT_NOT_ENROLLED])

    def test_expires_meanwhile(self) -> None:
        """One that expires while nobody is there to renew it: 77 as well."""
        write_identity(self.folder, holder("connector", "hq"), ("203.0.113.1:443",))
        made = self.started()
        made._renew_if_due()
        self.assertEqual(self.codes, [])
        self.reactor.rightNow += 40 * DAY
        made._renew_if_due()
        self.assertEqual(self.codes, [EXIT_NOT_ENROLLED])

    def test_metrics_taken(self) -> None:
        """A port that is taken: 69."""
        write_identity(self.folder, holder("connector", "hq"))

        async def taken(_self: object) -> None:
            raise CannotListenError("127.0.0.1", 9645, OSError(98, "in use"))

        self.patch(MetricsService, "start", taken)
        self.started()
        self.assertEqual(self.codes, [EXIT_UNAVAILABLE])

    def test_bad_ca_file(self) -> None:
        """A CA that is not there, or is none: 78, before any tunnel is up."""
        write_identity(self.folder, holder("connector", "hq"))
        garbage = self.folder / "garbage.pem"
        garbage.write_bytes(b"garbage")
        for path in (garbage, self.folder / "missing.pem"):
            self.codes.clear()
            made = self.service()
            made._settings = made._settings.model_copy(
                update={"backend": made._settings.backend.model_copy(update={"ca_files": (path,)})}
            )
            made.startService()
            self.assertEqual(self.codes, [EXIT_CONFIGURATION])

    def test_crash(self) -> None:
        """A mistake of ours: 1, with the traceback in the log."""
        write_identity(self.folder, holder("connector", "hq"))

        def broken(*_arguments: object) -> Any:
            raise ZeroDivisionError

        self.patch(service, "Supervisor", broken)
        self.started()
        self.assertEqual(self.codes, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_reload(self) -> None:
        """SIGHUP reads the identity anew, and keeps the old one if the new one is wrong."""
        write_identity(self.folder, holder("connector", "hq"), ("203.0.113.1:443",))
        made = self.started()
        before = made._current_identity()
        write_identity(self.folder, holder("connector", "hq-2"))
        made.reload()
        self.assertEqual(made._current_identity().id, "hq-2")
        (self.folder / "certificate.pem").write_bytes(b"garbage")
        made.reload()
        self.assertEqual(made._current_identity().id, "hq-2")
        self.assertEqual((before.id, self.codes), ("hq", []))


class End:
    """A tunnel's end, as far as the service looks at it."""

    def __init__(self, revision: int = 0) -> None:
        self.address = "edge:443"
        self.leaving = False
        self.catalog = type("Catalog", (), {"revision": revision})()
        self.asked: list[str] = []

    def ask_for_certificate(self, csr: str, roots: Sequence[str]) -> None:
        """Note it."""
        self.roots = roots
        self.asked.append(csr)


class FakeSupervisor:
    """One that has these tunnels."""

    def __init__(self, *ends: End) -> None:
        self.ends = list(ends)
        self.calls: list[tuple[object, ...]] = []

    def settled(self, end: End) -> None:
        """Note it."""
        self.calls.append(("settled", end))

    def replace(self, most_seconds: float) -> None:
        """Note it."""
        self.calls.append(("replace", most_seconds))

    def stop(self, drain_seconds: float) -> Deferred[None]:
        """At once."""
        return succeed(None)


class RefusalTests(ServiceTestCase):
    """A relay that does not want this connector."""

    def ends(self, *ends: End) -> Any:
        """A service with these tunnels."""
        write_identity(self.folder, holder("connector", "hq"), ("203.0.113.1:443",))
        made = self.started()
        made._supervisor = FakeSupervisor(*ends)  # type: ignore[assignment]
        return made

    def test_revoked(self) -> None:
        """A connector that is revoked exits with 77 at once."""
        end = End()
        self.ends(end).tunnel_refused(end, "revoked")
        self.assertEqual(self.codes, [EXIT_NOT_ENROLLED])

    def test_revoked_with_a_tunnel(self) -> None:
        """Also one whose tunnel had been up: that one counts no longer."""
        end = End(7)
        self.ends(end).tunnel_refused(end, "revoked")
        self.assertEqual(self.codes, [EXIT_NOT_ENROLLED])

    def test_not_trusted(self) -> None:
        """One that is not known tries for a while: the registry may be behind."""
        end = End()
        made = self.ends(end)
        made.tunnel_refused(end, "not_trusted")
        self.reactor.rightNow += NOT_TRUSTED_SECONDS - 1
        made.tunnel_refused(end, "not_trusted")
        self.assertEqual(self.codes, [])
        self.reactor.rightNow += 1
        made.tunnel_refused(end, "not_trusted")
        self.assertEqual(self.codes, [EXIT_NOT_ENROLLED])

    def test_trusted_meanwhile(self) -> None:
        """Once it was let in, the time starts anew."""
        end = End()
        made = self.ends(end)
        made.tunnel_refused(end, "not_trusted")
        self.reactor.rightNow += NOT_TRUSTED_SECONDS
        made.tunnel_up(end)
        made.tunnel_refused(end, "not_trusted")
        self.assertEqual(self.codes, [])

    def test_another_relay_trusts_it(self) -> None:
        """While another relay is served, one relay's word is not enough."""
        refused, serving = End(), End(7)
        made = self.ends(refused, serving)
        made.tunnel_refused(refused, "revoked")
        self.assertEqual(self.codes, [])
        serving.leaving = True
        made.tunnel_refused(serving, "revoked")
        self.assertEqual(self.codes, [EXIT_NOT_ENROLLED])


class RenewalTests(ServiceTestCase):
    """The certificate's renewal."""

    def test_due(self) -> None:
        """It is asked for once it is due, over the newest tunnel that serves, and not before."""
        write_identity(self.folder, holder("connector", "hq"), ("203.0.113.1:443",))
        made = self.started()
        second, first, dead = End(7), End(7), End()
        made._supervisor = FakeSupervisor(second, first, dead)  # type: ignore[assignment]
        made.tunnel_up(first)  # type: ignore[arg-type]
        self.assertEqual(first.asked, [])
        self.reactor.rightNow += 21 * DAY
        made.tunnel_up(first)  # type: ignore[arg-type]
        self.assertEqual((len(dead.asked), len(first.asked), len(second.asked)), (0, 1, 0))
        self.assertIn("BEGIN CERTIFICATE REQUEST", first.asked[0])

    def test_asked_once(self) -> None:
        """While the answer may still come it is not asked for again: there would be two."""
        write_identity(self.folder, holder("connector", "hq"), ("203.0.113.1:443",))
        made = self.started()
        first, second = End(7), End(7)
        supervisor = FakeSupervisor(second, first)
        made._supervisor = supervisor  # type: ignore[assignment]
        self.reactor.rightNow += 21 * DAY
        for _ in range(2):
            made.tunnel_up(first)  # type: ignore[arg-type]
        self.assertEqual(len(first.asked), 1)
        supervisor.ends.remove(first)
        made.tunnel_up(second)  # type: ignore[arg-type]
        self.assertEqual(len(second.asked), 1)
        self.reactor.rightNow += ASK_AGAIN_SECONDS
        made.tunnel_up(second)  # type: ignore[arg-type]
        self.assertEqual(len(second.asked), 2)

    def test_renewed(self) -> None:
        """A certificate that comes is used, if it is for this connector."""
        who = holder("connector", "hq")
        write_identity(self.folder, who, ("203.0.113.1:443",))
        made = self.started()
        before = made._current_identity()
        supervisor = FakeSupervisor()
        made._supervisor = supervisor  # type: ignore[assignment]
        made.renewed("garbage")
        made.renewed(holder("connector", "other").chain_pem.decode())
        self.assertIs(made._current_identity(), before)
        self.assertEqual(supervisor.calls, [])
        made.renewed(who.chain_pem.decode())
        self.assertIsNot(made._current_identity(), before)
        self.assertEqual(made._current_identity().id, "hq")
        self.assertEqual(supervisor.calls, [], "the same certificate needs no other tunnels")

    def test_tunnels_are_replaced(self) -> None:
        """With a new certificate every tunnel is made anew; old ones may go on while the old one is good."""
        who = holder("connector", "hq")
        write_identity(self.folder, who, ("203.0.113.1:443",))
        made = self.started()
        supervisor = FakeSupervisor()
        made._supervisor = supervisor  # type: ignore[assignment]
        before = made._current_identity()
        made.renewed(again(who))
        self.assertNotEqual(made._current_identity().fingerprint, before.fingerprint)
        ((what, seconds),) = supervisor.calls
        self.assertEqual(what, "replace")
        self.assertEqual(seconds, before.expires_at - self.reactor.seconds())
        end = End(7)
        made.tunnel_up(end)  # type: ignore[arg-type]
        self.assertEqual(supervisor.calls[1:], [("settled", end)])


class RootsTests(ServiceTestCase):
    """What a relay says of the CA's roots."""

    def setUp(self) -> None:
        """A connector of the first one, and a second one that the first vouches for."""
        super().setUp()
        write_identity(self.folder, holder("connector", "hq"), ("203.0.113.1:443",))
        self.made = self.started()
        self.end = End(7)
        self.made._supervisor = FakeSupervisor(self.end)  # type: ignore[assignment]
        now = time.time()
        self.first, self.second = ca().root, make_root(make_key(), now)
        link = make_link(self.second.certificate, self.first, now)
        self.told = [
            AnnouncedRoot(self.first.certificate).as_dict(),
            AnnouncedRoot(self.second.certificate, link).as_dict(),
        ]

    def test_followed(self) -> None:
        """It is trusted, now and after a restart, and a certificate of it is asked for at once."""
        self.made.told_roots(self.told)
        self.made.tunnel_up(self.end)  # type: ignore[arg-type]
        roots = (self.first.certificate, self.second.certificate)
        self.assertEqual(self.made._current_identity().roots, roots)
        self.assertEqual(load(self.folder).roots, roots)
        self.assertEqual(len(self.end.asked), 1)
        self.assertEqual(self.end.roots, tuple(map(fingerprint, roots)))

    def test_nothing_said(self) -> None:
        """Relays of an earlier version say nothing: nothing changes."""
        self.made.told_roots(None)
        self.made.tunnel_up(self.end)  # type: ignore[arg-type]
        self.assertEqual((len(load(self.folder).roots), self.end.asked), (1, []))

    def test_strangers(self) -> None:
        """Roots that nobody vouches for are not followed, and what is there is not given up for them."""
        self.made.told_roots([AnnouncedRoot(self.second.certificate).as_dict()])
        self.assertEqual(load(self.folder).roots, (self.first.certificate,))

    def test_own_root_stays(self) -> None:
        """The root of its own certificate is kept until it has one of another, whatever is said."""
        self.made.told_roots(self.told)
        self.made.told_roots(self.told[1:])
        self.assertEqual(load(self.folder).roots, (self.first.certificate, self.second.certificate))

    def test_junk(self) -> None:
        """What is none breaks the tunnel's rules."""
        self.assertRaises(ValueError, self.made.told_roots, [{"root": "junk"}])


def again(who: Holder) -> str:
    """Another certificate of a connector, for its key."""
    issuer = ca().issuers[CONNECTORS_ISSUER]
    key = key_from_pem(who.key_pem).public_key()
    made = make_certificate(issuer, key, "connector", who.id, time.time())
    return certificate_to_pem(made, issuer.certificate).decode()
