"""C{appproxy check}."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from appproxy.cli.check import check

EXAMPLES = Path(__file__).parents[2] / "etc" / "appproxy"


def run(*arguments: str, stdin: str | None = None) -> Result:
    """Run the command."""
    return CliRunner().invoke(check, arguments, input=stdin)


class CheckTests(SynchronousTestCase):
    """The command."""

    def test_no_problems(self) -> None:
        """Exit code 0, and nothing on stdout."""
        result = run(str(EXAMPLES))
        self.assertEqual((result.exit_code, result.stdout, result.stderr), (0, "", "no problems\n"))

    def test_problems(self) -> None:
        """Exit code 3; a line for each problem on stdout, their number on stderr."""
        result = run("-", stdin='domain = "a b"\n[tls]\nminimum_version = "1.1"\n')
        self.assertEqual(result.exit_code, 3)
        self.assertEqual(
            result.stdout.splitlines(),
            [
                "<stdin>:1: domain: 'a b' is not a host name",
                '<stdin>:3: tls.minimum_version: write "1.2" or "1.3"',
            ],
        )
        self.assertEqual(result.stderr, "2 problems\n")

    def test_json(self) -> None:
        """The same for programs."""
        result = run("-", "--output", "json", stdin="domain = 1\n")
        (problem,) = json.loads(result.stdout)["problems"]
        self.assertEqual(
            problem,
            {"file": "<stdin>", "line": 1, "key_path": "domain", "message": "write a text in quotes"},
        )

    def test_no_file(self) -> None:
        """Without a file the usage is wrong."""
        self.assertEqual(run().exit_code, 2)

    def test_online_needs_files_without_problems(self) -> None:
        """Nothing is asked on behalf of a file with problems."""
        result = run("-", "--online", stdin="domain = 1\n")
        self.assertEqual(result.exit_code, 3)
        self.assertEqual(len(result.stdout.splitlines()), 1)

    def test_online(self) -> None:
        """What is wrong outside of the file gives exit code 1; each finding has its line."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "edge.toml").write_text(
            'domain = "x.localhost"\n[listen]\nhttps = ["127.0.0.1:0"]\nhttp = ["systemd:http"]\n'
            '[tls]\ncertificates = ["none"]\n'
        )
        result = run(str(folder / "edge.toml"), "--online")
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(
            result.stdout.splitlines(),
            [
                "skipped  provider: there is no [sign_in]: passthrough applications only",
                f"failed   certificate: {folder}/none: No such file or directory",
                "failed   certificate: none is for auth.x.localhost",
                "failed   certificate: none is for portal.x.localhost",
                "ok       DNS: auth.x.localhost, connect.x.localhost, portal.x.localhost: 127.0.0.1",
                "ok       port: 127.0.0.1:0 is free",
                "skipped  port: systemd:http is there only in the systemd unit",
            ],
        )

    def test_online_relays(self) -> None:
        """The relays that an edge would dial are looked at."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "edge.toml").write_text(
            'domain = "x.localhost"\n[tls]\ncertificates = ["none"]\n[store]\nurl = "sqlite:state/edge.db"\n'
            '[listen]\nhttps = ["127.0.0.1:0"]\nhttp = []\n'
            '[relay]\nmode = "remote"\ndial = ["127.0.0.1:1"]\n'
        )
        result = run(str(folder / "edge.toml"), "--online")
        self.assertEqual(
            result.stdout.splitlines()[-1],
            "warning  relay: 127.0.0.1:1 does not answer: Connection refused",
        )
