"""What a Debian package has besides the program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from appproxy.cli.client import DEFAULT_SERVER
from appproxy.cli.main import COMMANDS

PAGE: Final = Path(__file__).parents[2] / "etc" / "debian" / "appproxy.1"
COMMAND: Final = re.compile(r"^\.TP\n\.B ([a-z]+)\n(.+)$", re.MULTILINE)


class PageTests(SynchronousTestCase):
    """The page for C{man appproxy}."""

    def test_commands(self) -> None:
        """It names the commands in their order, with the words of the help."""
        page = PAGE.read_text("utf-8")
        self.assertEqual(COMMAND.findall(page), [(name, words) for name, (_, words) in COMMANDS.items()])
        self.assertIn(DEFAULT_SERVER, page)
