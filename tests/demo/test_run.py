"""
Tests of L{appproxy.demo.run}: what it checks before anything is started.
"""

from __future__ import annotations

import shutil
import socket
import stat
import tempfile
from pathlib import Path

from twisted.internet.defer import ensureDeferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.demo.page import DemoPages
from appproxy.demo.plan import LOGIN, Folder, Plan
from appproxy.demo.ports import free_port
from appproxy.demo.processes import DemoFailed
from appproxy.demo.run import Demo, build_sites, check_port, write_secret
from appproxy.demo.samples import APPLICATIONS, Samples
from tests.pages.support import ask_site


class FolderTests(SynchronousTestCase):
    """The folder that a demo keeps its things in."""

    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="demo-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.reactor = MemoryReactorClock()

    def demo(self, root: Path | None = None) -> Demo:
        """A demo that is not started."""
        return Demo(self.reactor, Samples(), root or self.root, 8443, lambda text: None)

    def stop(self, demo: Demo) -> None:
        """As at the end of a run."""
        self.successResultOf(ensureDeferred(demo.stop()))

    def test_private(self) -> None:
        """Others cannot look into it."""
        demo = self.demo(self.root / "new")
        folder = demo._prepare_folder()
        self.assertEqual(stat.S_IMODE(folder.root.stat().st_mode), 0o700)
        self.stop(demo)

    def test_foreign_folder(self) -> None:
        """A folder that holds something else is left alone."""
        (self.root / "edge").mkdir()
        (self.root / "edge" / "precious").write_text("x")
        self.assertRaises(DemoFailed, self.demo()._prepare_folder)
        self.assertTrue((self.root / "edge" / "precious").exists())

    def test_second_demo(self) -> None:
        """Two demos never share a folder; one after the other may."""
        first, second = self.demo(), self.demo()
        first._prepare_folder()
        self.assertRaises(DemoFailed, second._prepare_folder)
        self.stop(first)
        second._prepare_folder()
        self.stop(second)

    def test_fresh_state(self) -> None:
        """Each run starts with empty state, and with the certificate of the last."""
        first = self.demo()
        folder = first._prepare_folder()
        (folder.root / "edge" / "store.sqlite3").write_text("old")
        folder.ca.write_text("kept")
        self.stop(first)
        second = self.demo()
        second._prepare_folder()
        self.assertEqual(list((folder.root / "edge").iterdir()), [])
        self.assertEqual(folder.ca.read_text(), "kept")
        self.stop(second)

    def test_long_path(self) -> None:
        """Sockets find a short place when the folder's own path is too long for them."""
        demo = self.demo(self.root / ("x" * 100))
        folder = demo._prepare_folder()
        self.assertLess(len(str(folder.sockets / "connector.notify")), 100)
        self.assertTrue(folder.sockets.exists())
        self.stop(demo)
        self.assertFalse(folder.sockets.exists())

    def test_secret(self) -> None:
        """A secret's file is its owner's, even where another file was."""
        path = self.root / "secret"
        path.write_text("old")
        path.chmod(0o666)
        write_secret(path, "new")
        self.assertEqual((path.read_text(), stat.S_IMODE(path.stat().st_mode)), ("new", 0o600))


class PortTests(SynchronousTestCase):
    """L{check_port}."""

    def test_taken(self) -> None:
        """A port that is taken is told before anything starts, with what to do."""
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            error = self.assertRaises(DemoFailed, check_port, other.getsockname()[1])
        self.assertIn("DEMO_PORT", str(error))

    def test_free(self) -> None:
        """A free port is free."""
        check_port(free_port())


class SitesTests(SynchronousTestCase):
    """L{build_sites}."""

    def test_all(self) -> None:
        """Every service answers."""
        folder = Folder(Path(self.mktemp()), Path("/tmp"))
        folder.root.mkdir()
        plan = Plan(folder, 8443, {}, (1, 2), "x")
        sites = build_sites(Samples(), plan, DemoPages(plan.url("portal")), "secret", lambda: 0.0)
        self.assertEqual(set(sites), {*APPLICATIONS, LOGIN})
        for name, site in sites.items():
            self.assertEqual(ask_site(site, "/").status, 200, name)
