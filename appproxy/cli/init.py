"""
C{appproxy init}: the first edge.toml, its state, and what to do next.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from appproxy.config.common import file_context, parse_settings
from appproxy.config.edge import STATE, EdgeSettings
from appproxy.model.problems import Problem
from appproxy.pki.authority import make_infrastructure_keys
from appproxy.transport.addresses import ListenAddress

DEFAULT_CONFIG: Final = Path("/etc/appproxy/edge.toml")
SYSTEM_USER: Final = "appproxy-edge"
HTTPS_PORT: Final = 443
_OF_SYSTEMD: Final = ('https = ["systemd:https"]', 'http = ["systemd:http"]')


@dataclass(frozen=True)
class Choices:
    """
    What the administrator said.

    @ivar state: the folder for store and keys.
    @ivar listen: the https listener.
    """

    domain: str
    issuer: str
    client_id: str
    config: Path
    state: Path
    listen: str

    @property
    def is_system_wide(self) -> bool:
        """Whether this is the edge of C{/etc}, run by systemd as a user of its own."""
        return self.config == DEFAULT_CONFIG


@click.command()
@click.option("--domain", required=True, help="The hosts of the edge stand below it: apps.example.com")
@click.option("--issuer", required=True, help="The OpenID Connect provider, as it calls itself.")
@click.option("--client-id", required=True, help="What the provider calls us.")
@click.option("--config", type=click.Path(path_type=Path), default=DEFAULT_CONFIG, show_default=True)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help=f"Folder for store and keys.  [default: {STATE}, or state/ beside another --config]",
)
@click.option("--listen", default=f":{HTTPS_PORT}", show_default=True, help="The https listener.")
def init(domain: str, issuer: str, client_id: str, config: Path, state: Path | None, listen: str) -> None:
    """Write edge.toml, make the state folder, and say what to do next."""
    default_state = STATE if config == DEFAULT_CONFIG else config.parent / "state"
    choices = Choices(domain, issuer, client_id, config, state or default_state, listen)
    text = config_text(choices)
    found = parse_settings(EdgeSettings, text, str(config), file_context(config.parent, {}))
    if isinstance(found, list):
        raise click.UsageError("\n".join(_without_place(problem) for problem in found))
    try:
        write(choices, text, found)
    except FileExistsError:
        raise click.ClickException(f"{config} is there already; nothing was changed") from None
    except OSError as error:
        raise click.ClickException(f"{error.filename or config}: {error.strerror or error}") from None
    click.echo(advice(choices, found))


def _without_place(problem: Problem) -> str:
    return f"{problem.key_path}: {problem.message}"


def config_text(choices: Choices) -> str:
    """The file: what was said, and what differs from the defaults."""
    lines = [
        "# Every other key, with its default: the example edge.toml and docs/settings.md.",
        "",
        f"domain = {_quoted(choices.domain)}",
        "",
    ]
    if choices.listen != f":{HTTPS_PORT}":
        lines += ["[listen]", f"https = [{_quoted(choices.listen)}]", "http = []", ""]
    elif choices.is_system_wide:
        lines += ["[listen]    # the ports of the socket units", *_OF_SYSTEMD, ""]
    if not choices.is_system_wide:
        lines += ["[tls]", 'certificates = ["certificates"]', ""]
    lines += [
        "[sign_in]",
        f"issuer = {_quoted(choices.issuer)}",
        f"client_id = {_quoted(choices.client_id)}",
        f"client_secret_file = {_quoted(_secret(choices))}",
        "",
    ]
    return "\n".join(lines + ([] if choices.is_system_wide else _own_places(choices)))


def _own_places(choices: Choices) -> list[str]:
    """Paths of an edge that is not the system's, run by whoever made it."""
    state = str(choices.state.absolute())
    group = grp.getgrgid(os.getgid()).gr_name
    return [
        "[store]",
        f"url = {_quoted(f'sqlite:{state}/store.sqlite3')}",
        f"key_file = {_quoted(f'{state}/store.key')}",
        "",
        "[pki]",
        f"infrastructure_key_file = {_quoted(f'{state}/infrastructure.key')}",
        "",
        "[admin]",
        f"listen = {_quoted(f'unix:{state}/admin.sock')}",
        f"group = {_quoted(group)}",
        "",
    ]


def _secret(choices: Choices) -> str:
    return "credential:oidc-client-secret" if choices.is_system_wide else "oidc-client-secret"


def _quoted(text: str) -> str:
    """JSON's strings are TOML's basic strings."""
    return json.dumps(text)


def write(choices: Choices, text: str, settings: EdgeSettings) -> None:
    """
    Make file, state and the CA's offline key; an existing file is left as it is.

    @raise FileExistsError: if there is a file already.
    @raise OSError: if something cannot be written.
    """
    choices.config.parent.mkdir(parents=True, exist_ok=True)
    with choices.config.open("x", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o640)
        file.write(text)
    choices.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_infrastructure_keys(settings.pki.infrastructure_key_file)
    for folder in settings.tls.certificates:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    if choices.is_system_wide and os.geteuid() == 0:
        _give_to_daemon(choices, settings)


def _give_to_daemon(choices: Choices, settings: EdgeSettings) -> None:
    """What the edge's own user reads, or keeps."""
    if not _has_system_user():
        return
    for path in (choices.config, *settings.tls.certificates):
        shutil.chown(path, group=SYSTEM_USER)
    for path in (choices.state, settings.pki.infrastructure_key_file):
        shutil.chown(path, SYSTEM_USER, SYSTEM_USER)


def advice(choices: Choices, settings: EdgeSettings) -> str:
    """DNS lines, addresses to register, and the next commands."""
    port = _port_in_urls(choices.listen)
    folder = settings.tls.certificates[0]
    auth = f"https://{settings.hosts.auth}{port}/.appproxy"
    return f"""\
Wrote {choices.config}. What is left to do:

1. DNS: one line for all hosts of the edge.
     *.{settings.domain}.  A  <address of this edge>

2. Register at {choices.issuer} (docs/identity-providers.md), with the client id {choices.client_id}:
     redirect URI              {auth}/callback
     post-logout redirect URI  {auth}/signed-out

3. Paste the client secret into a file that is readable by you alone, then ^D:
     (umask 077; cat > {choices.config.parent / "oidc-client-secret"})

4. Put a certificate for *.{settings.domain}, one PEM file with chain and key, into its folder:
     install -m {_mode_of_certificate(choices)} FILE.pem {folder}/

5. Keep a copy of {settings.pki.infrastructure_key_file} off this machine.

{_start(choices, settings)}"""


def _port_in_urls(listen: str) -> str:
    address = ListenAddress.parse(listen)
    return "" if address.kind != "tcp" or address.port == HTTPS_PORT else f":{address.port}"


def _mode_of_certificate(choices: Choices) -> str:
    """The daemon's user reads it by its group."""
    return f"640 -g {SYSTEM_USER}" if choices.is_system_wide else "600"


def _start(choices: Choices, settings: EdgeSettings) -> str:
    check = f"appproxy check {choices.config} --online"
    if not choices.is_system_wide:
        return f"""\
Next: {check}
Then: twistd -n appproxy-edge --config {choices.config}
      export APPPROXY_SERVER={settings.admin.listen}    # in every other terminal"""
    lines = [f"Next: {check}", "Then: systemctl enable --now appproxy-edge"]
    if not _has_system_user():
        lines.insert(
            0, f"There is no user {SYSTEM_USER} yet: run `sh etc/install` first, as README.md says.\n"
        )
    return "\n".join(lines)


def _has_system_user() -> bool:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return False
    return True
