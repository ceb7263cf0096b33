"""An administrator asks why Kerberos sign-on fails, with a real Active Directory and a real application."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.support.active_directory.accounts import REALM, STALE, UNLISTED
from tests.integration.support.installation import PROGRAMS
from tests.integration.support.kerberos_site import PEOPLE, KerberosTestCase
from tests.integration.support.processes import run

ANSWER = "The application's answer"


class ExplainTests(KerberosTestCase):
    """Every step through the real daemons."""

    def explain(self, name: str, application: str = "intranet", code: int = 0, *more: str) -> Any:
        """What the command tells of somebody; it ends with this exit code."""
        upn = str(PEOPLE[name].claims["preferred_username"])
        command = ("explain", "kerberos", application, "--user", upn, *more, "--output", "json")
        result = run((PROGRAMS / "appproxy", "--server", self.site.admin, *command))
        self.assertEqual(result.returncode, code, result.stderr + result.stdout)
        return json.loads(result.stdout)

    def assert_failed(self, told: Any, cause: str) -> dict[str, Any]:
        """One step failed, with this cause and with advice; those after it were skipped."""
        steps = told["connectors"][0]["steps"]
        self.assertEqual(steps[-1]["name"], ANSWER)
        outcomes = [step["outcome"] for step in steps]
        at = outcomes.index("failed")
        self.assertEqual(outcomes, ["ok"] * at + ["failed"] + ["skipped"] * (len(steps) - at - 1), steps)
        failed: dict[str, Any] = steps[at]
        self.assertEqual(failed["cause"], cause, failed)
        self.assertTrue(failed["advice"])
        return failed

    def test_works(self) -> None:
        """Every step is well, and the application has seen the user, whether they are signed in or not."""
        told = self.explain("alice")
        steps = told["connectors"][0]["steps"]
        self.assertEqual({step["outcome"] for step in steps}, {"ok"}, steps)
        self.assertEqual(steps[-1]["name"], ANSWER)
        self.assertEqual(steps[-1]["detail"], "HEAD /app/ was answered 200; it proved itself")
        line = self.application.access_log.read_text().splitlines()[-1]
        self.assertIn("HEAD /app/ ", line)
        self.assertTrue(line.endswith(f"alice@{REALM}"), line)
        self.assertFalse(told["signed_in"])
        self.assert_user(self.arrive("alice"), f"alice@{REALM}")
        self.assertTrue(self.explain("alice")["signed_in"])
        shown = self.site.appproxy("explain", "kerberos", "intranet", "--user", told["user"])
        self.assertIn("S4U2Proxy", shown)
        self.assertIn("HEAD /app/ was answered 200", shown)
        self.assertIn('"event": "explain"', self.connector.text.replace('":"', '": "'))

    def test_other_name(self) -> None:
        """Whom an application knows by another name is found by the session's, or by what is given."""
        self.publish({"sam": {"login_identity": "on_premises_sam_account_name"}})
        told = self.explain("bsmith", "sam", 1)
        self.assertEqual(told["missing"], ["on_premises_sam_account_name"])
        self.assertEqual(self.explain("bsmith", "sam", 0, "--sam-account-name", "bsmith")["missing"], [])
        self.assert_user(self.arrive("bsmith", "sam"), f"bsmith@{REALM}")
        told = self.explain("bsmith", "sam")
        self.assertEqual((told["signed_in"], told["missing"]), (True, []))

    def test_when_asked(self) -> None:
        """An application that has to ask first is asked twice."""
        self.publish({"asked": {"send": "after_401"}})
        told = self.explain("alice", "asked")
        self.assertEqual(told["failed"], 0)
        lines = self.application.access_log.read_text().splitlines()[-2:]
        self.assertEqual([line.split()[-2] for line in lines], ["401", "200"])

    def test_fails(self) -> None:
        """Users who may not, services that may not, and an application with an old key: each at its step."""
        self.publish(
            {
                "intranet": {},
                "hr": {"service_principal_name": UNLISTED},
                "stale": {"service_principal_name": STALE, "part": "stale"},
                "other": {"service_principal_name": "HTTP/elsewhere.example.org"},
            }
        )
        self.assert_failed(self.explain("sensitive", code=1), "user_sensitive")
        self.assert_failed(self.explain("nobody", code=1), "user_unknown")
        self.assert_failed(self.explain("alice", "hr", 1), "spn_not_listed")
        failed = self.assert_failed(self.explain("alice", "stale", 1), "wrong_key")
        self.assertEqual(failed["name"], ANSWER)
        (told,) = self.explain("alice", "other", 1)["connectors"]
        self.assertEqual((told["reason"], told["steps"]), ("backend_not_allowed", []))
