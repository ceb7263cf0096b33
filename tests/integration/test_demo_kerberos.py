"""The demo of Kerberos sign-on, as C{make demo-kcd} starts it."""

from __future__ import annotations

import signal
import sys
import tomllib
import urllib.parse
from pathlib import Path

from appproxy.demo.ports import free_ports
from tests.integration.support.active_directory.application import need_application
from tests.integration.support.active_directory.controller import need_gssapi
from tests.integration.support.browser import Browser, Page
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.processes import Running, answers
from tests.integration.test_first_hour import descendants

START_SECONDS = 240.0
"""A domain is made; where other tests run beside this one, that takes its time."""


class KerberosDemoTests(IntegrationTestCase):
    """C{python -m appproxy.demo --kerberos}."""

    def setUp(self) -> None:
        """Start it, and read its line."""
        super().setUp()
        need_application()
        need_gssapi()
        (self.port,) = free_ports(1)
        command = (sys.executable, "-m", "appproxy.demo", "--kerberos", "--port", str(self.port))
        self.demo = self.start(Running("demo", (*command, "--state", "state"), self.folder))
        line = self.demo.wait_for_line(r"^READY (.*)$", START_SECONDS)[1]
        pairs = (pair.partition("=") for pair in line.split(" "))
        self.told = {key: urllib.parse.unquote(value) for key, _, value in pairs}

    def arrive(self, user: str) -> Page:
        """Sign in, and open the application."""
        browser = Browser(Path(self.told["ca"]))
        page = browser.open(self.told["app"])
        self.assertTrue(page.url.startswith(self.told["issuer"]), page.url)
        return browser.submit(page, {"user": user, "password": self.told["password"]})

    def test_everything(self) -> None:
        """Users see who they are to the application, others a refusal; ^C leaves nothing."""
        page = self.arrive(self.told["user"])
        self.assertEqual(page.status, 200, page.text)
        self.assertIn("CORP\\alice</code>", page.text)
        self.assertIn("alice@CORP.EXAMPLE.TEST", page.text)
        self.assertIn("CORP\\bsmith</code>", self.arrive(self.told["second_user"]).text)
        refused = self.told["refused"].split(",")
        self.assertEqual(len(refused), 3)
        for user in refused:
            page = self.arrive(user)
            self.assertEqual(page.status, 403, page.text)
            self.assertIn("Your account cannot be used here", page.text)
        self.end()

    def end(self) -> None:
        """^C ends everything that it started, its ports are free, and only its own folder is left."""
        started = descendants(self.demo.pid)
        self.assertGreaterEqual(len(started), 4)
        written = (self.folder / "state" / "connector.toml").read_text()
        made = Path(tomllib.loads(written)["kerberos"]["keytab_file"]).parents[1]
        self.assertTrue((made / "smb.conf").exists())
        self.demo.signal(signal.SIGINT)
        self.assertEqual(self.demo.wait_for_end(60.0), 0, self.demo.last_words)
        self.assertEqual([pid for pid in started if Path(f"/proc/{pid}").exists()], [])
        self.assertFalse(made.exists())
        self.assertFalse(answers(self.port))
