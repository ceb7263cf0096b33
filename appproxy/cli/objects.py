"""
C{appproxy list}, C{show}, C{delete}.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from appproxy.cli.changes import how_live
from appproxy.cli.client import AdminClient
from appproxy.cli.failures import asks_edge
from appproxy.cli.output import Form, output_option, print_json, print_rows, print_settings, tell
from appproxy.model.problems import suggestion

TYPES: Final = ("applications", "connector-groups", "connectors", "sessions", "certificates", "tokens")

_ALIASES: Final = {
    **{name: name for name in TYPES},
    **{name.removesuffix("s"): name for name in TYPES},
    "apps": "applications",
    "app": "applications",
    "groups": "connector-groups",
    "group": "connector-groups",
}


class ObjectType(click.ParamType[str]):
    """The name of a kind of objects: plural, singular, or short."""

    name = "type"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The plural."""
        if value not in _ALIASES:
            there = f"there are {', '.join(TYPES)}"
            self.fail(f'there is no type "{value}"{suggestion(value, _ALIASES) or f"; {there}"}', param, ctx)
        return _ALIASES[value]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The plurals that begin like this."""
        return [CompletionItem(name) for name in TYPES if name.startswith(incomplete)]


type_argument = click.argument("kind", metavar="TYPE", type=ObjectType())
name_argument = click.argument("name", metavar="NAME")


@click.command("list")
@type_argument
@output_option
@asks_edge
def list_objects(client: AdminClient, kind: str, output: Form) -> None:
    """
    List applications, connector-groups, connectors, sessions, certificates or tokens.

    The singular will do, and so will apps and groups.
    """
    print_rows(client.get("objects", kind), output, f"no {kind.replace('-', ' ')}")


@click.command()
@type_argument
@name_argument
@output_option
@asks_edge
def show(client: AdminClient, kind: str, name: str, output: Form) -> None:
    """Show everything of one object: its id or name is NAME, its kind TYPE, as in list."""
    print_settings(client.get("objects", kind, name), output)


@click.command()
@type_argument
@name_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@asks_edge
def delete(client: AdminClient, kind: str, name: str, yes: bool, output: Form) -> None:
    """
    Delete one object. Asks first.

    A connector that is deleted loses its tunnel at once, and its certificate is refused from then on.
    """
    singular = kind.removesuffix("s").replace("-", " ")
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("there is no terminal to ask on: give --yes")
        click.confirm(f"Delete the {singular} {name}?", abort=True, err=True)
    answer = client.delete("objects", kind, name)
    if output == "json":
        print_json(answer)
    tell(f"deleted the {singular} {answer['id']}" + (f"; {how_live(answer)}" if "live" in answer else ""))
