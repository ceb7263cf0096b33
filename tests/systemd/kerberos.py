"""
What must hold of Kerberos sign-on by a connector that systemd restrains, with a real domain in its network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

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
from tests.systemd.promises import equal
from tests.systemd.site import CONNECTOR, CONNECTOR_FILE, Site

KEYTAB = "/etc/appproxy/connector.keytab"
CA = "/etc/appproxy/directory-ca.pem"
APPLICATIONS = "/root/kerberos.toml"
NAME = "intranet"
ACCOUNT = "ada"


class Kerberos:
    """An application that knows only Kerberos, published like the others."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._machine = site.machine

    def signs_on(self) -> None:
        """The application sees the account of the user who signed in."""
        page = self._site.sign_in(NAME)
        equal(page.status, 200, page.text)
        assert f"user={ACCOUNT}@{REALM} " in page.text, page.text

    def explains(self) -> None:
        """C{appproxy explain kerberos} finds nothing wrong."""
        self._machine.run("appproxy", "explain", "kerberos", NAME, "--user", USERS[0].mail)


@contextmanager
def with_kerberos(site: Site) -> Iterator[Kerberos]:
    """For a while there is a domain, and the connector has an account in it."""
    machine = site.machine
    domain = DomainController()
    try:
        domain.change(Wanted(accounts=[user(ACCOUNT, upn=USERS[0].mail)]))
        application = KerberosApplication(domain)
        file = machine.path(CONNECTOR_FILE)
        before = file.read_text()
        _give_account(site, domain)
        file.write_text(_connector_toml(before, domain, application))
        machine.run("systemctl", "restart", CONNECTOR)
        site.wait_until_it_serves()
        _publish(site, application)
        try:
            yield Kerberos(site)
        finally:
            file.write_text(before)
            machine.run("systemctl", "restart", CONNECTOR)
            application.stop()
            site.wait_until_it_serves()
    finally:
        domain.remove()


def _give_account(site: Site, domain: DomainController) -> None:
    """The files that docs/kerberos.md asks for, with its owners and modes."""
    machine = site.machine
    machine.path("/etc/krb5.conf").write_text(domain.krb5_config.read_text())
    machine.path(CA).write_bytes(domain.ca_file.read_bytes())
    machine.path(KEYTAB).write_bytes(domain.keytab("connector").read_bytes())
    machine.shell(f"chown root:appproxy-connector {KEYTAB}; chmod 640 {KEYTAB}")


def _connector_toml(before: str, domain: DomainController, application: KerberosApplication) -> str:
    """What there was, and Kerberos."""
    backend = json.dumps(f"127.0.0.1:{application.port}")
    return f"""allowed_sso = ["none", "headers", "passthrough", "kerberos"]
allowed_spns = ["HTTP/*.{DOMAIN}"]
{before.replace("allowed_backends = [", f"allowed_backends = [{backend}, ")}
[directory]
servers = ["{domain.ldaps_url}"]
base = "{BASE}"
ca_file = "{CA}"
[kerberos]
keytab_file = "{KEYTAB}"
principal = "connector$@{REALM}"
"""


def _publish(site: Site, application: KerberosApplication) -> None:
    text = site.machine.path("/root/applications.toml").read_text()
    site.machine.path(APPLICATIONS).write_text(
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
    site.machine.run("appproxy", "apply", "--yes", APPLICATIONS)
