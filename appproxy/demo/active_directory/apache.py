"""
An application that knows only Kerberos: Apache with mod_auth_gssapi, which stands in for IIS. Pure.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from appproxy.demo.active_directory.packages import MODULE_FOLDER

USER: Final = "www-data"
"""Whom Apache runs as: it reads the application's keytab."""

LOADED: Final = (
    *("mpm_event", "authn_core", "authz_core", "authz_user", "auth_gssapi", "headers", "include"),
    *("alias", "mime", "env", "session", "session_cookie"),
)

_TYPES: Final = {"text/html": ".html", "text/css": ".css", "text/javascript": ".js", "image/svg+xml": ".svg"}


def server_conf(folder: Path, port: int, site: str) -> str:
    """
    Apache's configuration.

    @param folder: with C{htdocs} in it; everything that Apache writes goes there, too.
    @param port: on 127.0.0.1.
    @param site: what is special about this application.
    """
    loaded = "".join(f"LoadModule {each}_module {MODULE_FOLDER}/mod_{each}.so\n" for each in LOADED)
    types = "".join(f"AddType {kind} {suffix}\n" for kind, suffix in _TYPES.items())
    return f"""ServerRoot {folder}
ServerName intranet
PidFile {folder}/apache.pid
DefaultRuntimeDir {folder}
Listen 127.0.0.1:{port}
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
{loaded}
ErrorLog /dev/stderr
LogLevel warn auth_gssapi:info
StartServers 1
ServerLimit 4
ThreadsPerChild 64
MaxRequestWorkers 256
TypesConfig /dev/null
{types}DocumentRoot {folder}/htdocs
<Directory {folder}/htdocs>
Options +Includes
AddOutputFilter INCLUDES .html
Require all denied
</Directory>
{site}"""


def protected(path: str, keytab: Path, special: str = "") -> str:
    """A part of the site that asks for a ticket."""
    return f"""<Location "{path}">
AuthType GSSAPI
AuthName "Integrated Windows Authentication"
GssapiCredStore keytab:{keytab}
{special}
Require valid-user
</Location>
"""


def alone_command(configuration: Path) -> list[str]:
    """
    One process without children or a master, so that it cannot outlive who started it.

    It is L{USER} from the beginning: the kernel forgets whose death a process is to share when it
    becomes somebody else.
    """
    whom = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--pdeathsig=KILL"]
    return ["setpriv", *whom, "apache2", "-f", str(configuration), "-X"]
