"""The dashboard: Grafana knows all that is in it, and Prometheus understands what it asks."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.support import run_tool

DASHBOARD: Final = Path(__file__).parents[2] / "etc" / "grafana" / "appproxy.json"
COLUMNS: Final = 24
"""Of Grafana's grid."""

OF_GRAFANA: Final = {"__rate_interval"}
"""Variables that every dashboard has."""

VARIABLE: Final = re.compile(r"\$\{?(\w+)")

Change = Callable[[dict[str, Any]], None]


def understood(dashboard: dict[str, Any]) -> dict[str, Any]:
    """What is left of it in the types that Grafana publishes of its dashboards and panels."""
    register_default_plugins()
    document: dict[str, Any] = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    return document


def lost(ours: Any, theirs: Any, place: str = "") -> Iterator[str]:
    """Where something of ours is not there, or another thing."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from lost(value, theirs.get(key), f"{place}/{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from lost(one, other, f"{place}/{number}")
    elif ours != theirs:
        yield f"{place}: {ours!r} became {theirs!r}"


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    """What a panel covers of the grid."""
    at = panel["gridPos"]
    return {
        (column, row)
        for column in range(at["x"], at["x"] + at["w"])
        for row in range(at["y"], at["y"] + at["h"])
    }


class DashboardTests(SynchronousTestCase):
    """C{etc/grafana/appproxy.json}."""

    def setUp(self) -> None:
        """Read it."""
        self.dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
        self.panels: list[dict[str, Any]] = self.dashboard["panels"]
        self.targets = [target for panel in self.panels for target in panel.get("targets", ())]

    def test_known_to_grafana(self) -> None:
        """All of it is in the types that Grafana publishes of dashboards, panels and queries."""
        self.assertEqual(list(lost(self.dashboard, understood(self.dashboard))), [])

    def test_mistakes_are_noticed(self) -> None:
        """Were there a word that Grafana does not know, this would find it, wherever it stood."""
        changes: list[Change] = [
            lambda it: it.update(refrseh="1m"),
            lambda it: it["panels"][1].update(colour="red"),
            lambda it: it["panels"][1].setdefault("options", {}).update(lgend={}),
            lambda it: it["panels"][1]["fieldConfig"]["defaults"].update(unti="s"),
            lambda it: it["panels"][1]["targets"][0].update(query="up"),
            lambda it: it["templating"]["list"][0].update(lable="Prometheus"),
        ]
        for number, change in enumerate(changes):
            changed = copy.deepcopy(self.dashboard)
            change(changed)
            self.assertEqual(len(list(lost(changed, understood(changed)))), 1, f"change {number}")

    def test_grid(self) -> None:
        """Panels lie within the grid, and none on another."""
        taken: set[tuple[int, int]] = set()
        for panel in self.panels:
            covered = cells(panel)
            self.assertTrue(covered, panel["title"])
            self.assertLess(max(column for column, _ in covered), COLUMNS, panel["title"])
            self.assertEqual(covered & taken, set(), panel["title"])
            taken |= covered

    def test_names(self) -> None:
        """Panels, and the queries of each, have names of their own; each panel has title, type and unit."""
        self.assertEqual([panel["id"] for panel in self.panels], list(range(1, len(self.panels) + 1)))
        for panel in self.panels:
            self.assertTrue(panel["title"] and panel["type"])
            names = [target["refId"] for target in panel.get("targets", ())]
            self.assertEqual(len(names), len(set(names)), panel["title"])
            if panel["type"] != "row":
                self.assertTrue(names and panel["fieldConfig"]["defaults"]["unit"], panel["title"])

    def test_variables(self) -> None:
        """Each variable that is used is one of the dashboard's, and each of these is used."""
        defined = {variable["name"] for variable in self.dashboard["templating"]["list"]}
        used = set(VARIABLE.findall(json.dumps([self.panels, self.dashboard["templating"]])))
        self.assertEqual(used - OF_GRAFANA - {"__all"}, defined)

    def test_questions(self) -> None:
        """Prometheus understands what each panel asks."""
        rules = [
            {"record": f"panel:{number}", "expr": target["expr"].replace("$__rate_interval", "5m")}
            for number, target in enumerate(self.targets)
        ]
        file = Path(self.mktemp()).absolute()
        file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
        said = run_tool("promtool", "prometheus", "check", "rules", file)
        self.assertIn(f"{len(self.targets)} rules found", said)
