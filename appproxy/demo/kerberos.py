"""
The demo of Kerberos sign-on: an Active Directory, and an application that knows users by nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appproxy.demo.active_directory import apache, samba_dc
from appproxy.demo.active_directory.accounts import (
    BASE,
    DOMAIN,
    DONT_EXPIRE_PASSWORD,
    INTRANET,
    NETBIOS_NAME,
    NOT_DELEGATED,
    OTHER_SUFFIX,
    REALM,
    TRUSTED_TO_AUTH_FOR_DELEGATION,
    Entry,
    Wanted,
    service,
    user,
)
from appproxy.demo.active_directory.packages import APPLICATION, CONTROLLER, find_command, missing_packages
from appproxy.demo.certificates import ensure_certificate
from appproxy.demo.page import PAGE_HEADERS, DemoPages
from appproxy.demo.plan import GROUP, HEADLINE, LOGIN, PASSWORD, Plan, toml_text
from appproxy.demo.ports import free_port
from appproxy.demo.probe import ProbeFailed
from appproxy.demo.processes import DemoFailed
from appproxy.demo.programs import Programs
from appproxy.demo.provider_data import DemoUser, people_lines

if TYPE_CHECKING:
    from twisted.web.server import Site

APPLICATION_NAME: Final = "intranet"
CONNECTOR_ACCOUNT: Final = "appproxy-svc"
SERVICE_ACCOUNT: Final = "svc-intranet"


def _person(name: str, sam: str, note: str, suffix: str = DOMAIN, user_part: str = "") -> DemoUser:
    mail = f"{user_part or sam}@{suffix}"
    return DemoUser(sam, name, mail, (), PASSWORD, note)


USERS: Final = (
    _person("Alice Able", "alice", f"is {NETBIOS_NAME}\\alice to the application"),
    _person(
        "Bob Smith", "bsmith", f"is {NETBIOS_NAME}\\bsmith to the application", OTHER_SUFFIX, "bob.smith"
    ),
    _person("Sam Sensitive", "sensitive", "is marked sensitive in the directory: refused"),
    _person("Pat Protected", "protected", "is in Protected Users: refused"),
    _person("Dana Admin", "dana", "is a Domain Admin: refused"),
)
REFUSED: Final = USERS[2:]

_FLAGS: Final = {"sensitive": NOT_DELEGATED}
"""Bits of userAccountControl, by SAM name."""

WANTED: Final = Wanted(
    accounts=(
        *(
            user(each.subject, _FLAGS.get(each.subject, 0), upn=each.mail, displayName=each.name)
            for each in USERS
        ),
        service(SERVICE_ACCOUNT, INTRANET),
        Entry(
            CONNECTOR_ACCOUNT,
            DONT_EXPIRE_PASSWORD | TRUSTED_TO_AUTH_FOR_DELEGATION,
            {
                **service(CONNECTOR_ACCOUNT, f"HOST/{CONNECTOR_ACCOUNT}.{DOMAIN}").attributes,
                "msDS-AllowedToDelegateTo": [INTRANET],
            },
        ),
    ),
    groups={"Protected Users": ["protected"], "Domain Admins": ["dana"]},
    keytabs={CONNECTOR_ACCOUNT: [CONNECTOR_ACCOUNT], SERVICE_ACCOUNT: [INTRANET]},
    suffixes=[OTHER_SUFFIX],
)


class Kerberos:
    """
    See L{Kind<appproxy.demo.kind.Kind>}.

    @param now: seconds since the epoch.
    """

    users = USERS

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._folder: Path | None = None
        self._address = samba_dc.own_address(os.getpid())

    @property
    def connector_environment(self) -> Mapping[str, str]:
        """Where the connector's libkrb5 finds the domain controller."""
        return {"KRB5_CONFIG": str(self._path("krb5.conf"))}

    def check(self) -> None:
        """Root is needed, and Debian's packages are."""
        if os.geteuid() != 0:
            raise DemoFailed("this demo needs root: a domain controller's ports cannot be chosen")
        if missing := missing_packages({**CONTROLLER, **APPLICATION}):
            raise DemoFailed(f"not installed: {' '.join(missing)}. make demo-kcd installs what it needs")

    def sites(self, plan: Plan, pages: DemoPages, now: Callable[[], float]) -> Mapping[str, Site]:
        """The application is a program of its own."""
        return {}

    async def start(self, plan: Plan, pages: DemoPages, programs: Programs) -> None:
        """The domain, then the application in it."""
        # Not below the demo's own folder, for that is closed to Apache, which is not root.
        self._folder = Path(tempfile.mkdtemp(prefix="appproxy-demo-kcd-"))
        self._folder.chmod(0o755)
        await self._start_controller(programs)
        plan.services[APPLICATION_NAME] = port = free_port()
        await self._start_application(plan, pages, port, programs)

    def connector_toml(self, plan: Plan) -> str:
        """The connector's own file: one service, and nobody who could harm the domain."""
        return HEADLINE + _CONNECTOR.format(
            identity=toml_text(plan.folder.root / "connector" / "identity"),
            backends=plan.backends(),
            spns=json.dumps([INTRANET]),
            servers=json.dumps([f"ldaps://{self._address}"]),
            base=toml_text(BASE),
            ca=toml_text(self._path("tls", "ca.pem")),
            keytab=toml_text(self._keytab(CONNECTOR_ACCOUNT)),
            principal=toml_text(f"{CONNECTOR_ACCOUNT}@{REALM}"),
            metrics=toml_text(f"127.0.0.1:{plan.metrics[1]}"),
        )

    def applications_toml(self, plan: Plan) -> str:
        """What is published."""
        return HEADLINE + _APPLICATIONS.format(
            group=GROUP,
            external=toml_text(plan.url(APPLICATION_NAME)),
            internal=toml_text(plan.internal(APPLICATION_NAME)),
            spn=toml_text(INTRANET),
            login_external=toml_text(plan.url(LOGIN)),
            login_internal=toml_text(plan.internal(LOGIN)),
        )

    def first_page(self, plan: Plan) -> str:
        """The application's."""
        return plan.url(APPLICATION_NAME)

    def check_first_page(self, content: bytes) -> None:
        """Whether it knows who came."""
        if f"{USERS[0].subject}@{REALM}".encode() not in content:
            raise ProbeFailed("the application was shown no ticket of the user's")

    def ready(self, plan: Plan) -> Mapping[str, str]:
        """Addresses and people."""
        return {
            "app": plan.url(APPLICATION_NAME),
            "user": USERS[0].mail,
            "password": PASSWORD,
            "second_user": USERS[1].mail,
            "refused": ",".join(each.mail for each in REFUSED),
        }

    def friendly_lines(self, plan: Plan, appproxy: str) -> str:
        """The same for a person."""
        return _FRIENDLY.format(
            portal=plan.url("portal"),
            application=plan.url(APPLICATION_NAME),
            people=people_lines(USERS),
            ca=plan.folder.ca,
            appproxy=f"{appproxy} --server {plan.folder.admin}",
            logs=plan.folder.log("edge").parent,
            connector=plan.folder.connector,
            application_id=APPLICATION_NAME,
            refused=REFUSED[0].mail,
        )

    def remove(self) -> None:
        """The domain."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _start_controller(self, programs: Programs) -> None:
        programs.tell(f"Making an Active Directory, {REALM}: this takes some seconds")
        for name in samba_dc.FOLDERS:
            self._path(name).mkdir(parents=True)
        ca, certificate = self._path("tls", "ca.pem"), self._path("tls", "dc1.pem")
        ensure_certificate(DOMAIN, ca, certificate, self._now(), [self._address])
        self._path("krb5.conf").write_text(samba_dc.krb5_conf(self._address, samba_dc.KERBEROS_PORT))
        smb_conf = self._path("smb.conf")
        smb_conf.write_text(samba_dc.smb_conf(self._path(), self._address, certificate, ca))
        provision = _found(samba_dc.provision_command(smb_conf, self._address))
        await programs.run(provision, seconds=samba_dc.PROVISION_SECONDS)
        programs.tell("Filling it with users, groups and services")
        for wanted in (samba_dc.own_wanted(self._address), WANTED):
            command = samba_dc.populate_command(smb_conf, self._path("keytabs"))
            await programs.run(command, json.dumps(wanted.as_dict()), samba_dc.CHANGE_SECONDS)
        programs.tell("Starting the domain controller")
        ports = (samba_dc.KERBEROS_PORT, samba_dc.LDAP_PORT, samba_dc.LDAPS_PORT)
        await programs.start(
            "samba",
            _found(samba_dc.server_command(smb_conf)),
            listens=[(self._address, port) for port in ports],
        )

    async def _start_application(self, plan: Plan, pages: DemoPages, port: int, programs: Programs) -> None:
        programs.tell("Starting the application, which takes Kerberos tickets and nothing else")
        folder = self._path("apache")
        documents, assets = folder / "htdocs", folder / "htdocs" / "assets"
        assets.mkdir(parents=True)
        (documents / "index.html").write_text(page(pages))
        pages.write_assets(assets)
        keytab = folder / "application.keytab"
        shutil.copy(self._keytab(SERVICE_ACCOUNT), keytab)
        configuration = folder / "apache.conf"
        configuration.write_text(apache.server_conf(folder, port, site_conf(folder, keytab)))
        log = plan.folder.log("apache")
        log.touch()
        for path in (folder, keytab, log):
            shutil.chown(path, apache.USER, apache.USER)
        environment = {**self.connector_environment, "KRB5RCACHEDIR": str(folder)}
        command = _found(apache.alone_command(configuration))
        await programs.start("apache", command, environment=environment, listens=[("127.0.0.1", port)])

    def _path(self, *names: str) -> Path:
        assert self._folder is not None
        return self._folder.joinpath(*names)

    def _keytab(self, account: str) -> Path:
        return self._path("keytabs", f"{account}.keytab")


def site_conf(folder: Path, keytab: Path) -> str:
    """The application: one page, which says who asked."""
    headers = "".join(
        f'Header always set {name} "{value}"\n'
        for name, value in PAGE_HEADERS.items()
        if name != "Content-Type"
    )
    realm = REALM.replace(".", r"\.")
    return f"""AliasMatch "^/(?!assets/)" {folder}/htdocs/index.html
RequestHeader set X-Account "expr=%{{REMOTE_USER}}"
RequestHeader edit X-Account "@{realm}$" ""
{headers}{apache.protected("/", keytab)}"""


def page(pages: DemoPages) -> str:
    """The application's page, in which Apache puts the user (mod_include)."""
    return pages.render("kerberos.html", title="Intranet", domain=NETBIOS_NAME, spn=INTRANET)


def _found(command: list[str]) -> list[str]:
    """The same, with the program's whole path."""
    return [find_command(command[0]) or command[0], *command[1:]]


_CONNECTOR: Final = """\
identity = {identity}
allowed_backends = {backends}
allowed_sso = ["none", "kerberos"]
allowed_spns = {spns}
never_impersonate = ["Domain Admins"]
[directory]
servers = {servers}
base = {base}
ca_file = {ca}
[kerberos]
keytab_file = {keytab}
principal = {principal}
[metrics]
listen = {metrics}
[log]
format = "json"
[limits]
drain_timeout = "2s"
"""

_APPLICATIONS: Final = """\
format = 1

[connector_groups.{group}]
name = "Demo"

[applications.intranet]
name = "Intranet"
description = "Takes Kerberos tickets and nothing else"
external_url = {external}
internal_url = {internal}
connector_group = "{group}"
everyone = true
[applications.intranet.sso]
mode = "kerberos"
service_principal_name = {spn}

[applications.login]
name = "Demo sign-in"
external_url = {login_external}
internal_url = {login_internal}
connector_group = "{group}"
pre_authentication = "passthrough"
visible = false
"""

_FRIENDLY: Final = """
The demo is running: an application that knows only Kerberos, opened without it.

    Your applications   {portal}
    Intranet            {application}

Sign in as one of these:

{people}

Your browser does not know the demo's certificate. Trust
    {ca}
(it can vouch for demo.localhost only), or go on past the warning.

To look behind it, in another terminal:

    {appproxy} explain kerberos {application_id} --user {refused}
    {appproxy} trace TRANSACTION-ID      (which ends every page of a refusal)
    cat {connector}

Logs are in {logs}. Press ^C to stop everything.
"""
