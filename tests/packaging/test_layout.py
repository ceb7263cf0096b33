"""The checkout's layout, as far as packaging depends on it."""

from __future__ import annotations

import configparser
import tomllib
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

ROOT: Final = Path(__file__).parents[2]


class LayoutTests(SynchronousTestCase):
    """What must be there, and what must not."""

    def test_twisted_is_no_package_of_ours(self) -> None:
        """An C{__init__.py} here would overwrite Twisted's own and take it away when we are uninstalled."""
        for folder in ("twisted", "twisted/plugins"):
            self.assertFalse((ROOT / folder / "__init__.py").exists(), folder)

    def test_one_package_directory(self) -> None:
        """A second entry in C{package_dir} makes editable installs lose the daemons."""
        parser = configparser.ConfigParser()
        parser.read(ROOT / "setup.cfg", encoding="utf-8")
        self.assertEqual(parser["options"]["package_dir"].split("\n"), ["", "= ."])

    def test_project_file(self) -> None:
        """C{pyproject.toml} names the build system and leaves the rest to setup.cfg."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
        self.assertEqual(set(project), {"build-system"})

    def test_tests_are_packages(self) -> None:
        """Each folder of tests can be imported, or its tests would never run."""
        for folder in {path.parent for path in (ROOT / "tests").rglob("test_*.py")}:
            self.assertTrue((folder / "__init__.py").exists(), str(folder))

    def test_compiled_modules(self) -> None:
        """What would silently mean something else when compiled is not used there (CONTRIBUTING.md)."""
        parser = configparser.ConfigParser()
        parser.read(ROOT / "compiled.ini", encoding="utf-8")
        for module in parser["mypy"]["files"].replace(",", " ").split():
            text = (ROOT / module).read_text("utf-8")
            self.assertNotIn("cached_property", text, module)
            self.assertNotIn("Logger()", text, module)

    def test_news(self) -> None:
        """Each news fragment is of a kind that the release notes know."""
        settings = tomllib.loads((ROOT / "towncrier.toml").read_text("utf-8"))["tool"]["towncrier"]
        kinds = {each["directory"] for each in settings["type"]}
        for fragment in (ROOT / settings["directory"]).iterdir():
            if fragment.name != "README.md":
                self.assertIn(fragment.name.split(".")[-2], kinds, fragment.name)
