"""
C{appproxy connector}, C{appproxy relay}: the way in for a new connector or
relay, and the way out.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from appproxy.cli.client import AdminClient
from appproxy.cli.failures import asks_edge
from appproxy.cli.output import Form, count_of, on_terminal, output_option, print_json, shown, tell
from appproxy.model.units import format_duration, parse_duration

LONGEST_SECONDS: Final = 7 * 86400
"""What the edge allows; a token that lies about longer is an open door."""

_BEFORE: Final = "appproxy enroll --token-file - <<'TOKEN'"
_AFTER: Final = "TOKEN"


class DurationType(click.ParamType[float]):
    """A duration such as C{30m}."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not 0 < seconds <= LONGEST_SECONDS:
            self.fail(f"a join token is valid for {format_duration(LONGEST_SECONDS)} at most", param, ctx)
        return seconds


valid_option = click.option(
    "--valid", type=DurationType(), default="30m", show_default=True, help="For how long: 7d at most."
)
name_option = click.option("--name", default="", help="What the newcomer will be called.")


@click.group()
def connector() -> None:
    """Connectors."""


@click.group()
def relay() -> None:
    """Relays."""


@connector.command("token", short_help="Print a join token for one connector.")
@click.option("--group", required=True, help="The connector group that it will serve.")
@valid_option
@name_option
@output_option
@asks_edge
def connector_token(client: AdminClient, group: str, valid: float, name: str, output: Form) -> None:
    """Print a join token for one connector, and the command to paste there."""
    _make(client, {"role": "connector", "group": group, "name": name, "valid_seconds": valid}, output)


@relay.command("token", short_help="Print a join token for one relay.")
@valid_option
@name_option
@output_option
@asks_edge
def relay_token(client: AdminClient, valid: float, name: str, output: Form) -> None:
    """Print a join token for one relay, and the command to paste there."""
    _make(client, {"role": "relay", "name": name, "valid_seconds": valid}, output)


@connector.command("revoke", short_help="Trust a connector no more.")
@click.argument("name", metavar="NAME")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@asks_edge
def revoke_connector(client: AdminClient, name: str, yes: bool, output: Form) -> None:
    """
    Trust a connector no more: for a machine that was stolen, or is not yours any longer.

    Its tunnels close at once and its certificate is refused from then on. It stays listed; `appproxy delete
    connector` forgets it. To let the machine in again, enrol it with a new token.
    """
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("there is no terminal to ask on: give --yes")
        click.confirm(f"Revoke the connector {name}?", abort=True, err=True)
    answer = client.order("connectors", name, "revoke")
    if output == "json":
        print_json(answer)
    tell(
        f"revoked the connector {shown(answer['name'])}; {count_of(answer['tunnels'], 'tunnel')} of it closed"
    )


@connector.command("drain", short_help="Give a connector no new requests.")
@click.argument("name", metavar="NAME")
@click.option("--undo", is_flag=True, help="Give it requests again.")
@output_option
@asks_edge
def drain_connector(client: AdminClient, name: str, undo: bool, output: Form) -> None:
    """
    Give a connector no new requests: before its machine is taken down, or to see whether it is the culprit.

    What is under way ends by itself, WebSockets too; the other connectors of its group serve what comes. It
    stays so, over restarts of the connector and of the edge, until `--undo`.
    """
    answer = client.order("connectors", name, "undrain" if undo else "drain")
    if output == "json":
        print_json(answer)
    if undo:
        tell(f"the connector {shown(answer['name'])} gets requests again")
        return
    under_way = count_of(answer["streams"], "request")
    tell(f"the connector {shown(answer['name'])} gets no new requests; {under_way} under way")
    if not answer["others"]:
        tell(
            f"no other connector of the group {shown(answer['group'])} serves: its applications are away now"
        )


def _make(client: AdminClient, request: dict[str, object], output: Form) -> None:
    answer = client.post("tokens", request)
    if output == "json":
        print_json({**answer, "command": paste_command(answer["token"])})
        return
    # The token alone goes to stdout, between the lines that make it a command on a terminal.
    role, until = answer["role"], answer["expires_at"]
    tell(f"A join token for one {role}, good until {until}.")
    if not on_terminal():
        tell(f"On the {role}'s machine: appproxy enroll --token-file FILE")
        click.echo(answer["token"])
        return
    tell(f"Paste these lines on the {role}'s machine, as root or as the {role}'s user:\n\n{_BEFORE}")
    click.echo(answer["token"])
    tell(_AFTER)


def paste_command(token: str) -> str:
    """The command for the other machine. The token is in nobody's argument list."""
    return f"{_BEFORE}\n{token}\n{_AFTER}"
