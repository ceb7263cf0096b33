"""
C{appproxy enroll}: makes this machine a connector or relay, with a join token.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from appproxy.cli.failures import FAILED, SERVER_AWAY, failed, problems_found
from appproxy.cli.output import shown, tell
from appproxy.config.connector import ConnectorSettings, load_connector
from appproxy.config.relay import RelaySettings, load_relay
from appproxy.connector.way_out import NoWayOut, blocking_way_out
from appproxy.pki.enrolment_client import EnrolmentFailed, WrongAuthority, enroll
from appproxy.pki.enrolment_messages import EnrolmentRefused, is_name
from appproxy.pki.identity import Identity
from appproxy.pki.join_token import MAXIMUM_TOKEN_LENGTH, BadToken, JoinToken, parse_token
from appproxy.transport.connect_proxy import ConnectProxy

CONFIGURATION: Final = {
    "connector": Path("/etc/appproxy/connector.toml"),
    "relay": Path("/etc/appproxy/relay.toml"),
}
CONFIG_HELP: Final = "The newcomer's own file.  [default: /etc/appproxy/connector.toml, or relay.toml]"

_REFUSALS: Final = {
    "token_unknown": "the edge does not know this token, or its time is over; make a new one there",
    "token_used": "this token was used by another machine, or here before; make a new one at the edge",
    "issuer_away": "the infrastructure issuer's key is not at the edge now; put it in place, and try again",
    "unavailable": "the edge cannot enrol anybody now; try again, and look at its log",
}


@click.command("enroll")
@click.option("--config", type=click.Path(path_type=Path), help=CONFIG_HELP)
@click.option("--token-file", metavar="FILE|-", help="Where the join token is; else it is asked for.")
def enroll_command(config: Path | None, token_file: str | None) -> None:
    """
    Make this machine a connector or relay.

    The join token comes from `appproxy connector token` or `appproxy relay token` at the edge.
    """
    token = _token(token_file)
    if token.role not in CONFIGURATION:
        raise failed(f"this token makes an {token.role}; enroll is for connectors and relays")
    path = config or CONFIGURATION[token.role]
    settings = _settings(token.role, path)
    directory = settings.identity
    owner = _owner(directory)
    identity = _enroll(token, directory, _proxy(settings, owner[0]))
    _give(directory, owner)
    tell(_next_step(identity, path))


def _token(token_file: str | None) -> JoinToken:
    try:
        return parse_token(_token_text(token_file))
    except BadToken as error:
        raise failed(str(error)) from None
    except OSError as error:
        raise failed(f"{token_file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise failed(f"{token_file} holds no join token") from None


def _token_text(token_file: str | None) -> str:
    if token_file == "-":
        return sys.stdin.read(MAXIMUM_TOKEN_LENGTH + 1)
    if token_file is not None:
        with open(token_file, encoding="ascii") as file:
            return file.read(MAXIMUM_TOKEN_LENGTH + 1)
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: give --token-file")
    return str(click.prompt("Join token (it is not shown)", hide_input=True, err=True))


def _settings(role: str, path: Path) -> ConnectorSettings | RelaySettings:
    environment: Mapping[str, str] = os.environ
    settings = load_relay(path, environment) if role == "relay" else load_connector(path, environment)
    if isinstance(settings, list):
        raise problems_found(settings)
    return settings


def _proxy(settings: ConnectorSettings | RelaySettings, owner: int) -> ConnectProxy | None:
    """Relays stand where connectors can dial them: they need no way out."""
    if isinstance(settings, RelaySettings):
        return None
    try:
        return blocking_way_out(settings, owner)
    except NoWayOut as error:
        raise failed(str(error)) from None


def _enroll(token: JoinToken, directory: Path, proxy: ConnectProxy | None) -> Identity:
    try:
        return enroll(token, directory, _own_name(), proxy=proxy)
    except EnrolmentRefused as error:
        raise failed(_REFUSALS.get(error.reason, f"the edge refuses: {error.reason}")) from None
    except WrongAuthority as error:
        raise failed(f"nothing was sent: {error}", FAILED) from None
    except EnrolmentFailed as error:
        raise failed(f"no edge could be asked: {error}", SERVER_AWAY) from None
    except OSError as error:
        raise failed(f"the identity cannot be written to {directory}: {error}") from None


def _own_name() -> str:
    """This machine's name, as a suggestion."""
    name = socket.gethostname().partition(".")[0]
    return name if is_name(name) else ""


def _owner(directory: Path) -> tuple[int, int]:
    """Who owns the nearest folder above that exists: the daemon, where its state folder was made for it."""
    for above in directory.absolute().parents:
        if above.exists():
            status = above.stat()
            return status.st_uid, status.st_gid
    return os.geteuid(), os.getegid()


def _give(directory: Path, owner: tuple[int, int]) -> None:
    """Root enrols for the daemon's user, who has to read the identity."""
    if os.geteuid() != 0:
        return
    for path in (directory, *directory.iterdir()):
        os.chown(path, *owner, follow_symlinks=False)


def _next_step(identity: Identity, path: Path) -> str:
    group = f" in the group {shown(identity.group)}" if identity.group else ""
    role = identity.role
    start = f"twistd -n appproxy-{role} --config {path}"
    if path == CONFIGURATION[role]:
        start = f"systemctl enable --now appproxy-{role}"
    return f"Enrolled as {role} {shown(identity.name)}{group}.\nStart it:  {start}"
