"""What docs/operations.md, the dashboard and the alert rules say holds of the daemons that run."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable
from typing import Any, Final

from tests.integration.support.browser import Browser, Page
from tests.integration.support.case import ROOT, IntegrationTestCase
from tests.integration.support.echo import Echo
from tests.integration.support.installation import Installation
from tests.integration.support.oidc_provider import ADA
from tests.integration.support.processes import Running, must_run, wait_until

MANUAL: Final = ROOT / "docs" / "operations.md"
USERS_OF_METRICS: Final = (
    ROOT / "etc" / "prometheus" / "appproxy.rules.yml",
    ROOT / "etc" / "grafana" / "appproxy.json",
)
METRIC: Final = re.compile(r"\bappproxy_[a-z_]+\b")
SAMPLES_OF: Final = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge": ("",),
}
"""What the names of a family's samples end with."""


def section(title: str) -> str:
    """What stands below a heading of the manual, up to the next one."""
    text = MANUAL.read_text("utf-8").partition(f"\n### {title}\n")[2]
    return re.split(r"^#", text, maxsplit=1, flags=re.MULTILINE)[0]


def fields(title: str) -> set[str]:
    """The fields that a section's table explains."""
    rows = re.findall(r"^\| (`[^|]+) \|", section(title), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def example(title: str) -> dict[str, Any]:
    """The line that a section shows."""
    (line,) = re.findall(r"^    (\{.*\})$", section(title), re.MULTILINE)
    shown: dict[str, Any] = json.loads(line)
    return shown


class OperationsTests(IntegrationTestCase):
    """Edge, connector and a relay of its own, looked at as an operator does."""

    def setUp(self) -> None:
        """One application for Ada, another for anybody."""
        super().setUp()
        self.echo = Echo(self.folder / "echo")
        self.start(self.echo.process)
        self.site = Installation(self)
        self.site.start_provider()
        self.site.start_edge()
        self.publish("ada@example.com")
        self.connector = self.site.start_connector("hq", [f"127.0.0.1:{self.echo.port}"])

    def publish(self, user: str) -> None:
        """Make it this user's."""
        self.site.publish({"echo": {"internal_url": self.echo.internal_url, "users": [user]}})

    def sign_in(self) -> tuple[Browser, Page]:
        """Arrive at the application as Ada."""
        browser = self.site.browser()
        page = self.site.sign_in(browser, self.site.url("echo"), ADA)
        self.assertEqual(page.status, 200, page.text)
        return browser, page

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What the edge wrote of something."""
        texts = (line for line in self.site.edge.text.splitlines() if line.startswith("{"))
        return [line for line in map(json.loads, texts) if line["event"] == event]

    def wait_for_line(self, event: str) -> dict[str, Any]:
        """The first such line."""
        wait_until(lambda: bool(self.lines(event)), f"a line of {event}")
        return self.lines(event)[0]

    def assert_documented(self, title: str, *lines: dict[str, Any]) -> None:
        """The table has the fields of these lines, each of them and no other; the example is such a line."""
        self.assertEqual(fields(title), {field for line in lines for field in line})
        self.assertIn(set(example(title)), [set(line) for line in lines])

    def test_logs(self) -> None:
        """Each field of the access, sign-in and audit log stands in the manual, and the example is real."""
        browser, _ = self.sign_in()
        browser.submit(browser.open(self.site.url("echo", "/.appproxy/sign-out")))
        self.site.browser().open(self.site.url("auth", "/.appproxy/callback?state=unknown&code=x"))
        self.site.browser().open(self.site.url("echo", "/.appproxy/ticket?ticket=unknown"))
        wait_until(lambda: len(self.lines("sign_in")) == 3, "a line of each outcome")
        self.assertEqual(
            [line["outcome"] for line in self.lines("sign_in")], ["success", "failure", "failure"]
        )
        self.assert_documented("Access log", self.wait_for_line("access"))
        self.assert_documented("Sign-in log", *self.lines("sign_in"), self.wait_for_line("sign_out"))
        self.assert_documented("Audit log", self.wait_for_line("audit"))

    def test_times(self) -> None:
        """The access log says where the time of a request went, and the metrics have it by application."""
        self.sign_in()
        wait_until(lambda: any(line["connector"] for line in self.lines("access")), "the application's line")
        (line,) = [line for line in self.lines("access") if line["connector"]]
        self.assertGreaterEqual(line["backend_ms"], 0)
        self.assertGreaterEqual(line["connector_ms"], line["backend_ms"])
        self.assertGreaterEqual(line["first_byte_ms"], line["connector_ms"])
        self.assertIsNone(line["sso_ms"])
        self.assertIn(f'"tunnel": "{line["tunnel"]}"', json.dumps(self.lines("tunnel_up")))
        page = self.page_of_metrics(self.site.edge)
        self.assertIn('appproxy_backend_seconds_count{application="echo"} 1.0', page)

    def page_of_metrics(self, process: Running) -> str:
        """What a daemon tells Prometheus."""
        config = self.site.folder / f"{process.name}.toml"
        listen = tomllib.loads(config.read_text())["metrics"]["listen"]
        return self.site.browser().open(f"http://{listen}/metrics").text

    def scraped(self, process: Running) -> set[str]:
        """The names of all samples that a daemon may show."""
        page = self.page_of_metrics(process)
        families = re.findall(r"^# TYPE (\w+) (\w+)$", page, re.MULTILINE)
        self.assertIn(("appproxy_open_descriptors", "gauge"), families)
        return {name.removesuffix("_total") + end for name, kind in families for end in SAMPLES_OF[kind]}

    def used(self) -> Iterable[tuple[str, str]]:
        """Where each metric is mentioned."""
        for file in USERS_OF_METRICS:
            for name in METRIC.findall(file.read_text("utf-8")):
                yield name, file.name

    def test_metrics(self) -> None:
        """What alerts and dashboard ask for is what the daemons show; the manual explains just that."""
        relay, _ = self.site.start_relay()
        shown = set().union(*map(self.scraped, (self.site.edge, self.connector, relay)))
        used = dict(self.used())
        self.assertEqual({name: file for name, file in used.items() if name not in shown}, {})
        families = {re.sub("_(bucket|sum|count)$", "", name) for name in shown}
        self.assertEqual(set(METRIC.findall(MANUAL.read_text("utf-8"))), families)

    def test_backup(self) -> None:
        """The manual's command copies the store while the edge runs; put back, sessions go on."""
        browser, _ = self.sign_in()
        state = self.site.folder / "edge"
        (command,) = re.findall(r"^    (/opt/appproxy/bin/python -c .*)$", section("A copy"), re.MULTILINE)
        copied = self.folder / "copy.sqlite3"
        for theirs, ours in (
            ("/opt/appproxy/bin/python", sys.executable),
            ("/var/lib/appproxy/edge/store.sqlite3", str(state / "store.sqlite3")),
            ("/var/backups/appproxy/store.sqlite3", str(copied)),
        ):
            self.assertIn(theirs, command)
            command = command.replace(theirs, ours)
        must_run(("sh", "-euc", command))
        self.publish("nobody@example.com")
        self.connector.wait_until(lambda: browser.open(self.site.url("echo")).status == 403, "is refused")
        self.site.edge.stop()
        for path in state.glob("store.sqlite3*"):
            path.unlink()
        shutil.copy(copied, state / "store.sqlite3")
        self.site.start_edge()
        self.connector.wait_until(lambda: browser.open(self.site.url("echo")).status == 200, "serves again")
