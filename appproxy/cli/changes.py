"""
C{appproxy plan}, C{apply}, C{export}.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from appproxy.cli.client import AdminClient, Refused
from appproxy.cli.failures import CHANGES, asks_edge, problems_found
from appproxy.cli.files import Text, read_texts
from appproxy.cli.output import Form, count_of, output_option, print_json, shown, tell
from appproxy.model.problems import Problem

_SIGNS = {"create": ("+", "green"), "update": ("~", "yellow"), "delete": ("-", "red")}

files_argument = click.argument("files", nargs=-1, required=True, metavar="FILE...")
prune_option = click.option("--prune", is_flag=True, help="Remove what FILE does not name.")


@click.command()
@files_argument
@prune_option
@click.option("--exit-code", is_flag=True, help="Exit with 10 if there are changes.")
@output_option
@asks_edge
def plan(client: AdminClient, files: Sequence[str], prune: bool, exit_code: bool, output: Form) -> None:
    """
    Show what apply would change.

    FILE may be several, a folder, or - for standard input.
    """
    answer = ask_plan(client, _request(files, prune), output)
    print_json(answer) if output == "json" else print_changes(answer["changes"])
    if answer["changes"] and exit_code:
        raise click.exceptions.Exit(CHANGES)


@click.command()
@files_argument
@prune_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@asks_edge
def apply(client: AdminClient, files: Sequence[str], prune: bool, yes: bool, output: Form) -> None:
    """
    Publish what FILE says: all of it, or nothing.

    Shows the changes and asks first. What FILE does not name stays, unless --prune is given.
    """
    if not yes and ("-" in files or not sys.stdin.isatty()):
        raise click.UsageError("there is no terminal to ask on: give --yes")
    request = _request(files, prune)
    planned = ask_plan(client, request, output)
    if output == "table":
        print_changes(planned["changes"])
    if planned["changes"] and not yes:
        click.confirm(f"Make {count_of(len(planned['changes']), 'change')}?", abort=True, err=True)
    answer = client.post("apply", {**request.body, "revision": planned["revision"]})
    if output == "json":
        print_json(answer)
    if answer["changes"]:
        tell(_made(answer))


@click.command()
@asks_edge
def export(client: AdminClient) -> None:
    """Print the whole catalog as a file that apply reads."""
    click.echo(client.get("export")["text"], nl=False)


class _Request:
    """
    What is sent of some files, and what could not be read of them here.
    """

    def __init__(self, texts: Sequence[Text | Problem], prune: bool) -> None:
        self.problems = tuple(each for each in texts if isinstance(each, Problem))
        files = [{"name": each.name, "text": each.content} for each in texts if isinstance(each, Text)]
        self.body: Mapping[str, Any] = {"files": files, "prune": prune}


def _request(files: Sequence[str], prune: bool) -> _Request:
    return _Request(read_texts(files), prune)


def ask_plan(client: AdminClient, request: _Request, output: Form) -> Any:
    """
    The changes, unless there is a problem: then all of them are told, those that
    only the edge sees too.
    """
    problems = request.problems
    if request.body["files"]:
        try:
            answer = client.post("plan", request.body)
        except Refused as error:
            if error.code != "problems":
                raise
            problems += error.problems
    if problems:
        raise problems_found(problems, output)
    return answer


def print_changes(changes: Sequence[Mapping[str, Any]]) -> None:
    """A line for each object, and below it one for each of its settings."""
    for change in changes:
        sign, colour = _SIGNS[change["action"]]
        title = f"{sign} {change['kind'].replace('_', ' ')} {change['id']}"
        click.secho(shown(title), fg=colour)
        if change["action"] != "delete":
            for line in _settings(change):
                click.echo(f"    {line}")
    tell(_summary(changes))


def _settings(change: Mapping[str, Any]) -> Iterator[str]:
    for setting in change["settings"]:
        before, after = _value(setting["before"]), _value(setting["after"])
        arrow = after if change["action"] == "create" else f"{before} -> {after}"
        yield f"{shown(setting['setting'])}: {arrow}"


def _value(value: object) -> str:
    return "(default)" if value is None else shown(json.dumps(value, ensure_ascii=False))


def _summary(changes: Sequence[Mapping[str, Any]]) -> str:
    if not changes:
        return "nothing to change"
    actions = [change["action"] for change in changes]
    words = {"create": "to create", "update": "to change", "delete": "to remove"}
    return ", ".join(f"{actions.count(action)} {word}" for action, word in words.items() if action in actions)


def _made(answer: Mapping[str, Any]) -> str:
    made = f"made {count_of(len(answer['changes']), 'change')} at revision {answer['revision']}"
    return f"{made}; {how_live(answer)}"


def how_live(answer: Mapping[str, Any]) -> str:
    """How long a change took until it was in force, or where it is not yet."""
    seconds = f"{answer['live_seconds']:.2f} s"
    if not answer["live"]:
        return f"not yet live at {', '.join(answer['behind'])} after {seconds}"
    if not answer["connectors"]:
        return f"live at the edge after {seconds}; no connector has a tunnel"
    return f"live at the edge and {count_of(answer['connectors'], 'connector')} after {seconds}"
