"""
A domain controller: Samba, with its LDAP and Kerberos services alone.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from appproxy.demo.active_directory.packages import CONTROLLER, missing_packages
from appproxy.demo.active_directory.samba_dc import (
    CHANGE_SECONDS,
    FOLDERS,
    HOST,
    KERBEROS_PORT,
    LDAP_PORT,
    LDAPS_PORT,
    PROVISION_SECONDS,
    krb5_conf,
    own_address,
    own_wanted,
    populate_command,
    provision_command,
    server_command,
    smb_conf,
)
from tests.integration.support.active_directory.accounts import DOMAIN, EVERYTHING, Wanted, crowd
from tests.integration.support.active_directory.relay import ADDRESS as RELAY_ADDRESS
from tests.integration.support.active_directory.relay import Relay
from tests.integration.support.case import WORK, shared
from tests.integration.support.certificates import TestAuthority
from tests.integration.support.processes import Running, answers, must_run

ADMINISTRATOR: Final = f"Administrator@{DOMAIN}"
__all__ = [
    "ADMINISTRATOR",
    "KERBEROS_PORT",
    "LDAPS_PORT",
    "LDAP_PORT",
    "DomainController",
    "active_directory",
    "missing",
    "need_active_directory",
    "need_gssapi",
    "use_krb5_config",
]

KEPT: Final = ("private", "state")
"""What a domain consists of."""

_serial = itertools.count()


def missing() -> list[str]:
    """What keeps a controller from running here; nothing where it can."""
    found = [f"package {each}" for each in missing_packages(CONTROLLER)]
    return found if os.geteuid() == 0 else ["root, for LDAP's ports", *found]


def need_active_directory() -> None:
    """
    Skip a test where there can be none.

    @raise SkipTest: with the reason.
    """
    if lacking := missing():
        raise SkipTest(f"a domain controller needs {', '.join(lacking)}")


def need_gssapi() -> None:
    """
    Skip a test where Python has no Kerberos: C{make test} builds it where there is a compiler.

    @raise SkipTest: with the reason.
    """
    if importlib.util.find_spec("gssapi") is None:
        raise SkipTest("not installed: gssapi")


def use_krb5_config(case: SynchronousTestCase, path: Path) -> None:
    """Let Kerberos in this process follow a file, for the time of a test."""
    before = os.environ.get("KRB5_CONFIG")
    os.environ["KRB5_CONFIG"] = str(path)
    case.addCleanup(_restore, before)


def _restore(krb5_config: str | None) -> None:
    if krb5_config is None:
        del os.environ["KRB5_CONFIG"]
    else:
        os.environ["KRB5_CONFIG"] = krb5_config


class DomainController:
    """
    A domain with all of L{EVERYTHING} in it.

    @ivar address: its own loopback address.
    @ivar folder: everything that it writes.
    @ivar authority: issues its certificates.
    @ivar ca_file: what clients of LDAP trust.
    @ivar certificate: with its name and address in it, and a relay's.
    @ivar krb5_config: for the environment variable C{KRB5_CONFIG}.
    @ivar smb_conf_file: its own C{smb.conf}, for Samba's commands.
    @ivar process: while it runs.
    """

    process: Running | None = None

    def __init__(self) -> None:
        """Make the domain and start it: some seconds."""
        self.address = own_address(os.getpid(), next(_serial))
        # Not below the run's folder: Apache's children, who are not root, have to get in.
        self.folder = Path(tempfile.mkdtemp(prefix="appproxy-test-"))
        self.folder.chmod(0o755)
        for name in FOLDERS:
            (self.folder / name).mkdir(parents=True)
        self.authority = TestAuthority(self.folder / "tls")
        self.ca_file = self.authority.ca_file
        self.certificate = self.authority.issue(self.address, HOST, RELAY_ADDRESS)
        self.krb5_config = self.krb5_config_for(self.address, KERBEROS_PORT)
        self.smb_conf_file = self.folder / "smb.conf"
        self._write_smb_conf(self.certificate)
        try:
            self._provision()
            self.change(EVERYTHING)
            self.start()
        except BaseException:
            self.remove()
            raise

    @property
    def environment(self) -> Mapping[str, str]:
        """What a Kerberos client's process needs."""
        return {"KRB5_CONFIG": str(self.krb5_config)}

    @property
    def ldaps_url(self) -> str:
        """LDAP in TLS."""
        return f"ldaps://{self.address}"

    @property
    def ldap_url(self) -> str:
        """For StartTLS."""
        return f"ldap://{self.address}"

    def keytab(self, name: str) -> Path:
        """The keytab of a connector or of a service, by its name without a dollar sign."""
        return self.folder / "keytabs" / f"{name}.keytab"

    def krb5_config_for(self, host: str, port: int) -> Path:
        """Another C{krb5.conf}, for a KDC behind a relay."""
        path = self.folder / f"krb5-{host}-{port}.conf"
        path.write_text(krb5_conf(host, port))
        return path

    def relay(self, port: int = KERBEROS_PORT) -> Relay:
        """A relay before one of its ports; whoever starts it stops it."""
        return Relay(self.address, port)

    def start(self, ports: Sequence[int] = (KERBEROS_PORT, LDAP_PORT, LDAPS_PORT)) -> None:
        """Start, and wait until these listen."""
        process = self.process = Running("samba", server_command(self.smb_conf_file), self.folder / "log")
        for port in ports:
            process.wait_until(partial(answers, port, self.address), f"listens on {port}")

    def stop(self) -> None:
        """Nothing listens any more; the domain stays."""
        if self.process is not None:
            self.process.stop()
            self.process = None

    def restart(self, certificate: Path | None = None, *, tls: bool = True) -> None:
        """
        Stop and start.

        @param certificate: key and chain in one file; its own again unless given.
        @param tls: without, there is no LDAPS, and StartTLS is refused.
        """
        self.stop()
        self._write_smb_conf(certificate or self.certificate, tls=tls)
        self.start((KERBEROS_PORT, LDAP_PORT, LDAPS_PORT) if tls else (KERBEROS_PORT, LDAP_PORT))

    def change(self, wanted: Wanted) -> None:
        """Change the domain, whether it runs or not."""
        command = populate_command(self.smb_conf_file, self.folder / "keytabs")
        must_run(command, stdin=json.dumps(wanted.as_dict()), seconds=CHANGE_SECONDS)

    def set_password(self, sam_account_name: str, password: str) -> None:
        """Keytabs made before hold a stale key from now on."""
        self.change(Wanted(passwords={sam_account_name: password}))

    def change_password(self, sam_account_name: str) -> None:
        """L{set_password}, to one that nobody had before."""
        self.set_password(sam_account_name, f"N3w-{uuid.uuid4()}")

    def renew_keytab(self, name: str) -> None:
        """Write a keytab anew, with the keys of now."""
        self.change(Wanted(keytabs={name: EVERYTHING.keytabs[name]}))

    def add_crowd(self, count: int) -> list[str]:
        """
        Many users.

        @return: their SAM names.
        """
        wanted = crowd(count)
        self.change(wanted)
        return [each.name for each in wanted.accounts]

    def remove(self) -> None:
        """Stop, and leave nothing."""
        self.stop()
        shutil.rmtree(self.folder)

    def _write_smb_conf(self, certificate: Path, *, tls: bool = True) -> None:
        text = smb_conf(self.folder, self.address, certificate, self.ca_file)
        self.smb_conf_file.write_text(text if tls else text.replace("tls enabled = yes", "tls enabled = no"))

    def _provision(self) -> None:
        """
        An empty domain. It takes ten seconds to make, and is the same each time but for random passwords:
        one is kept for later runs.
        """
        version = must_run(("samba", "--version")).strip()
        kept = WORK / f"active-directory-{DOMAIN}-{version.replace(' ', '-')}"
        if not kept.exists():
            self._make_domain()
            self._keep(kept)
        else:
            for name in KEPT:
                shutil.copytree(kept / name, self.folder / name, symlinks=True, dirs_exist_ok=True)
        self.change(own_wanted(self.address))

    def _make_domain(self) -> None:
        must_run(provision_command(self.smb_conf_file, "127.0.0.1"), seconds=PROVISION_SECONDS)

    def _keep(self, kept: Path) -> None:
        """All of it or, if another run does the same at this moment, nothing."""
        WORK.mkdir(exist_ok=True)
        half = Path(tempfile.mkdtemp(dir=WORK, prefix="half-"))
        for name in KEPT:
            shutil.copytree(self.folder / name, half / name, symlinks=True)
        try:
            half.rename(kept)
        except OSError:
            shutil.rmtree(half)


def _make() -> tuple[DomainController, Callable[[], object]]:
    made = DomainController()
    return made, made.remove


active_directory = shared(_make)
"""The domain of this run; a test that changes it changes it back."""
