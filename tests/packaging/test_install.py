"""C{etc/install}, into a folder that stands for the machine."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Final

from twisted.trial.unittest import TestCase

from appproxy import __version__
from tests.packaging.support import BUILD_SECONDS, ROOT, build_wheel, copy_of_sources, run

INSTALL: Final = ROOT / "etc" / "install"
UNITS: Final = ROOT / "etc" / "systemd" / "system"
PYTHON: Final = "/usr/bin/python3"
MAXIMUM_LINES: Final = 80
"""A page: whoever runs it as root should be able to read it first."""


class InstallTests(TestCase):
    """What an administrator runs first."""

    timeout = BUILD_SECONDS

    def setUp(self) -> None:
        """A folder that stands for C{/}."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.root = self.folder / "root"

    def install(self, *arguments: str | Path) -> str:
        """Run the script; pip takes nothing from an index."""
        environment = {"DESTDIR": str(self.root), "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1"}
        return run("/bin/sh", INSTALL, *arguments, cwd=self.folder, environment=environment)

    def refused(self, *arguments: str) -> str:
        """Why the script does nothing."""
        done = subprocess.run(
            ("/bin/sh", INSTALL, *arguments),
            env={**os.environ, "DESTDIR": str(self.root)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertNotEqual(done.returncode, 0)
        self.assertFalse(self.root.exists())
        return done.stderr

    def files(self) -> dict[str, tuple[int, int, int, bytes | str]]:
        """Mode, owner, group and content of all that is not the program's own."""
        found: dict[str, tuple[int, int, int, bytes | str]] = {}
        for path in sorted(self.root.rglob("*")):
            if path.is_relative_to(self.root / "opt"):
                continue
            status = path.lstat()
            content: bytes | str = "folder"
            if path.is_symlink():
                content = str(path.readlink())
            elif path.is_file():
                content = path.read_bytes()
            name = str(path.relative_to(self.root))
            found[name] = (status.st_mode, status.st_uid, status.st_gid, content)
        return found

    def test_twice(self) -> None:
        """Program, users, folders and units are there; another run changes nothing, and so no setting."""
        wheel = build_wheel(copy_of_sources(self.folder), self.folder, compiled=False)
        self.install("--prefix", "/opt/other", wheel)
        settings = self.root / "etc" / "appproxy" / "edge.toml"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text("mine\n")
        self.install("--prefix", "/opt/other", wheel)
        first = self.files()
        said = self.install("--prefix", "/opt/other", wheel)
        self.assertEqual(self.files(), first)
        self.assertEqual(settings.read_text(), "mine\n")
        self.assertIn("install: done", said)
        self.assertIn("install: without Kerberos sign-on: docs/kerberos.md", said)
        self.assertEqual(first["usr/local/bin/appproxy"][3], "/opt/other/bin/appproxy")
        self.assert_units()
        if os.geteuid() == 0:
            self.assert_users(first)
        self.assert_runs()

    def assert_units(self) -> None:
        """Each unit lies there, and starts what was installed."""
        installed = self.root / "etc" / "systemd" / "system"
        self.assertEqual({path.name for path in installed.iterdir()}, {path.name for path in UNITS.iterdir()})
        for path in UNITS.glob("*.service"):
            text = (installed / path.name).read_text("utf-8")
            self.assertIn("\nExecStart=/opt/other/bin/twistd ", text)
            self.assertNotIn("/opt/appproxy", text)

    def assert_users(self, files: dict[str, tuple[int, int, int, bytes | str]]) -> None:
        """Each daemon has its user, and a folder of its own that nobody else may look into."""
        passwd = (self.root / "etc" / "passwd").read_text().splitlines()
        users = {line.split(":")[0]: int(line.split(":")[2]) for line in passwd}
        for daemon in ("edge", "relay", "connector"):
            mode, owner, _, _ = files[f"var/lib/appproxy/{daemon}"]
            self.assertEqual((mode & 0o777, owner), (0o700, users[f"appproxy-{daemon}"]))

    def assert_runs(self) -> None:
        """The command runs there, and twistd finds the daemons."""
        program = self.root / "opt" / "other"
        site_packages = next((program / "lib").glob("python*/site-packages"))
        (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.assertIn(
            __version__,
            run(program / "bin" / "python", program / "bin" / "appproxy", "version", cwd=self.folder),
        )
        daemons = run(program / "bin" / "python", "-m", "twisted", "--help", cwd=self.folder)
        for daemon in ("edge", "relay", "connector"):
            self.assertIn(f"appproxy-{daemon}", daemons)

    def test_refused(self) -> None:
        """What it does not understand it refuses, before it touches anything."""
        self.assertIn("--prefix DIR", self.refused("--wrong"))
        self.assertIn("absolute path", self.refused("--prefix", "opt/appproxy"))
        self.assertIn("absolute path", self.refused("--prefix", "/opt/appproxy/"))
        self.assertIn("letters, digits", self.refused("--prefix", "/opt/a|b"))

    def test_page(self) -> None:
        """It is a page."""
        self.assertLessEqual(len(INSTALL.read_text("utf-8").splitlines()), MAXIMUM_LINES)
