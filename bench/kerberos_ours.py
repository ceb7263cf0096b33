"""
One installation with two applications that differ in nothing but sign-on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from appproxy.demo.active_directory.accounts import BASE, INTRANET, REALM
from bench.domain import CONNECTOR_ACCOUNT, Domain
from bench.kerberos_origin import KerberosOrigin
from bench.ours import DOMAIN, Daemon, Ours
from bench.sessions import make_sessions

PLAIN_HOST: Final = f"plain.{DOMAIN}"
KERBEROS_HOST: Final = f"kerberos.{DOMAIN}"


class KerberosOurs(Ours):
    """
    Requests go to the application that wants tickets; L{plain} is the other.

    @ivar others: cookies, for the same application, of those who are at work only once.
    """

    name = "Kerberos"

    def __init__(self, folder: Path, origin: KerberosOrigin, domain: Domain, users: int, others: int) -> None:
        """
        @param users: who are at work; C{cookies} are theirs.
        @param others: who have never been there.
        """
        super().__init__(folder, origin.port, sessions=users + others)
        self._origin = origin
        self._domain = domain
        self._users = users
        self._restarts = 0
        self.hosts = [PLAIN_HOST, KERBEROS_HOST]
        self.host = KERBEROS_HOST
        self.others: Sequence[str] = ()
        self.plain = Plain(self)

    def connector_settings(self, identity: Path, metrics_port: int, log: Path) -> dict[str, Any]:
        """With the directory, and its own account there."""
        settings = super().connector_settings(identity, metrics_port, log)
        account = CONNECTOR_ACCOUNT
        return settings | {
            "allowed_backends": [f"127.0.0.1:{port}" for port in self._ports().values()],
            "allowed_sso": ["none", "kerberos"],
            "allowed_spns": [INTRANET],
            "directory": {
                "servers": [f"ldaps://{self._domain.address}"],
                "base": BASE,
                "ca_file": self._domain.ca_file,
            },
            "kerberos": {
                "keytab_file": self._domain.keytab(account),
                "principal": f"{account}@{REALM}",
            },
        }

    @property
    def application_port(self) -> int:
        """Where the application answers that asks nobody who they are."""
        return self._origin.port

    def restart_connector(self) -> None:
        """Begin anew without any ticket."""
        self._started.pop("connector").stop()
        self._restarts += 1
        # Of its own: what the one before wrote there says nothing of whether this one is ready.
        log = self._folder / f"connector-{self._restarts}.access.log"
        identity = self._folder / "connector" / "identity"
        self._start_daemon("connector", self.connector_settings(identity, self._metrics_ports[1], log))

    def environment(self, daemon: Daemon) -> Mapping[str, str]:
        """The connector asks the domain's KDC."""
        return self._domain.environment if daemon == "connector" else {}

    def _sign_in(self) -> None:
        state = self._folder / "edge"
        state.mkdir(mode=0o700, exist_ok=True)
        made = make_sessions(state / "store.sqlite3", state / "store.key", self._sessions, *self.hosts)
        self.cookies, self.others = made[self.host][: self._users], made[self.host][self._users :]
        self.plain.cookies = made[PLAIN_HOST][: self._users]

    def _application(self, host: str) -> dict[str, Any]:
        kerberos = {
            "mode": "kerberos",
            "service_principal_name": INTRANET,
            "mutual_authentication": "required",
        }
        return super()._application(host) | {
            "internal_url": f"http://127.0.0.1:{self._ports()[host]}/",
            "sso": kerberos if host == KERBEROS_HOST else {"mode": "none"},
        }

    def _ports(self) -> Mapping[str, int]:
        return {PLAIN_HOST: self._origin.port, KERBEROS_HOST: self._origin.kerberos_port}


class Plain:
    """
    See L{bench.system.System}: the application beside, which knows nobody. The installation
    is started and stopped as the other system.
    """

    name = "none"
    host = PLAIN_HOST

    def __init__(self, installation: KerberosOurs) -> None:
        self._installation = installation
        self.port = installation.port
        self.cookies: Sequence[str] = ()

    def start(self) -> None:
        """It runs already."""

    def stop(self) -> None:
        """It runs on."""

    def pids(self) -> Mapping[str, Sequence[int]]:
        """The same edge and connector."""
        return self._installation.pids()
