"""
The application behind Kerberos sign-on: an Apache with mod_auth_gssapi, and the same files without it.
"""

from __future__ import annotations

import os
import re
import shutil
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from appproxy.demo.active_directory.apache import USER, protected, server_conf
from appproxy.demo.active_directory.packages import MODULE_FOLDER, find_command
from appproxy.demo.ports import free_ports
from bench.domain import SERVICE_ACCOUNT, Domain
from bench.origin import SIZES
from bench.processes import Process

SIZE: Final = "1k"

_SITE: Final = """\
User {user}
Group {user}
LoadModule status_module {modules}/mod_status.so
ExtendedStatus On
StartServers 4
MaxSpareThreads 256
# Connections that wait for their user's next request need no thread.
AsyncRequestWorkerFactor 8
AliasMatch "^/{size}/" {folder}/htdocs/{size}
<Directory {folder}/htdocs>
Require all granted
</Directory>
<Location "/status">
SetHandler server-status
</Location>
Listen 127.0.0.1:{kerberos_port}
<VirtualHost 127.0.0.1:{kerberos_port}>
{protected}</VirtualHost>
"""


class KerberosOrigin:
    """
    See L{bench.system.Application}.

    @ivar port: where it asks nobody who they are.
    @ivar kerberos_port: where each request needs a ticket, which is checked.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._folder = domain.folder / "apache"
        self._process: Process | None = None
        self.port, self.kerberos_port = free_ports(2)

    def start(self) -> None:
        """Serve 1 KB, on both ports."""
        documents = self._folder / "htdocs"
        documents.mkdir(parents=True)
        (documents / SIZE).write_bytes(os.urandom(SIZES[SIZE]))
        keytab = self._folder / "application.keytab"
        shutil.copy(self._domain.keytab(SERVICE_ACCOUNT), keytab)
        shutil.chown(keytab, USER, USER)
        configuration = self._folder / "apache.conf"
        configuration.write_text(server_conf(self._folder, self.port, self._site(keytab)))
        # A replay cache on the disk would make the application the narrowest place of all.
        environment = {**self._domain.environment, "KRB5RCACHENAME": "none:"}
        program = find_command("apache2") or "apache2"
        command = (program, "-f", configuration, "-DFOREGROUND")
        log = self._domain.folder / "log"
        self._process = Process("apache", command, log, environment, elsewhere=True)
        self._process.wait_for_port(self.kerberos_port)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop()

    def pids(self) -> Sequence[int]:
        """Its processes."""
        return self._process.pids if self._process is not None else []

    def requests(self) -> int:
        """How many requests both ports have answered so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status?auto", timeout=10) as answer:
            found = re.search(r"^Total Accesses: (\d+)$", answer.read().decode(), re.MULTILINE)
        assert found is not None, "Apache's status has another form"
        return int(found[1])

    def _site(self, keytab: Path) -> str:
        return _SITE.format(
            user=USER,
            modules=MODULE_FOLDER,
            size=SIZE,
            folder=self._folder,
            kerberos_port=self.kerberos_port,
            protected=protected("/", keytab),
        )
