"""
An Active Directory for one run: a Samba domain controller, whose KDC is as far away as in another town.

Root and some of Debian's packages are needed, and the Python package gssapi for the connector.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from appproxy.demo.active_directory import samba_dc
from appproxy.demo.active_directory.accounts import (
    DOMAIN,
    DONT_EXPIRE_PASSWORD,
    INTRANET,
    TRUSTED_TO_AUTH_FOR_DELEGATION,
    Entry,
    Wanted,
    connector,
    service,
)
from appproxy.demo.active_directory.packages import APPLICATION, CONTROLLER, find_command, missing_packages
from appproxy.demo.certificates import ensure_certificate
from appproxy.demo.ports import free_ports
from bench.clients import ENVIRONMENT, module
from bench.line_options import LineShape
from bench.prepare import install
from bench.processes import BenchError, Process, run
from bench.sessions import user

CONNECTOR_ACCOUNT: Final = "connector$"
SERVICE_ACCOUNT: Final = "svc-intranet"

KDC_LINE: Final = LineShape(round_trip=0.050, rate=1e9)
"""50 ms there and back; a connection costs another round trip."""

_PORTS: Final = (samba_dc.KERBEROS_PORT, samba_dc.LDAP_PORT, samba_dc.LDAPS_PORT)


def prepare() -> None:
    """
    Install what is missing.

    @raise BenchError: where there can be no domain, or no ticket: why.
    """
    if os.geteuid() != 0:
        raise BenchError("a domain controller needs root: its ports cannot be chosen")
    if importlib.util.find_spec("gssapi") is None:
        raise BenchError("the Python package gssapi is not installed: it is built with libkrb5-dev and gcc")
    install(missing_packages({**CONTROLLER, **APPLICATION}))


def people(numbers: Sequence[int]) -> list[Entry]:
    """Accounts for those whom L{bench.sessions.user} signs in. Nobody knows a password of theirs."""
    return [_person(number) for number in numbers]


def _person(number: int) -> Entry:
    principal = user(number)
    name = principal.on_premises_sam_account_name
    attributes = {"userPrincipalName": principal.user_principal_name}
    return Entry(name, DONT_EXPIRE_PASSWORD, attributes, password="")


def wanted(users: int) -> Wanted:
    """So many people, a service, and a connector that may delegate to it alone."""
    return Wanted(
        accounts=(
            *people(range(users)),
            service(SERVICE_ACCOUNT, INTRANET),
            connector(CONNECTOR_ACCOUNT.rstrip("$"), TRUSTED_TO_AUTH_FOR_DELEGATION, [INTRANET]),
        ),
        keytabs={CONNECTOR_ACCOUNT: [CONNECTOR_ACCOUNT], SERVICE_ACCOUNT: [INTRANET]},
        suffixes=[user(0).user_principal_name.rpartition("@")[2]],
    )


class Domain:
    """
    @ivar folder: everything of it; others may enter, for Apache is not root.
    @ivar address: a loopback address of its own.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="appproxy-bench-domain-"))
        self.folder.chmod(0o755)
        self.address = samba_dc.own_address(os.getpid())
        self._processes: list[Process] = []

    def start(self, users: int) -> None:
        """Make it, with so many people in it, and serve it: some ten seconds."""
        for name in samba_dc.FOLDERS:
            (self.folder / name).mkdir(parents=True)
        certificate = self.folder / "tls" / "dc1.pem"
        ensure_certificate(DOMAIN, self.ca_file, certificate, time.time(), [self.address])
        smb_conf = self.folder / "smb.conf"
        smb_conf.write_text(samba_dc.smb_conf(self.folder, self.address, certificate, self.ca_file))
        self._make(smb_conf, users)
        self._serve(smb_conf)
        self._put_away()

    def stop(self) -> None:
        """End it and remove it; it may be called again."""
        while self._processes:
            self._processes.pop().stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def ca_file(self) -> Path:
        """What its LDAP clients trust."""
        return self.folder / "tls" / "ca.pem"

    @property
    def environment(self) -> Mapping[str, str]:
        """For a program whose KDC is to be the one that is far away."""
        return {"KRB5_CONFIG": str(self.folder / "krb5.conf")}

    def keytab(self, account: str) -> Path:
        """Of one of its services."""
        return self.folder / "keytabs" / f"{account}.keytab"

    def _make(self, smb_conf: Path, users: int) -> None:
        provision = samba_dc.provision_command(smb_conf, self.address)
        run(_found(provision), seconds=samba_dc.PROVISION_SECONDS)
        populate = samba_dc.populate_command(smb_conf, self.folder / "keytabs")
        for each in (samba_dc.own_wanted(self.address), wanted(users)):
            run(populate, stdin=json.dumps(each.as_dict()), seconds=samba_dc.CHANGE_SECONDS)

    def _serve(self, smb_conf: Path) -> None:
        process = Process(
            "samba", _found(samba_dc.server_command(smb_conf)), self.folder / "log", elsewhere=True
        )
        self._processes.append(process)
        process.wait_until(lambda: all(map(self._answers, _PORTS)), "served the domain")

    def _answers(self, port: int) -> bool:
        try:
            socket.create_connection((self.address, port), 1).close()
        except OSError:
            return False
        return True

    def _put_away(self) -> None:
        """Let the KDC be far away."""
        (port,) = free_ports(1)
        target = f"{port}:{self.address}:{samba_dc.KERBEROS_PORT}"
        command = (*module("bench.delay_proxy"), *KDC_LINE.arguments(), target)
        process = Process("delay_proxy", command, self.folder / "log", ENVIRONMENT, elsewhere=True)
        self._processes.append(process)
        process.wait_for_port(port)
        (self.folder / "krb5.conf").write_text(samba_dc.krb5_conf("127.0.0.1", port))


def _found(command: Sequence[str]) -> list[str]:
    """The same, with the program's whole path: servers are where only root looks for them."""
    return [find_command(command[0]) or command[0], *command[1:]]
