"""Tests of status --probe and trace as an administrator runs them."""

from __future__ import annotations

import json
from typing import Any

from appproxy.admin.questions import ProbeOutcome
from appproxy.model.refusal import Error, Refusal
from appproxy.observe.transaction import Transaction, TransactionIds
from tests.cli.support import CommandTestCase


class ProbeTests(CommandTestCase):
    """Applications through connectors."""

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Publish two applications for two connectors."""
        await super().setUp()
        await self.ask("apply", self.file, "--yes")
        await self.edge.enrol("c1", "dublin", "hq")
        await self.edge.enrol("c2", "cork", "hq")

    async def test_all_well(self) -> None:
        """Each pair has a line with status and time; the exit code is 0."""
        result = await self.ask("status", "--probe")
        lines = [line.split() for line in result.stdout.splitlines()]
        self.assertEqual(lines[0], ["APPLICATION", "CONNECTOR", "RESULT", "DETAIL"])
        self.assertEqual(len(lines), 5)
        self.assertIn(["wiki", "dublin", "200", "in", "22", "ms"], lines)

    async def test_failure(self) -> None:
        """What fails has its reason, the connector's words, and what to do; the exit code is 1."""
        refused = ProbeOutcome("P" * 26, reason="backend_refused", detail="wiki:80 (10.0.0.1): refused")
        self.edge.connectors_asked.outcomes["c2", "wiki"] = refused
        result = await self.ask("status", "--probe", "--app", "wiki", code=1)
        self.assertIn("wiki:80 (10.0.0.1): refused", result.stdout)
        self.assertIn("is the application running", result.stderr)
        self.assertIn("1 of 2 probes failed", result.stderr)
        told = json.loads((await self.ask("status", "--app", "wiki", "--output", "json", code=1)).stdout)
        self.assertEqual(told["failed"], 1)
        by_name: dict[str, Any] = {each["name"]: each for each in told["probes"]}
        self.assertTrue(by_name["dublin"]["reachable"])
        self.assertEqual(by_name["cork"]["reason"], "backend_refused")

    async def test_quick(self) -> None:
        """Without --probe nobody is called."""
        await self.ask("status")
        self.assertEqual(self.edge.connectors_asked.probed, [])

    async def test_wrong_use(self) -> None:
        """An application that there is not is exit code 5; --watch does not go with it."""
        result = await self.ask("status", "--app", "wikki", code=5)
        self.assertIn('did you mean "wiki"?', result.stderr)
        await self.ask("status", "--probe", "--watch", code=2)


class TraceTests(CommandTestCase):
    """What became of a request."""

    async def test_refused(self) -> None:
        """The id of an error page leads to what happened and what to do, in words and as JSON."""
        id_ = TransactionIds(lambda: 1_800_000_000.25)()
        made = Transaction(id_, 1_800_000_000.25, "192.0.2.1", b"GET", b"wiki.apps.example.com", b"/a")
        made.refused(Refusal(Error.Forbidden, "not_assigned"))
        made.application, made.duration = "wiki", 0.002
        self.edge.recent.keep(made)
        result = await self.ask("trace", id_.lower())
        self.assertIn("GET wiki.apps.example.com /a from 192.0.2.1", result.stdout)
        self.assertIn("403 Forbidden, not_assigned", result.stdout)
        self.assertIn("users and groups of the application", result.stdout)
        self.assertEqual((await self.ask_json("trace", id_))["reason"], "not_assigned")

    async def test_unknown(self) -> None:
        """An id that the edge does not know is exit code 5, with where to look; what is no id is refused."""
        result = await self.ask("trace", "01ARZ3NDEKTSV4RRFFQ69G5FAV", code=5)
        self.assertIn("before this edge was started; the access log is edge.log", result.stderr)
        self.assertIn("no transaction id", (await self.ask("trace", "nonsense", code=1)).stderr)
