"""An operator finds the cause of an error: probes of applications, traces of requests."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

from appproxy.demo.ports import free_port
from tests.integration.support.browser import Page
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.echo import Echo
from tests.integration.support.installation import PROGRAMS, Installation
from tests.integration.support.oidc_provider import ADA, GRACE
from tests.integration.support.processes import run, wait_until


class DiagnosisTests(IntegrationTestCase):
    """Applications behind one connector, of which most do not work."""

    def setUp(self) -> None:
        """Start the edge."""
        super().setUp()
        self.echo = Echo(self.folder / "echo")
        self.start(self.echo.process)
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        self.silent_port, self.closed_port = silent.getsockname()[1], free_port()
        self.site = Installation(self)

    def publish(self, *names: str) -> None:
        """Publish some of the applications, and start the connector."""
        sign_on = {"mode": "headers", "headers": {"X-Remote-User": {"claim": "user_principal_name"}}}
        anybody = {"pre_authentication": "passthrough"}
        some: dict[str, dict[str, Any]] = {
            "closed": {"internal_url": f"http://127.0.0.1:{self.closed_port}/", **anybody},
            "nameless": {"internal_url": "http://nowhere.invalid/", **anybody},
            "silent": {"internal_url": f"http://127.0.0.1:{self.silent_port}/", **anybody},
            "open": {"internal_url": self.echo.internal_url, **anybody},
            "up": {"internal_url": self.echo.internal_url, "users": ["ada@example.com"], "sso": sign_on},
        }
        self.site.publish({name: some[name] for name in names})
        ports = (self.echo.port, self.closed_port, self.silent_port)
        allowed = [*(f"127.0.0.1:{port}" for port in ports), "nowhere.invalid"]
        self.site.start_connector("hq", allowed)
        wait_until(lambda: len(self.tunnels()) == 1, "the connector's tunnel")

    def tunnels(self) -> list[dict[str, Any]]:
        """The connectors' tunnels as the edge's status has them."""
        rows: list[dict[str, Any]] = self.site.appproxy_json("status")["tunnels"]
        return [row for row in rows if row["role"] == "connector"]

    def probe(self) -> dict[str, dict[str, Any]]:
        """What each application's probe says; the command's exit code says that some fail."""
        command = (
            PROGRAMS / "appproxy",
            "--server",
            self.site.admin,
            "status",
            "--probe",
            "--output",
            "json",
        )
        result = run(command)
        self.assertEqual(result.returncode, 1, result.stderr)
        return {each["application"]: each for each in json.loads(result.stdout)["probes"]}

    def trace(self, page: Page) -> dict[str, Any]:
        """The trace of an answer that has the edge's transaction id."""
        traced: dict[str, Any] = self.site.appproxy_json("trace", page.header("AppProxy-Transaction-Id"))
        return traced

    def test_regular_probes(self) -> None:
        """
        The edge has connectors try applications by itself: a dead one stands in the metrics and once in
        the log, and a connector without a tunnel says nothing of either.
        """
        self.site.start_edge({"probes": {"interval": "10s"}})
        self.publish("closed", "open")

        def up() -> dict[str, float]:
            series = re.compile('appproxy_probe_up{application="([^"]*)"')
            numbers = self.site.numbers("edge").items()
            return {found[1]: number for name, number in numbers if (found := series.match(name))}

        wait_until(lambda: up() == {"closed": 0.0, "open": 1.0}, "a probe of each")
        lines = [json.loads(line) for line in self.site.edge.text.splitlines() if line.startswith("{")]
        (changed,) = [line for line in lines if line["event"] == "probe_changed"]
        self.assertEqual((changed["application"], changed["outcome"]), ("closed", "backend_refused"))
        self._started[-1].stop()
        wait_until(lambda: up() == {}, "nobody to be asked")

    def assert_failure_traced(self, through: str) -> None:
        """The page of a request that no backend got leads to the connector's own words."""
        page = self.site.browser().open(self.site.url("closed", "/a?token=secret"))
        self.assertEqual(page.status, 502)
        self.assertNotIn(str(self.closed_port), page.text)
        traced = self.trace(page)
        self.assertEqual((traced["error"], traced["reason"]), ("BadGateway", "backend_refused"))
        self.assertIn(f"127.0.0.1:{self.closed_port}", traced["detail"])
        self.assertNotIn("secret", json.dumps(traced))
        steps = [step["what"] for step in traced["timeline"]]
        self.assertTrue(any(step.startswith(f"stream opened {through}") for step in steps), steps)
        self.assertTrue(any(step["where"].startswith("connector ") for step in traced["timeline"]), steps)

    def test_inside(self) -> None:
        """With the relay inside of the edge: probes, then traces of a 502, a 403 and a good request."""
        self.site.start_provider()
        self.site.start_edge()
        self.publish("closed", "nameless", "silent", "up")
        probes = self.probe()
        reasons = {name: each["reason"] for name, each in probes.items()}
        expected = {"closed": "backend_refused", "nameless": "backend_name", "silent": "backend_timeout"}
        self.assertEqual(reasons, {**expected, "up": None})
        self.assertIn(f"127.0.0.1:{self.closed_port}", probes["closed"]["detail"])
        self.assertIn("nowhere.invalid", probes["nameless"]["detail"])
        self.assertEqual(probes["up"]["status"], 200)
        self.assertTrue(all(each["advice"] for name, each in probes.items() if name != "up"))
        self.assertEqual(self.site.access_lines(), [], "a probe is nobody's request")
        self.assert_failure_traced("to connector ")
        grace = self.site.sign_in(self.site.browser(), self.site.url("up"), GRACE)
        self.assertEqual(grace.status, 403)
        refused = self.trace(grace)
        self.assertEqual((refused["error"], refused["reason"]), ("Forbidden", "not_assigned"))
        self.assertIn("users and groups", refused["meaning"])
        good = self.site.sign_in(self.site.browser(), self.site.url("up", "/page"), ADA)
        seen = {name.lower(): value for name, value in json.loads(good.text)["headers"]}
        traced = self.site.appproxy_json("trace", seen["x-request-id"])
        self.assertEqual((traced["request"]["status"], traced["request"]["user"]), (200, "ada@example.com"))
        where = [step["where"].split()[0] for step in traced["timeline"]]
        self.assertEqual(
            where, ["edge"] * 3 + ["connector"] * 2 + ["application", "connector"] + ["edge"] * 2
        )
        self.assertIsNone(traced["reason"])

    def test_remote_relay(self) -> None:
        """With a relay of its own between them it is the same."""
        self.site.start_edge()
        _relay, port = self.site.start_relay()
        self.site.restart_edge({"relay": {"mode": "remote", "dial": [f"127.0.0.1:{port}"]}})
        self.publish("closed", "open")
        reasons = {name: each["reason"] for name, each in self.probe().items()}
        self.assertEqual(reasons, {"closed": "backend_refused", "open": None})
        self.assert_failure_traced("through relay ")
