"""The systemd units agree with the settings' defaults and with the daemons."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from appproxy.config.connector import ConnectorSettings
from appproxy.config.edge import AdminSettings, StoreSettings
from appproxy.config.relay import RelaySettings

ETC: Final = Path(__file__).parents[2] / "etc"
UNITS: Final = ETC / "systemd" / "system"
DAEMONS: Final = ("edge", "relay", "connector")


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

    def test_service(self) -> None:
        """The http socket starts the edge, not a service of its own name."""
        self.assertEqual(unit("appproxy-edge-http.socket")["Socket.Service"], ["appproxy-edge.service"])
