"""Tests of L{appproxy.demo.kerberos}: what it writes, and what it needs. It runs in tests.integration."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from appproxy.catalog.documents import Document
from appproxy.catalog.file_form import parse_file
from appproxy.demo.active_directory.accounts import INTRANET
from appproxy.demo.kerberos import REFUSED, USERS, Kerberos, page, site_conf
from appproxy.demo.page import DemoPages
from appproxy.demo.plan import LOGIN, Folder, Plan
from appproxy.demo.probe import ProbeFailed
from appproxy.demo.processes import DemoFailed


class KerberosTests(SynchronousTestCase):
    """L{Kerberos}."""

    def setUp(self) -> None:
        folder = Folder(Path("/srv/demo"), Path("/srv/demo/edge"))
        self.plan = Plan(folder, 8443, {"intranet": 20001, LOGIN: 20002}, (20101, 20102), "demo")
        self.kind = Kerberos(lambda: 0.0)

    def test_needs_root(self) -> None:
        """Whoever is not root is told before anything is made."""
        self.patch(os, "geteuid", lambda: 1000)
        error = self.assertRaises(DemoFailed, self.kind.check)
        self.assertIn("root", str(error))
        self.kind.remove()

    def test_needs_packages(self) -> None:
        """What is missing is named by its package, with the command that installs it."""
        self.patch(os, "geteuid", lambda: 0)
        self.patch(shutil, "which", lambda _name, path="": None)
        self.patch(os.path, "exists", lambda _path: False)
        error = str(self.assertRaises(DemoFailed, self.kind.check))
        for each in ("samba-ad-dc", "libapache2-mod-auth-gssapi", "make demo-kcd"):
            self.assertIn(each, error)

    def test_applications(self) -> None:
        """applications.toml is a catalog, with the application's service in it."""
        document = parse_file(self.kind.applications_toml(self.plan), "applications.toml")
        assert isinstance(document, Document), document
        self.assertIn(INTRANET, self.kind.applications_toml(self.plan))

    def test_ready(self) -> None:
        """The line names the application, users for whom it works, and those who are refused."""
        told = self.kind.ready(self.plan)
        self.assertEqual(told["app"], "https://intranet.demo.localhost:8443/")
        self.assertEqual(told["user"], "alice@corp.example.test")
        self.assertEqual(told["refused"].split(","), [each.mail for each in REFUSED])
        self.assertEqual(len({each.mail for each in USERS}), len(USERS))

    def test_first_page(self) -> None:
        """A page without the user in it is no success."""
        self.kind.check_first_page(b"... alice@CORP.EXAMPLE.TEST ...")
        self.assertRaises(ProbeFailed, self.kind.check_first_page, b"You are nobody")

    def test_page(self) -> None:
        """Apache fills in who asked; the policy is the one that the demo's other pages have."""
        made = page(DemoPages("https://portal.demo.localhost/"))
        self.assertIn('<!--#echo var="REMOTE_USER" -->', made)
        configuration = site_conf(Path("/x"), Path("/x/application.keytab"))
        self.assertIn("Require valid-user", configuration)
        self.assertIn(r'"@CORP\.EXAMPLE\.TEST$"', configuration)
        self.assertIn("default-src 'none'", configuration)

    def test_stopped_early(self) -> None:
        """A demo that never began leaves nothing, and says nothing."""
        self.kind.remove()
        self.assertEqual(dict(self.kind.sites(self.plan, DemoPages("https://portal/"), lambda: 0.0)), {})
