"""
A domain controller: Samba, with its LDAP and Kerberos services alone. Pure.

Root is needed: LDAP's ports cannot be chosen. So each controller has a loopback address to itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from appproxy.demo.active_directory.accounts import DOMAIN, NETBIOS_NAME, PASSWORD, REALM, Wanted

HOST: Final = f"dc1.{DOMAIN}"
KERBEROS_PORT, LDAP_PORT, LDAPS_PORT = 88, 389, 636
FOLDERS: Final = (
    *("private", "state", "cache", "lock", "run", "log", "ncalrpc", "keytabs", "tls"),
    f"state/sysvol/{DOMAIN}/scripts",
)
"""What has to be there before the domain is made."""

POPULATE: Final = Path(__file__).with_name("populate.py")
DEBIANS_PYTHON: Final = "/usr/bin/python3"

PROVISION_SECONDS: Final = 300.0
"""To make the domain, at most: some seconds, or minutes where many others want the same processors."""

CHANGE_SECONDS: Final = 300.0
"""To change it, at most."""

Command = list[str]


def own_address(pid: int, number: int = 0) -> str:
    """
    A loopback address that no other process's controllers have.

    @param pid: of the process that starts the controller.
    @param number: which one of its controllers it is.
    """
    return f"127.{64 + (pid >> 16) % 64 + 64 * (number % 2)}.{pid >> 8 & 255}.{pid & 255}"


def krb5_conf(host: str, port: int) -> str:
    """A client's settings, for a KDC there."""
    return f"""[libdefaults]
    default_realm = {REALM}
    dns_lookup_realm = false
    dns_lookup_kdc = false
    dns_canonicalize_hostname = false
    rdns = false
    forwardable = true
    udp_preference_limit = 1
[realms]
    {REALM} = {{
        kdc = {host}:{port}
    }}
[domain_realm]
    .{DOMAIN} = {REALM}
    {DOMAIN} = {REALM}
"""


def smb_conf(folder: Path, address: str, certificate: Path, ca_file: Path) -> str:
    """
    As strict about binds as Windows is by default: simple ones need TLS, SASL signing or TLS.

    Nothing waits for the disk (C{nosync}), which takes most of the time: the domain is no loss.

    @param folder: has all of L{FOLDERS}.
    @param certificate: key and chain in one file.
    """
    return f"""[global]
    netbios name = DC1
    realm = {REALM}
    workgroup = {NETBIOS_NAME}
    server role = active directory domain controller
    server services = ldap, kdc
    interfaces = {address}/8
    bind interfaces only = yes
    tls enabled = yes
    tls cafile = {ca_file}
    tls certfile = {certificate}
    tls keyfile = {certificate}
    ldap server require strong auth = allow_sasl_over_tls
    include system krb5 conf = no
    ldb:nosync = yes
    usershare path =
    private dir = {folder}/private
    state directory = {folder}/state
    cache directory = {folder}/cache
    lock directory = {folder}/lock
    pid directory = {folder}/run
    ncalrpc dir = {folder}/ncalrpc
    binddns dir = {folder}/bind-dns
    winbindd socket directory = {folder}/run/winbindd
    ntp signd socket directory = {folder}/run/ntp_signd
    log file = {folder}/log/samba.log
[sysvol]
    path = {folder}/state/sysvol
    read only = no
[netlogon]
    path = {folder}/state/sysvol/{DOMAIN}/scripts
    read only = no
"""


def provision_command(smb_conf_file: Path, address: str) -> Command:
    """What makes the domain, with nobody in it."""
    command = ["samba-tool", "domain", "provision", "-s", str(smb_conf_file), "--quiet"]
    domain = [f"--realm={REALM}", f"--domain={NETBIOS_NAME}", "--host-name=dc1", f"--host-ip={address}"]
    return [*command, *domain, "--server-role=dc", "--dns-backend=NONE"]


def populate_command(smb_conf_file: Path, keytabs: Path) -> Command:
    """What makes of the domain what standard input says: L{Wanted} as JSON."""
    return [DEBIANS_PYTHON, str(POPULATE), str(smb_conf_file), str(keytabs)]


def server_command(smb_conf_file: Path) -> Command:
    """What serves it: one process."""
    return ["samba", "-s", str(smb_conf_file), "--interactive", "--model=single", "--debug-stdout"]


def own_wanted(address: str) -> Wanted:
    """
    What a controller needs besides what it was made with.

    No task of Samba's that would register its names runs here; a client that binds with Kerberos asks
    for the name or address that it dials.
    """
    names = [f"ldap/{each}" for each in (HOST, f"{HOST}/{DOMAIN}", address)]
    return Wanted(service_names={"DC1$": names}, passwords={"Administrator": PASSWORD})
