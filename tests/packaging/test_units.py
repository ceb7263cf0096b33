"""The systemd units agree with the settings' defaults and with the daemons."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from appproxy.config.connector import ConnectorSettings
from appproxy.config.edge import AdminSettings, StoreSettings
from appproxy.config.relay import RelaySettings
from tests.packaging.support import run_tool

ETC: Final = Path(__file__).parents[2] / "etc"
UNITS: Final = ETC / "systemd" / "system"
DAEMONS: Final = ("edge", "relay", "connector")

MAXIMUM_EXPOSURE: Final = 2.0
"""What C{systemd-analyze security} may count at most, from 0 (nothing) to 10."""

EXPOSURE: Final = re.compile(r"^→ Overall exposure level for \S+: ([0-9.]+) ", re.MULTILINE)


def unit(name: str) -> dict[str, list[str]]:
    """C{Section.Key} of a unit, with all values of each."""
    found: dict[str, list[str]] = defaultdict(list)
    section = ""
    for line in (UNITS / name).read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[f"{section}.{key}"].append(value)
    return found


class ServiceTests(SynchronousTestCase):
    """The three services."""

    def test_command(self) -> None:
        """Each starts its daemon in the foreground, with the configuration of its name."""
        for daemon in DAEMONS:
            (command,) = unit(f"appproxy-{daemon}.service")["Service.ExecStart"]
            self.assertEqual(
                command.split()[1:],
                [
                    "--nodaemon",
                    "--pidfile=",
                    f"appproxy-{daemon}",
                    "--config",
                    f"/etc/appproxy/{daemon}.toml",
                ],
            )

    def test_places(self) -> None:
        """State and runtime folders are those of the settings' defaults."""
        state = {
            "edge": StoreSettings().path.parent,
            "relay": RelaySettings.model_fields["identity"].default.parent,
            "connector": ConnectorSettings.model_fields["identity"].default.parent,
        }
        for daemon in DAEMONS:
            service = unit(f"appproxy-{daemon}.service")
            self.assertEqual(service["Service.StateDirectory"], [str(state[daemon].relative_to("/var/lib"))])
            self.assertEqual(service["Service.StateDirectoryMode"], ["0700"])
        runtime = unit("appproxy-edge.service")["Service.RuntimeDirectory"]
        self.assertEqual(AdminSettings().listen, f"unix:/run/{runtime[0]}/admin.sock")

    def test_users(self) -> None:
        """Each daemon has a user of its own, which sysusers.d makes; none is root."""
        made = re.findall(
            r"^u (\S+) ", (ETC / "sysusers.d" / "appproxy.conf").read_text("utf-8"), re.MULTILINE
        )
        users = [unit(f"appproxy-{daemon}.service")["Service.User"] for daemon in DAEMONS]
        self.assertEqual([user for (user,) in users], made)
        self.assertEqual(
            unit("appproxy-edge.service")["Service.SupplementaryGroups"], [AdminSettings().group]
        )

    def test_no_restart_where_it_cannot_help(self) -> None:
        """Not enrolled, revoked, or a wrong configuration: an operator has to act."""
        for daemon in DAEMONS:
            service = unit(f"appproxy-{daemon}.service")
            self.assertEqual(service["Service.Restart"], ["on-failure"])
            self.assertEqual(service["Service.RestartPreventExitStatus"], ["77 78"])

    def test_alive(self) -> None:
        """systemd waits for the start, and for the beats of each; a reload is a signal."""
        for daemon in DAEMONS:
            service = unit(f"appproxy-{daemon}.service")
            self.assertEqual(service["Service.Type"], ["notify"])
            self.assertTrue(service["Service.WatchdogSec"][0].isdigit())
            self.assertEqual(service["Service.ExecReload"], ["/bin/kill -HUP $MAINPID"])

    def test_no_capability(self) -> None:
        """None has a capability: ports below 1024 come from the socket units, which the services want."""
        sockets = {
            "edge": ["appproxy-edge.socket appproxy-edge-http.socket"],
            "relay": ["appproxy-relay.socket"],
            "connector": [],
        }
        for daemon, wanted in sockets.items():
            service = unit(f"appproxy-{daemon}.service")
            self.assertEqual(service["Service.CapabilityBoundingSet"], [""])
            self.assertEqual(service["Service.AmbientCapabilities"], [""])
            self.assertEqual(service["Service.Sockets"], wanted)

    def test_sign_in_is_possible(self) -> None:
        """None forbids memory that is written, then run: with it no edge reaches its provider."""
        for daemon in DAEMONS:
            self.assertNotIn("Service.MemoryDenyWriteExecute", unit(f"appproxy-{daemon}.service"))


class AnalyzeTests(SynchronousTestCase):
    """What systemd itself says of the units."""

    def setUp(self) -> None:
        """The units, with a program that is there on every machine."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        for path in UNITS.iterdir():
            text = path.read_text("utf-8").replace("/opt/appproxy/bin/twistd", shutil.which("true") or "")
            (self.folder / path.name).write_text(text)

    def analyze(self, *arguments: str | Path) -> str:
        """Run C{systemd-analyze}; all that it says."""
        return run_tool("systemd-analyze", "systemd", *arguments)

    def test_verify(self) -> None:
        """There is nothing to say against any unit."""
        self.assertEqual(self.analyze("verify", *sorted(self.folder.iterdir())), "")

    def test_security(self) -> None:
        """No service is exposed more than it may be."""
        for daemon in DAEMONS:
            said = self.analyze("security", "--offline=true", self.folder / f"appproxy-{daemon}.service")
            (exposure,) = EXPOSURE.findall(said)
            self.assertLessEqual(float(exposure), MAXIMUM_EXPOSURE, said)


class SocketTests(SynchronousTestCase):
    """The sockets that systemd may hold."""

    def test_names(self) -> None:
        """The names are those that the configuration mentions as C{systemd:NAME}."""
        names = {
            "appproxy-edge.socket": "https",
            "appproxy-edge-http.socket": "http",
            "appproxy-relay.socket": "https",
        }
        self.assertEqual({path.name for path in UNITS.glob("*.socket")}, set(names))
        for file, name in names.items():
            self.assertEqual(unit(file)["Socket.FileDescriptorName"], [name])

    def test_both_families_apart(self) -> None:
        """IPv4 clients do not appear as mapped IPv6 addresses, which no rule would match."""
        for path in UNITS.glob("*.socket"):
            socket = unit(path.name)
            self.assertEqual(socket["Socket.BindIPv6Only"], ["ipv6-only"])
            self.assertEqual(len(socket["Socket.ListenStream"]), 2)

    def test_rests(self) -> None:
        """Visitors start a service that cannot run a few times only."""
        for path in UNITS.glob("*.socket"):
            socket = unit(path.name)
            self.assertEqual(socket["Socket.TriggerLimitIntervalSec"], ["5min"])
            self.assertEqual(socket["Socket.TriggerLimitBurst"], ["5"])

    def test_service(self) -> None:
        """The http socket starts the edge, not a service of its own name."""
        self.assertEqual(unit("appproxy-edge-http.socket")["Socket.Service"], ["appproxy-edge.service"])
