"""Tests of explain as an administrator runs it."""

from __future__ import annotations

from click.testing import CliRunner

from appproxy.admin.questions import ExplainOutcome
from appproxy.cli.main import main
from tests.admin.support import step
from tests.cli.support import CommandTestCase

INTRANET = """
[applications.intranet]
name = "Intranet"
external_url = "https://intranet.apps.example.com/"
internal_url = "http://intranet.corp.example/"
connector_group = "hq"
everyone = true

[applications.intranet.sso]
mode = "kerberos"
service_principal_name = "HTTP/intranet.corp.example"
login_identity = "on_premises_sam_account_name"
"""

USER = ("--user", "bob@example.com")


class ExplainTests(CommandTestCase):
    """A Kerberos application behind two connectors."""

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Publish it."""
        await super().setUp()
        groups = 'format = 1\n[connector_groups.hq]\nname = "Headquarters"\n'
        await self.ask("apply", self.write("intranet.toml", groups + INTRANET), "--yes")
        await self.edge.enrol("c1", "dublin", "hq")
        await self.edge.enrol("c2", "cork", "hq")
        self.asked = self.edge.connectors_asked

    async def test_all_well(self) -> None:
        """Each connector has its steps, a line for each; the exit code is 0."""
        result = await self.ask("explain", "kerberos", "intranet", *USER, "--sam-account-name", "bob")
        lines = result.stdout.splitlines()
        self.assertEqual(lines[0], "application intranet, user bob@example.com")
        self.assertIn("on_premises_sam_account_name bob", lines[1])
        self.assertEqual(
            [line for line in lines if line.startswith("connector")], ["connector cork", "connector dublin"]
        )
        self.assertIn(["the", "clock", "ok", "1.5"], [line.split() for line in lines])
        self.assertEqual(result.stderr, "")

    async def test_failed(self) -> None:
        """The first step that failed is named, with what to do; nothing in it is obeyed by a terminal."""
        self.asked.explanations["c1"] = ExplainOutcome(
            "x",
            [
                step("the clock", detail="0.1 s apart"),
                step(
                    "the list", "failed", "spn_not_listed", detail="not\x1b[2J there", advice="Set-ADObject x"
                ),
                step("the application's answer", "skipped"),
            ],
        )
        result = await self.ask("explain", "kerberos", "intranet", *USER, "--connector", "dublin", code=1)
        self.assertIn("0.1 s apart", result.stdout)
        self.assertIn("not\\x1b[2J there", result.stdout)
        self.assertIn("the list: spn_not_listed\nSet-ADObject x\n", result.stdout)
        self.assertNotIn("cork", result.stdout)
        self.assertIn("which this user does not have", result.stderr)
        self.assertIn("it fails through 1 of 1 connector", result.stderr)

    async def test_not_tried(self) -> None:
        """A connector that cannot be asked is a failure, with what to do."""
        self.asked.explanations["c2"] = ExplainOutcome("x", reason="no_questions", detail="0.9")
        result = await self.ask("explain", "kerberos", "intranet", *USER, "--sid", "S-1-5-21-1", code=1)
        self.assertIn("connector cork\nnot tried: no_questions: 0.9\nThis connector,", result.stdout)
        self.assertIn("on_premises_sid is not used", result.stderr)
        self.assertIn("1 of 2 connectors", result.stderr)

    async def test_names(self) -> None:
        """What is given goes to the connectors under its own name; JSON has all that is told."""
        names = (
            "--on-premises-upn",
            "bob@corp.example",
            "--sam-account-name",
            "robert",
            "--sid",
            "S-1-5-21-1",
        )
        told = await self.ask_json("explain", "kerberos", "intranet", *USER, *names)
        principal = self.asked.explained[-1][3]
        self.assertEqual(
            (principal.user_principal_name, principal.on_premises_sam_account_name),
            ("bob@example.com", "robert"),
        )
        self.assertEqual(told["unused"], ["on_premises_sid", "on_premises_user_principal_name"])
        self.assertEqual([each["name"] for each in told["connectors"]], ["cork", "dublin"])
        self.assertEqual(told["failed"], 0)

    async def test_wrong_use(self) -> None:
        """A user has to be named; an application that there is not is exit code 5."""
        await self.ask("explain", "kerberos", "intranet", code=2)
        result = await self.ask("explain", "kerberos", "intranett", *USER, code=5)
        self.assertIn('did you mean "intranet"?', result.stderr)
        self.assertEqual(self.asked.explained, [])

    def test_completion(self) -> None:
        """The shell completes the command and its options."""
        for words, expected in (("appproxy expl", "explain"), ("appproxy explain ker", "kerberos")):
            self.assertIn(expected, _completed(words))
        self.assertIn("--sam-account-name", _completed("appproxy explain kerberos intranet --sam"))


def _completed(words: str) -> str:
    settings = {
        "_APPPROXY_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    return CliRunner().invoke(main, [], prog_name="appproxy", env=settings).output
