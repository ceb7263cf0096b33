"""
C{appproxy ca}: the built-in CA, and the one that follows it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from appproxy.cli.client import AdminClient
from appproxy.cli.failures import asks_edge
from appproxy.cli.output import Form, output_option, print_json, print_rows, shown, tell


@click.group()
def ca() -> None:
    """The built-in CA of connectors, relays and edges."""


@ca.command("show", short_help="Show the CA, and who depends on an older one.")
@output_option
@asks_edge
def show_ca(client: AdminClient, output: Form) -> None:
    """Show the CA; while a new one takes over, both, and who still depends on the one before."""
    _print(client.get("ca"), output)


@ca.command("rotate", short_help="Make a new CA, which takes over from the present one.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@asks_edge
def rotate_ca(client: AdminClient, yes: bool, output: Form) -> None:
    """
    Make a new CA, which takes over from the present one.

    Both are trusted from then on. Connectors and relays learn of the new one through their tunnels and
    get certificates of it by themselves; new join tokens name it. Once `appproxy ca show` says that nobody
    depends on the old one, `appproxy ca retire` ends its time. The file of pki.infrastructure_key_file has
    to be in its place, and gets new keys: replace your copy of it, and leave the file there until the old
    one has retired.
    """
    _ask(yes, "Make a new CA?")
    answer = client.order("ca", "rotate")
    _print(answer, output)
    tell("the file of pki.infrastructure_key_file has new keys: replace your copy of it")


@ca.command("retire", short_help="Trust the newest CA alone.")
@click.option("--force", is_flag=True, help="Revoke who still depends on the CA before.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@asks_edge
def retire_ca(client: AdminClient, force: bool, yes: bool, output: Form) -> None:
    """
    Trust the newest CA alone.

    Refused while somebody depends on the one before. With --force they are revoked: each of them has to be
    enrolled with a new token then.
    """
    _ask(yes, "Retire the CA before? What depends on it is revoked." if force else "Retire the CA before?")
    answer = client.order("ca", "retire", "force") if force else client.order("ca", "retire")
    _print(answer, output)
    for name in answer["revoked"]:
        tell(f"revoked {shown(name)}: it needs a new token")


def _ask(yes: bool, question: str) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: give --yes")
    click.confirm(question, abort=True, err=True)


def _print(answer: Mapping[str, Any], output: Form) -> None:
    if output == "json":
        print_json(answer)
        return
    print_rows(answer["authorities"], "table", "")
    if answer["behind"]:
        click.echo("\ndepend on the CA before")
        print_rows(answer["behind"], "table", "")
