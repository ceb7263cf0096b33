"""The domain controller and the application that other tests stand on: they are what they are taken for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.integration.support.active_directory.accounts import PASSWORD
from tests.integration.support.active_directory.application import KerberosApplication, need_application
from tests.integration.support.active_directory.controller import (
    KERBEROS_PORT,
    DomainController,
    active_directory,
    need_active_directory,
)
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.processes import answers, must_run, run

APPLICATION: Final = "intranet.corp.example.test"


class DomainTestCase(IntegrationTestCase):
    """Has the run's own domain, and a ticket cache of its own."""

    domain: DomainController

    def setUp(self) -> None:
        """The run's own domain."""
        super().setUp()
        need_active_directory()
        self.domain = active_directory()

    def environment(self, krb5_config: Path | None = None) -> dict[str, str]:
        """For a client with a cache of its own."""
        config = str(krb5_config or self.domain.krb5_config)
        return {"KRB5_CONFIG": config, "KRB5CCNAME": str(self.folder / "cache")}

    def log_in(self, name: str, keytab: Path, krb5_config: Path | None = None) -> str:
        """
        Get a ticket.

        @return: what C{kinit} complained about.
        """
        environment = {**self.environment(krb5_config), "LC_ALL": "C"}
        return run(("kinit", "-k", "-t", keytab, name), environment=environment).stderr


class ControllerTests(DomainTestCase):
    """Samba, with MIT's clients."""

    def test_keytab(self) -> None:
        """A connector's keytab is good for a ticket; the stale one is not."""
        self.assertEqual(self.log_in("connector$", self.domain.keytab("connector")), "")
        self.assertIn("reauthentication failed", self.log_in("connstale$", self.domain.keytab("connstale")))

    def test_password_changed(self) -> None:
        """A new password makes the keytab of before stale, until it is made anew."""
        keytab = self.domain.keytab("connplain")
        self.assertEqual(self.log_in("connplain$", keytab), "")
        self.domain.change_password("connplain$")
        self.assertIn("reauthentication failed", self.log_in("connplain$", keytab))
        self.domain.renew_keytab("connplain")
        self.assertEqual(self.log_in("connplain$", keytab), "")

    def test_restart(self) -> None:
        """A stopped controller answers nobody, a started one as before."""
        self.domain.stop()
        self.assertFalse(answers(KERBEROS_PORT, self.domain.address))
        self.domain.start()
        self.assertEqual(self.log_in("connector$", self.domain.keytab("connector")), "")

    def test_relay(self) -> None:
        """Tickets come through a relay."""
        relay = self.domain.relay()
        self.addCleanup(relay.stop)
        config = self.domain.krb5_config_for(relay.address, relay.port)
        self.assertEqual(self.log_in("connector$", self.domain.keytab("connector"), config), "")
        self.assertGreater(relay.connections, 0)

    def test_crowd(self) -> None:
        """Users are made in numbers."""
        names = self.domain.add_crowd(20)
        self.assertEqual(names[7], "load007")
        self.log_in("connector$", self.domain.keytab("connector"))
        told = must_run(("kvno", "-U", names[7], "connector$"), environment=self.environment())
        self.assertIn("kvno = ", told)


class ApplicationTests(DomainTestCase):
    """Apache, with curl."""

    def setUp(self) -> None:
        """An Apache for each test."""
        need_application()
        super().setUp()
        self.application = KerberosApplication(self.domain)
        self.start(self.application.process)

    def get(self, path: str, *, negotiate: bool = True) -> tuple[int, str]:
        """Status and page."""
        port = self.application.port
        command = [
            "curl",
            "--silent",
            "--write-out",
            "%{http_code}",
            "--resolve",
            f"{APPLICATION}:{port}:127.0.0.1",
        ]
        command += ["--negotiate", "--user", ":"] if negotiate else []
        told = must_run((*command, f"http://{APPLICATION}:{port}{path}"), environment=self.environment())
        return int(told[-3:]), told[:-3]

    def test_parts(self) -> None:
        """Each part of the application does what it is there for."""
        must_run(("kinit", "alice"), stdin=PASSWORD, environment=self.environment())
        self.assertEqual(self.get("/app/", negotiate=False)[0], 401)
        self.assertEqual(self.get("/app/x"), (200, "user=alice@CORP.EXAMPLE.TEST auth=Negotiate\n"))
        self.assertEqual(self.get("/local/"), (200, "user=alice auth=Negotiate\n"))
        self.assertEqual(self.get("/stale/")[0], 401)
        self.assertEqual(self.get("/other/")[0], 401)
        self.assertIn('"GET /app/x HTTP/1.1" 200 alice@CORP', self.application.access_log.read_text())
