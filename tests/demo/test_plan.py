"""
Tests of L{appproxy.demo.plan}: what it writes is what the daemons read.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

from twisted.trial.unittest import SynchronousTestCase

from appproxy.catalog.documents import Document
from appproxy.catalog.file_form import parse_file
from appproxy.config.connector import load_connector
from appproxy.config.edge import load_edge
from appproxy.demo.plan import LOGIN, Folder, Plan
from appproxy.demo.samples import APPLICATIONS, USERS, Samples

SERVICES = (*APPLICATIONS, LOGIN)


class PlanTests(SynchronousTestCase):
    """L{Plan}, with the samples."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).resolve()
        self.root.mkdir()
        folder = Folder(self.root, self.root / "edge")
        services = {name: 20001 + number for number, name in enumerate(SERVICES)}
        self.samples = Samples()
        self.plan = Plan(folder, 8443, services, (20101, 20102), "demo")
        folder.certificate.parent.mkdir()
        for path in (folder.client_secret, folder.ca, folder.certificate):
            path.write_text("x")
            path.chmod(0o600)

    def test_edge(self) -> None:
        """edge.toml is one that the edge takes."""
        path = self.plan.folder.edge
        path.write_text(self.plan.edge_toml())
        settings = load_edge(path, {})
        assert not isinstance(settings, list), settings
        assert settings.sign_in is not None
        self.assertEqual(settings.sign_in.issuer, "https://login.demo.localhost:8443")
        self.assertEqual(settings.hosts.portal, "portal.demo.localhost")

    def test_connector(self) -> None:
        """connector.toml allows the demo's services and nothing else."""
        path = self.plan.folder.connector
        path.write_text(self.samples.connector_toml(self.plan))
        settings = load_connector(path, {})
        assert not isinstance(settings, list), settings
        written = tomllib.loads(self.samples.connector_toml(self.plan))["allowed_backends"]
        self.assertEqual(written, [f"127.0.0.1:{20001 + number}" for number in range(4)])

    def test_applications(self) -> None:
        """applications.toml is a catalog; the demo sign-in is the only thing open to nobody in particular."""
        document = parse_file(self.samples.applications_toml(self.plan), "applications.toml")
        assert isinstance(document, Document), document
        written = tomllib.loads(self.samples.applications_toml(self.plan))["applications"]
        self.assertEqual(set(written), set(SERVICES))
        passthrough = {name for name, each in written.items() if "pre_authentication" in each}
        self.assertEqual(passthrough, {"login"})

    def test_odd_folder(self) -> None:
        """A folder with blanks, quotes and backslashes in its name changes nothing."""
        folder = Folder(Path('/tmp/a "b" \\ü\x7f'), Path("/tmp/s"))
        plan = Plan(folder, 8443, self.plan.services, (1, 2), "demo")
        read = tomllib.loads(plan.edge_toml())
        self.assertEqual(read["store"]["key_file"], str(folder.root / "edge" / "store.key"))

    def test_ready_line(self) -> None:
        """READY and pairs without blanks, which a script can take apart."""
        word, *pairs = self.plan.ready_line(self.samples.ready(self.plan)).split(" ")
        values = {name: unquote(value) for name, _, value in (pair.partition("=") for pair in pairs)}
        self.assertEqual(word, "READY")
        self.assertLessEqual(
            {"portal", "app", "websocket", "upload", "user", "password", "ca", "admin"}, set(values)
        )
        self.assertEqual(values["portal"], "https://portal.demo.localhost:8443/")
        self.assertEqual(values["websocket"], "wss://chat.demo.localhost:8443/socket")
        self.assertEqual((values["user"], values["password"]), (USERS[0].mail, USERS[0].password))
        self.assertEqual(values["admin"], f"unix:{self.root}/edge/admin.sock")

    def test_standard_port(self) -> None:
        """On port 443 addresses have no port."""
        plan = Plan(self.plan.folder, 443, self.plan.services, (1, 2), "demo")
        self.assertEqual(plan.issuer, "https://login.demo.localhost")

    def test_friendly_lines(self) -> None:
        """A person finds the addresses, both people and a command to try."""
        text = self.samples.friendly_lines(self.plan, "appproxy")
        for each in ("https://portal.demo.localhost:8443/", *(user.mail for user in USERS)):
            self.assertIn(each, text)
        self.assertRegex(text, re.escape(f"appproxy --server {self.plan.folder.admin} list apps"))


class NotInRealConfigurationsTests(SynchronousTestCase):
    """The demo sign-in exists in the demo alone."""

    def test_not_imported(self) -> None:
        """No module outside of the demo names it."""
        package = Path(__file__).parents[2] / "appproxy"
        for path in package.rglob("*.py"):
            if package / "demo" not in path.parents:
                self.assertNotIn("appproxy.demo", path.read_text(), str(path))
