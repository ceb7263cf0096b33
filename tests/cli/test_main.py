"""Tests of the command as a whole."""

from __future__ import annotations

import subprocess
import sys

import click
from twisted.trial.unittest import SynchronousTestCase

from appproxy.cli.main import COMMANDS, main
from tests.cli.support import run


class MainTests(SynchronousTestCase):
    """Names, help, exit codes."""

    def test_all_commands(self) -> None:
        """Every command that the help lists is there, and has a help of its own."""
        context = click.Context(main)
        for name in COMMANDS:
            command = main.get_command(context, name)
            assert command is not None
            self.assertTrue(command.help, name)
            self.assertEqual(run(name, "--help").exit_code, 0, name)

    def test_wrong_name(self) -> None:
        """A wrong command is a wrong use, with the right one if it is near."""
        result = run("aply")
        self.assertEqual(result.exit_code, 2)
        self.assertIn('did you mean "apply"?', result.stderr)

    def test_fast_help(self) -> None:
        """Asking for help loads neither Twisted nor any command."""
        code = (
            "import sys; from appproxy.cli.main import main\n"
            "try: main(['--help'])\n"
            "except SystemExit: pass\n"
            "sys.exit('twisted' in sys.modules or 'appproxy.cli.changes' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"connector", done.stdout)
