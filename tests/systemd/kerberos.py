"""
What must hold of Kerberos sign-on by a connector that systemd restrains, with a real domain in its network.
"""

from __future__ import annotations

import json

from appproxy.demo.plan import GROUP
from appproxy.demo.samples import USERS
from tests.integration.support.active_directory.accounts import (
    BASE,
    DOMAIN,
    INTRANET,
    REALM,
    Wanted,
    user,
)
from tests.integration.support.active_directory.application import KerberosApplication
from tests.integration.support.active_directory.controller import DomainController
from tests.systemd.promises import Verdicts, equal
from tests.systemd.site import CONNECTOR, CONNECTOR_FILE, Site

KEYTAB = "/etc/appproxy/connector.keytab"
CA = "/etc/appproxy/directory-ca.pem"
DROP_INS = f"/etc/systemd/system/{CONNECTOR}.service.d"
PUBLISHED = "/root/applications.toml"
WITH_KERBEROS = "/root/kerberos.toml"
NAME = "intranet"
ACCOUNT = "ada"


class Kerberos:
    """An application that knows only Kerberos, published like the others; for a while there is a domain."""

    def __init__(self, site: Site, domain: DomainController) -> None:
        self._site = site
        self._domain = domain
        self._machine = site.machine
        self._file = site.machine.path(CONNECTOR_FILE)
        self._before = self._file.read_text()

    def is_set_up(self) -> None:
        """The connector starts with an account of the domain, by the files and modes of docs/kerberos.md."""
        self._domain.change(Wanted(accounts=[user(ACCOUNT, upn=USERS[0].mail)]))
        self._application = KerberosApplication(self._domain)
        _give_account(self._site, self._domain)
        self._file.write_text(_connector_toml(self._before, self._domain, self._application))
        checked = ("appproxy", "check", CONNECTOR_FILE, "--online")
        found = self._machine.run("env", "CREDENTIALS_DIRECTORY=/etc/appproxy", *checked)
        equal({line.split()[0] for line in found.splitlines()}, {"ok"}, found)
        self._machine.shell(f"systemctl daemon-reload; systemctl restart {CONNECTOR}")
        _publish(self._site, self._application)
        self._site.wait_until_it_serves()

    def signs_on(self) -> None:
        """The application sees the account of the user who signed in."""
        page = self._site.browser.open(self._site.url(NAME))
        equal(page.status, 200, page.text)
        assert f"user={ACCOUNT}@{REALM} " in page.text, page.text

    def explains(self) -> None:
        """C{appproxy explain kerberos} finds nothing wrong."""
        self._machine.run("appproxy", "explain", "kerberos", NAME, "--user", USERS[0].mail)

    def is_left(self) -> None:
        """Without the domain, all is as it was."""
        self._machine.run("appproxy", "apply", "--yes", "--prune", PUBLISHED)
        self._file.write_text(self._before)
        self._machine.shell(f"rm -r {DROP_INS}; systemctl daemon-reload; systemctl restart {CONNECTOR}")
        self._application.stop()
        self._site.wait_until_it_serves()


def try_kerberos(site: Site, verdicts: Verdicts) -> None:
    """Its promises, with a domain of their own."""
    domain = DomainController()
    try:
        verdicts.try_all("package: Kerberos", Kerberos(site, domain))
    finally:
        domain.remove()


def _give_account(site: Site, domain: DomainController) -> None:
    """The files that docs/kerberos.md asks for, with its owners and modes."""
    machine = site.machine
    machine.path("/etc/krb5.conf").write_text(domain.krb5_config.read_text())
    machine.path(CA).write_bytes(domain.ca_file.read_bytes())
    machine.path(KEYTAB).write_bytes(domain.keytab("connector").read_bytes())
    machine.path(KEYTAB).chmod(0o600)
    machine.path(DROP_INS).mkdir(exist_ok=True)
    machine.path(f"{DROP_INS}/kerberos.conf").write_text(
        f"[Service]\nLoadCredential=connector.keytab:{KEYTAB}\n"
    )


def _connector_toml(before: str, domain: DomainController, application: KerberosApplication) -> str:
    """What there was, and Kerberos."""
    backend = json.dumps(f"127.0.0.1:{application.port}")
    return f"""allowed_sso = ["none", "headers", "kerberos"]
allowed_spns = ["HTTP/*.{DOMAIN}"]
{before.replace("allowed_backends = [", f"allowed_backends = [{backend}, ")}
[directory]
servers = ["{domain.ldaps_url}"]
base = "{BASE}"
ca_file = "{CA}"
[kerberos]
keytab_file = "credential:connector.keytab"
principal = "connector$@{REALM}"
"""


def _publish(site: Site, application: KerberosApplication) -> None:
    text = site.machine.path(PUBLISHED).read_text()
    site.machine.path(WITH_KERBEROS).write_text(
        f"""{text}
[applications.{NAME}]
name = "Intranet"
external_url = "{site.url(NAME)}"
connector_group = "{GROUP}"
internal_url = "{application.internal_url}app/"
everyone = true
[applications.{NAME}.sso]
mode = "kerberos"
service_principal_name = "{INTRANET}"
"""
    )
    site.machine.run("appproxy", "apply", "--yes", WITH_KERBEROS)
