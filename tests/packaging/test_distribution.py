"""
The wheel and the editable install, each in a virtual environment of its own.

Both take their dependencies from the environment that runs the tests, through a
path file: path files inside of that one are not followed, so the copy of
appproxy that is installed there is invisible.
"""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
import venv
from configparser import ConfigParser
from pathlib import Path
from typing import Final

from twisted.trial.unittest import TestCase

from tests.packaging.support import BUILD_SECONDS, ROOT, SOURCES, build_wheel, copy_of_sources, run

TAPNAMES: Final = ["appproxy-connector", "appproxy-edge", "appproxy-relay"]
OBJECTS: Final = ROOT / ".test" / "compiled" / "build"
"""What C{make test} compiled before; only the rest is compiled here."""

LIST_TAPNAMES: Final = """
import json
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
names = sorted(each.tapname for each in getPlugins(IServiceMaker) if each.tapname.startswith("appproxy"))
import appproxy
from appproxy.form import form
print(json.dumps([names, appproxy.__file__, form()]))
"""

TAP_WITHOUT_REACTOR: Final = """
import importlib, sys
importlib.import_module(sys.argv[1])
sys.exit("twisted.internet.reactor" in sys.modules)
"""


class DistributionTests(TestCase):
    """What pip makes of the checkout."""

    timeout = BUILD_SECONDS

    def setUp(self) -> None:
        """A copy of the sources (a build leaves things behind) and a place for the environments."""
        self.folder = Path(self.mktemp()).absolute()
        self.sources = copy_of_sources(self.folder)

    def environment(self, name: str) -> Path:
        """The python of a new virtual environment that has the dependencies only."""
        place = self.folder / name
        venv.create(place, symlinks=True, with_pip=False)
        site_packages = next((place / "lib").glob("python*/site-packages"))
        (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        return place / "bin" / "python"

    def pip(self, python: Path, *arguments: str) -> None:
        """Install into an environment, with its own tools and nothing from an index."""
        command = (sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet")
        run(*command, "--no-deps", "--no-index", "--no-build-isolation", *arguments, cwd=self.folder)

    def tapnames(self, python: Path, form: str = "interpreted") -> tuple[list[str], Path]:
        """The daemons that twistd finds, and where the package is, which is in this form."""
        names, file, found = json.loads(run(python, "-c", LIST_TAPNAMES, cwd=self.folder))
        self.assertEqual(found, form)
        return names, Path(file)

    def wheel(self, compiled: bool) -> Path:
        """Build it."""
        return build_wheel(self.sources, self.folder, compiled=compiled)

    def test_wheel(self) -> None:
        """The wheel has the three daemons, templates and plugins, and nothing that would harm Twisted."""
        wheel = self.wheel(compiled=False)
        self.assertTrue(wheel.name.endswith("-py3-none-any.whl"), wheel.name)
        python = self.environment("wheel")
        self.pip(python, str(wheel))
        names, file = self.tapnames(python)
        self.assertEqual(names, TAPNAMES)
        site_packages = file.parents[1]
        self.assertTrue(site_packages.is_relative_to(self.folder / "wheel"))
        self.assertTrue((file.parent / "py.typed").exists())
        self.assertEqual(list((site_packages / "twisted").rglob("__init__.py")), [])
        self.assertEqual(
            {path.name for path in site_packages.glob("*") if path.name in SOURCES}, {"appproxy", "twisted"}
        )
        share = self.folder / "wheel" / "share" / "appproxy"
        self.assertTrue((share / "plugins" / "office_hours.py").exists())
        self.assertTrue((share / "systemd" / "appproxy-edge.service").exists())
        self.assert_same_data_files(file.parent)

    def test_compiled_wheel(self) -> None:
        """So has the wheel that is made where there is a C compiler; its sources are all there, too."""
        if OBJECTS.exists():
            shutil.copytree(OBJECTS, self.sources / "build")
        wheel = self.wheel(compiled=True)
        python = self.environment("wheel")
        self.pip(python, str(wheel))
        names, file = self.tapnames(python, "compiled")
        self.assertEqual(names, TAPNAMES)
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        parser = ConfigParser()
        parser.read(ROOT / "compiled.ini")
        modules = parser["mypy"]["files"].replace(",", " ").split()
        for module in modules:
            self.assertTrue((file.parents[1] / module).exists(), module)
            self.assertTrue((file.parents[1] / module).with_suffix(suffix).exists(), module)
        self.assertEqual(len(list(file.parent.rglob(f"*{suffix}"))), len(modules))

    def assert_same_data_files(self, package: Path) -> None:
        """Every template, style and script of the sources is in the wheel."""

        def files(folder: Path) -> set[str]:
            found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
            return {str(path.relative_to(folder)) for path in found}

        self.assertEqual(files(package), files(self.sources / "appproxy"))

    def test_editable(self) -> None:
        """So has the editable install, which several layouts of the sources would lose silently."""
        python = self.environment("editable")
        self.pip(python, "--editable", str(self.sources))
        names, file = self.tapnames(python)
        self.assertEqual(names, TAPNAMES)
        self.assertEqual(file.parents[1], self.sources)

    def test_reactor_is_not_chosen_by_an_import(self) -> None:
        """Importing a daemon's options leaves the choice of the reactor open."""
        for daemon in ("edge", "relay", "connector"):
            run(sys.executable, "-c", TAP_WITHOUT_REACTOR, f"appproxy.{daemon}.tap", cwd=ROOT)
