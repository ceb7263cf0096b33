"""Kerberos sign-on while a KDC, a keytab or the directory is in trouble."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from tests.integration.support.active_directory.accounts import REALM
from tests.integration.support.active_directory.relay import Relay
from tests.integration.support.browser import Browser
from tests.integration.support.kerberos_site import PEOPLE, KerberosTestCase
from tests.integration.support.processes import NotReady, wait_until

PARALLEL_REQUESTS: Final = 500
"""Of each of two users."""


class TroubleTests(KerberosTestCase):
    """Whose KDC stands behind a relay of ours."""

    relay: Relay

    def krb5_config(self) -> Path:
        """The KDC is where the relay is."""
        self.relay = self.controller.relay()
        self.addCleanup(self.relay.stop)
        return self.controller.krb5_config_for(self.relay.address, self.relay.port)

    def serve(self) -> dict[str, Browser]:
        """A plain application beside the other, and two users, one of whom has a ticket already."""
        self.publish({"intranet": {}, "plain": {}})
        self.site.appproxy("list", "applications")
        browsers = {name: self.site.browser() for name in ("alice", "bsmith")}
        self.assert_user(self.arrive("alice", browser=browsers["alice"]), f"alice@{REALM}")
        # Signed in at the provider, but not yet at the application.
        browsers["bsmith"] = self.site.browser()
        self.site.sign_in(browsers["bsmith"], self.site.url("portal"), PEOPLE["bsmith"])
        return browsers

    def test_silent(self) -> None:
        """A KDC that says nothing: new users read so in time, others notice nothing, and it mends."""
        browsers = self.serve()
        self.relay.fall_silent()
        page = browsers["bsmith"].open(self.site.url("intranet"))
        self.assert_refused(page, 504, "kdc_timeout")
        self.assertIn("did not answer in time", page.text)
        for _ in range(20):
            self.assert_user(browsers["alice"].open(self.site.url("intranet")), f"alice@{REALM}")
        # While one call tries the KDC, nobody waits for it.
        self.assertEqual(browsers["bsmith"].open(self.site.url("intranet")).status, 504)
        self.relay.speak()
        wait_until(
            lambda: browsers["bsmith"].open(self.site.url("intranet")).status == 200, "new users get in again"
        )

    def test_restarted(self) -> None:
        """A controller that is away and comes back: those with tickets work on, and then all others."""
        browsers = self.serve()
        self.controller.stop()
        try:
            page = browsers["bsmith"].open(self.site.url("intranet"))
            self.assertIn(page.status, (502, 504), page.text)
            self.assert_user(browsers["alice"].open(self.site.url("intranet")), f"alice@{REALM}")
        finally:
            self.controller.start()
        wait_until(
            lambda: browsers["bsmith"].open(self.site.url("intranet")).status == 200, "new users get in again"
        )

    def test_users_in_parallel(self) -> None:
        """Security row 27. Security row 45: of a thousand requests of two users each is its own user's."""
        browsers = self.serve()
        self.assert_user(browsers["bsmith"].open(self.site.url("intranet")), f"bsmith@{REALM}")

        def ask(name: str) -> None:
            for _ in range(PARALLEL_REQUESTS):
                self.assert_user(browsers[name].open(self.site.url("intranet")), f"{name}@{REALM}")

        with ThreadPoolExecutor() as threads:
            list(threads.map(ask, browsers))


class StartTests(KerberosTestCase):
    """What a connector says of its own account."""

    def test_stale_keytab(self) -> None:
        """A keytab of before the last password: nobody gets in, and the cause is named."""
        self.connector.stop()
        self.connector = self.site.start_daemon(
            "connector", self.site.changed("connector", self.connector_settings("connstale")), "connector"
        )
        self.assert_refused(self.arrive("alice"), 502, "Preauthentication failed")

    def test_keytab_others_can_read(self) -> None:
        """A keytab that others can read, or that is not the account's, keeps the connector from starting."""
        self.connector.stop()
        copy = self.folder / "open.keytab"
        copy.write_bytes(self.controller.keytab("connector").read_bytes())
        copy.chmod(0o644)
        keytabs: Sequence[tuple[dict[str, Any], str]] = (
            ({"keytab_file": copy}, "chmod 600"),
            ({"keytab_file": self.controller.keytab("connplain")}, "has no key of connector$@"),
            ({"keytab_file": self.folder / "none"}, "cannot be read"),
        )
        for settings, said in keytabs:
            changed = self.site.changed("connector", self.connector_settings(**settings))
            error = self.assertRaises(NotReady, self.site.start_daemon, "connector", changed, "connector")
            self.assertIn("ended with 78", str(error))
            self.assertIn("kerberos.keytab_file: ", str(error))
            self.assertIn(said, str(error))
