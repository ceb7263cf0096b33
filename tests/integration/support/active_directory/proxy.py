"""
An HTTP proxy that asks for a ticket: Apache with mod_proxy_connect and mod_auth_gssapi.
"""

from __future__ import annotations

import shutil
from typing import Final

from appproxy.demo.active_directory.apache import USER, server_conf
from appproxy.demo.active_directory.packages import MODULE_FOLDER
from appproxy.demo.ports import free_port
from tests.integration.support.active_directory.controller import DomainController
from tests.integration.support.processes import Running

MODULES: Final = ("proxy", "proxy_connect")


class KerberosProxy:
    """
    Lets whoever shows a ticket through to one port.

    @ivar process: it, for whoever watches and ends it.
    @ivar port: on 127.0.0.1, where it is called C{localhost}.
    """

    def __init__(self, controller: DomainController, target_port: int) -> None:
        """Start it and wait until it answers."""
        self.port = free_port()
        self._folder = controller.folder / f"proxy-{self.port}"
        self._access_log = self._folder / "access.log"
        for name in ("htdocs", "replays"):
            (self._folder / name).mkdir(parents=True)
        shutil.chown(self._folder / "replays", USER)
        keytab = self._folder / "proxy.keytab"
        shutil.copy(controller.keytab("svc-proxy"), keytab)
        keytab.chmod(0o600)
        shutil.chown(keytab, USER)
        config = self._folder / "apache.conf"
        loaded = "".join(f"LoadModule {each}_module {MODULE_FOLDER}/mod_{each}.so\n" for each in MODULES)
        site = f"""{loaded}User {USER}
Group {USER}
LogFormat "%>s %u %r" test
CustomLog {self._access_log} test
ProxyRequests On
AllowCONNECT {target_port}
<Proxy "*">
AuthType GSSAPI
AuthName "Way out"
GssapiCredStore keytab:{keytab}
Require valid-user
</Proxy>
"""
        config.write_text(server_conf(self._folder, self.port, site))
        environment = {**controller.environment, "KRB5RCACHEDIR": str(self._folder / "replays")}
        command = ("apache2", "-f", config, "-DFOREGROUND")
        self.process = Running("apache", command, self._folder, environment)
        self.process.wait_for_port(self.port)

    def asked(self) -> list[tuple[str, str, str]]:
        """Status, user and request line of each connection that has ended."""
        lines = self._access_log.read_text().splitlines()
        return [(status, user, rest) for status, user, rest in (line.split(" ", 2) for line in lines)]
