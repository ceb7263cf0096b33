"""The set-up of an administrator, command by command."""

from __future__ import annotations

from appproxy.form import form
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.echo import Echo
from tests.integration.support.installation import Installation


class InstallationTests(IntegrationTestCase):
    """Edge and connector over restarts."""

    def setUp(self) -> None:
        """One passthrough application."""
        super().setUp()
        self.echo = Echo(self.folder / "echo")
        self.start(self.echo.process)
        self.site = Installation(self)
        self.site.start_edge()
        self.site.publish(
            {"open": {"internal_url": self.echo.internal_url, "pre_authentication": "passthrough"}}
        )
        self.connector = self.site.start_connector("hq", [f"127.0.0.1:{self.echo.port}"])

    def test_form(self) -> None:
        """The daemons run in the form that is tested, compiled or interpreted, and say so."""
        page = self.site.browser().open(f"{self.site.metrics_url}/metrics")
        self.assertIn(f'appproxy_build_info{{form="{form()}",', page.text)

    def test_stop(self) -> None:
        """SIGTERM ends both daemons with exit code 0."""
        self.assertEqual(self.connector.stop(), 0)
        self.assertEqual(self.site.edge.stop(), 0)

    def test_edge_restarts(self) -> None:
        """After the edge's restart the catalog is there and the connector comes back by itself."""
        self.site.restart_edge()
        browser = self.site.browser()
        url = self.site.url("open")
        self.connector.wait_until(lambda: browser.open(url).status == 200, "serves again")

    def test_no_connector(self) -> None:
        """Without a connector there is a page at once that says so."""
        self.connector.stop()
        page = self.site.browser().open(self.site.url("open"))
        self.assertEqual(page.status, 504)
        self.assertIn("GatewayTimeout", page.text)

    def test_revoked(self) -> None:
        """
        A connector that is revoked is out when the command is done, and ends for good: no restart helps it.

        Security row 36.
        """
        (tunnel,) = self.site.appproxy_json("status")["tunnels"]
        self.site.appproxy("connector", "revoke", tunnel["connector"], "--yes")
        self.assertEqual(self.site.browser().open(self.site.url("open")).status, 504)
        self.assertEqual(self.connector.wait_for_end(), 77)
        self.assertEqual(self.site.appproxy_json("status")["tunnels"], [])

    def test_backend_that_is_not_allowed(self) -> None:
        """
        What the connector's own file does not allow is not connected to, whatever is published.

        Security row 34.
        """
        self.site.publish(
            {"open": {"internal_url": "http://127.0.0.1:1/", "pre_authentication": "passthrough"}}
        )
        page = self.site.browser().open(self.site.url("open"))
        self.assertEqual(page.status, 502)
        self.assertIn("BadGateway", page.text)

    def test_check_online(self) -> None:
        """The check of a running installation finds everything in order, and says what it looked at."""
        edge = self.site.appproxy("check", self.site.folder / "edge.toml", "--online")
        self.assertIn(f"ok       port: 127.0.0.1:{self.site.port}: an edge answers", edge)
        self.assertIn("ok       certificate: ", edge)
        connector = self.site.appproxy("check", self.site.folder / "connector.toml", "--online")
        self.assertIn(f"answers as connect.{self.site.domain}", connector)
