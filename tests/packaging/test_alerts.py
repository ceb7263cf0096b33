"""The alert rules: each fires where it should, and only there; the manual says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.support import run_tool

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "etc" / "prometheus" / "appproxy.rules.yml"
MANUAL: Final = ROOT / "docs" / "operations.md"
EDGE: Final = 'job="appproxy-edge"'
CONNECTOR: Final = 'job="appproxy-connector"'
RELAY: Final = 'job="appproxy-relay"'

DAY: Final = 86400
FIRING: Final = 'count by (alertname, instance) (ALERTS{alertstate="firing"})'
AT: Final = "40m"
"""When they are looked at; the values below come every 30 s, and the last ones stay."""

Values = tuple[str, str]
"""What a series tells of something sick, and of something well."""

CASES: Final[Mapping[str, Mapping[str, Values]]] = {
    "AppProxyEdgeDown": {f"up{{{EDGE}}}": ("0x90", "1x90")},
    "AppProxyRelayDown": {f"up{{{RELAY}}}": ("0x90", "1x90")},
    "AppProxyConnectorDown": {f"up{{{CONNECTOR}}}": ("0x90", "1x90")},
    "AppProxyNoConnectorInGroup": {f'appproxy_tunnels{{{EDGE},connector_group="hq"}}': ("0x90", "1x90")},
    "AppProxyConnectorWithoutTunnel": {f"appproxy_tunnels{{{CONNECTOR}}}": ("0x90", "1x90")},
    "AppProxyRelayWithoutEdge": {
        f'appproxy_tunnels{{{RELAY},connector_group=""}}': ("0x90", "1x90"),
        f'appproxy_tunnels{{{RELAY},connector_group="hq"}}': ("2x90", "0x90"),
    },
    "AppProxyStoreAway": {f"appproxy_store_up{{{EDGE}}}": ("0x90", "1x90")},
    "AppProxyErrorRate": {
        f'appproxy_requests_total{{{EDGE},application="wiki",code="200",error=""}}': ("0+90x90", "0+98x90"),
        f'appproxy_requests_total{{{EDGE},application="wiki",code="502",error="BadGateway"}}': (
            "0+10x90",
            "0+2x90",
        ),
        # All of a few requests: somebody tries what is not in use yet.
        f'appproxy_requests_total{{{EDGE},application="new",code="502",error="BadGateway"}}': (
            "0x90",
            "0+0.5x90",
        ),
    },
    # The very first one: its series begins with 1.
    "AppProxyInternalErrors": {
        f'appproxy_requests_total{{{EDGE},application="wiki",code="500",error="InternalServerError"}}': (
            "_x75 1x15",
            "1x90",
        ),
    },
    "AppProxySlow": {
        f'appproxy_first_byte_seconds_bucket{{{EDGE},application="wiki",le="5.0"}}': ("0+90x90", "0+99x90"),
        f'appproxy_first_byte_seconds_bucket{{{EDGE},application="wiki",le="10.0"}}': (
            "0+100x90",
            "0+100x90",
        ),
        f'appproxy_first_byte_seconds_bucket{{{EDGE},application="wiki",le="+Inf"}}': (
            "0+100x90",
            "0+100x90",
        ),
    },
    "AppProxyApplicationUnreachable": {
        f'appproxy_probe_up{{{EDGE},application="wiki",connector="dublin"}}': ("0x90", "1x90"),
        # Once is no alert.
        f'appproxy_probe_up{{{EDGE},application="wiki",connector="cork"}}': ("1x90", "1x85 0 1x5"),
    },
    "AppProxyKerberosSilent": {f"appproxy_kerberos_silent_realms{{{CONNECTOR}}}": ("1x90", "0x90")},
    "AppProxySignOnFailures": {
        f'appproxy_sign_on_failures_total{{{CONNECTOR},cause="keytab_stale"}}': ("0+5x90", "0x90"),
        # People whose accounts are of no use are no fault of anybody's.
        f'appproxy_sign_on_failures_total{{{CONNECTOR},cause="user_disabled"}}': ("0x90", "0+5x90"),
    },
    "AppProxyOverloaded": {f"appproxy_reactor_lag_seconds{{{EDGE}}}": ("1x90", "0.01x90")},
    "AppProxySignInFailures": {
        f'appproxy_sign_ins_total{{{EDGE},outcome="token_invalid"}}': ("0+5x90", "0+5x90"),
        f'appproxy_sign_ins_total{{{EDGE},outcome="success"}}': ("0+1x90", "0+50x90"),
    },
    "AppProxyProviderUnreachable": {
        f'appproxy_sign_ins_total{{{EDGE},outcome="provider_unreachable"}}': ("0+1x90", "3x90"),
    },
    "AppProxyCertificateExpiresSoon": {
        f'appproxy_certificate_expiry_seconds{{{EDGE},name="apps.pem"}}': (f"{13 * DAY}x90", f"{15 * DAY}x90")
    },
    "AppProxyIdentityExpiresSoon": {
        f'appproxy_certificate_expiry_seconds{{{CONNECTOR},name="identity"}}': (
            f"{6 * DAY}x90",
            f"{10 * DAY}x90",
        ),
        f'appproxy_certificate_expiry_seconds{{{EDGE},name="identity"}}': (
            f"{29 * DAY}x90",
            f"{120 * DAY}x90",
        ),
    },
    "AppProxyCertificateRejected": {f"appproxy_certificates_rejected{{{EDGE}}}": ("1x90", "0x90")},
    "AppProxyLogLinesDropped": {f"appproxy_log_lines_dropped_total{{{EDGE}}}": ("0x70 5x20", "7x90")},
    "AppProxyDescriptorsNearLimit": {
        f"appproxy_open_descriptors{{{EDGE}}}": ("60000x90", "200x90"),
        f"appproxy_descriptor_limit{{{EDGE}}}": ("65536x90", "65536x90"),
    },
    "AppProxyConnectionsTurnedAway": {
        f'appproxy_refused_total{{{EDGE},reason="connection_limit"}}': ("0x70 5x20", "7x90"),
        f'appproxy_refused_total{{{EDGE},reason="no_session"}}': ("7x90", "0+5x90"),
    },
}
"""For each alert, the series that it looks at."""

HEARD_OF: Final[Mapping[str, int]] = {"AppProxyIdentityExpiresSoon": 2}
"""How often an alert is heard, where more than one thing is sick."""


def alerts() -> list[str]:
    """Names of all alerts, in the order of the file."""
    return re.findall(r"^ *- alert: (\w+)$", RULES.read_text("utf-8"), re.MULTILINE)


def named(series: str, instance: str) -> str:
    """The series of one instance."""
    return series.replace("}", f',instance="{instance}"}}')


def scenario(alert: str) -> dict[str, Any]:
    """What promtool plays: one instance that is sick, one that is well; one of them is heard of."""
    series = [
        {"series": named(each, instance), "values": values}
        for each, both in CASES[alert].items()
        for instance, values in zip(("sick", "well"), both, strict=True)
    ]
    count = HEARD_OF.get(alert, 1)
    heard = [{"labels": f'{{alertname="{alert}",instance="sick"}}', "value": count}]
    return {
        "name": alert,
        "interval": "30s",
        "input_series": series,
        "promql_expr_test": [{"expr": FIRING, "eval_time": AT, "exp_samples": heard}],
    }


class AlertTests(SynchronousTestCase):
    """C{etc/prometheus/appproxy.rules.yml}."""

    def promtool(self, *arguments: str | Path) -> str:
        """Run it; it must find nothing wrong."""
        return run_tool("promtool", "prometheus", *arguments)

    def test_good_rules(self) -> None:
        """Prometheus takes the file."""
        said = self.promtool("check", "rules", RULES)
        self.assertIn(f"{len(alerts())} rules found", said)

    def test_each_fires(self) -> None:
        """Each alert is heard of what is sick, not of what is well, and nothing else is heard then."""
        self.assertEqual(list(CASES), alerts())
        file = Path(self.mktemp()).absolute()
        tests = [scenario(alert) for alert in CASES]
        file.write_text(
            json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "30s", "tests": tests})
        )
        self.promtool("test", "rules", file)

    def test_manual(self) -> None:
        """For each alert the manual says, under its name and in the rules' order, what to do."""
        headings = re.findall(r"^### (AppProxy\w+)$", MANUAL.read_text("utf-8"), re.MULTILINE)
        self.assertEqual(headings, alerts())
