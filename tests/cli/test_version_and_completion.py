"""C{appproxy version} and C{appproxy completion}."""

from __future__ import annotations

import json

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

import appproxy
from appproxy.cli.main import main


class AboutTests(SynchronousTestCase):
    """The two commands."""

    def test_version(self) -> None:
        """The version, for people and for programs."""
        self.assertIn(f"appproxy {appproxy.__version__}\n", CliRunner().invoke(main, ["version"]).stdout)
        printed = CliRunner().invoke(main, ["version", "--output", "json"]).stdout
        self.assertEqual(json.loads(printed)["appproxy"], appproxy.__version__)

    def test_completion(self) -> None:
        """A script for each shell that names the program."""
        for shell in ("bash", "zsh", "fish"):
            printed = CliRunner().invoke(main, ["completion", shell], prog_name="appproxy").stdout
            self.assertIn("_APPPROXY_COMPLETE", printed)
