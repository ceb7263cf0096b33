"""
An application that knows only Kerberos: Apache with mod_auth_gssapi, which stands in for IIS.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SkipTest

from appproxy.demo.active_directory.apache import USER, protected, server_conf
from appproxy.demo.active_directory.packages import APPLICATION, MODULE_FOLDER, missing_packages
from appproxy.demo.ports import free_port
from tests.integration.support.active_directory.controller import DomainController, need_active_directory
from tests.integration.support.processes import Running

PAGE: Final = 'user=<!--#echo var="REMOTE_USER" --> auth=<!--#echo var="AUTH_TYPE" -->\n'

PROXYING: Final = ("proxy", "proxy_http", "proxy_wstunnel")
"""Of Apache's modules, for what stands behind C{/socket/}."""

KEYTABS: Final = {"own": ("svc-intranet", "svc-apps"), "stale": ("svc-stale",), "other": ("svc-hr",)}
"""The services whose keys the application has, by what a part of it is about."""

PARTS: Final = {
    "app": ("own", ""),
    "bound": ("own", "GssapiConnectionBound On"),
    "session": (
        "own",
        "GssapiUseSessions On\nSession On\nSessionCookieName app_session path=/session/",
    ),
    "local": ("own", "GssapiLocalName On"),
    "stale": ("stale", ""),
    "other": ("other", ""),
}
"""The first part of a path: keytab, and what is special."""


def need_application() -> None:
    """
    Skip a test where there can be no controller or no Apache for it.

    @raise SkipTest: with the reason.
    """
    need_active_directory()
    if lacking := missing_packages(APPLICATION):
        raise SkipTest(f"not installed: {', '.join(lacking)}")


class KerberosApplication:
    """
    One page, which says who asked, in several parts of the application.

    C{/app/} asks for a token with each request. In C{/bound/} the first one is good for its connection,
    as with IIS's C{authPersistNonNTLM}; in C{/session/} a cookie replaces it. C{/local/} knows the user
    without the realm. C{/socket/} passes WebSockets on to another server, with the user in C{X-Remote-
    User}. C{/stale/} has the service's key of before the last password, C{/other/} only another
    service's.

    @ivar process: it, for whoever watches and ends it.
    @ivar internal_url: where it listens.
    @ivar access_log: one line for each request: the client's port, how often its connection was used before,
        the request line, the status, the user.
    """

    def __init__(self, controller: DomainController, socket_port: int = 0) -> None:
        """
        Start it and wait until it answers.

        @param socket_port: of the server behind C{/socket/}; 0 for none.
        """
        self._socket_port = socket_port
        self.port = free_port()
        self.internal_url = f"http://127.0.0.1:{self.port}/"
        self._folder = controller.folder / f"apache-{self.port}"
        self.access_log = self._folder / "access.log"
        for name in ("htdocs", "replays"):
            (self._folder / name).mkdir(parents=True)
        shutil.chown(self._folder / "replays", USER)
        (self._folder / "htdocs" / "index.html").write_text(PAGE)
        for name, services in KEYTABS.items():
            self._join_keytabs(name, [controller.keytab(each) for each in services])
        config = self._folder / "apache.conf"
        config.write_text(self._config())
        environment = {**controller.environment, "KRB5RCACHEDIR": str(self._folder / "replays")}
        command = ("apache2", "-f", config, "-DFOREGROUND")
        self.process = Running("apache", command, self._folder, environment)
        self.process.wait_for_port(self.port)

    def stop(self) -> None:
        """End it."""
        self.process.stop()

    def _keytab(self, name: str) -> Path:
        return self._folder / f"{name}.keytab"

    def _join_keytabs(self, name: str, sources: list[Path]) -> None:
        """A keytab is two bytes of version, then entries."""
        version = sources[0].read_bytes()[:2]
        path = self._keytab(name)
        path.write_bytes(version + b"".join(each.read_bytes()[2:] for each in sources))
        path.chmod(0o600)
        shutil.chown(path, USER)

    def _config(self) -> str:
        parts = "".join(self._part(name, keytab, special) for name, (keytab, special) in PARTS.items())
        parts += self._socket() if self._socket_port else ""
        site = f"""User {USER}
Group {USER}
LogFormat "%{{remote}}p %k \\"%r\\" %>s %u" test
CustomLog {self.access_log} test
AliasMatch "^/[a-z]+/.*$" {self._folder}/htdocs/index.html
{parts}"""
        return server_conf(self._folder, self.port, site)

    def _socket(self) -> str:
        loaded = "".join(f"LoadModule {each}_module {MODULE_FOLDER}/mod_{each}.so\n" for each in PROXYING)
        passed = f'ProxyPass "ws://127.0.0.1:{self._socket_port}/"'
        user = 'RequestHeader set X-Remote-User "expr=%{REMOTE_USER}"'
        return loaded + protected("/socket/", self._keytab("own"), f"{passed}\n{user}")

    def _part(self, name: str, keytab: str, special: str) -> str:
        special = f'{special}\nHeader always set X-Remote-User "expr=%{{REMOTE_USER}}"'
        return protected(f"/{name}/", self._keytab(keytab), special)
