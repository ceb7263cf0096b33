"""
C{appproxy status}.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

import click

from appproxy.cli.client import AdminClient
from appproxy.cli.failures import asks_edge
from appproxy.cli.output import Form, count_of, output_option, print_json, print_rows, shown
from appproxy.cli.probe import probe

WATCH_SECONDS: Final = 2.0


@click.command()
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until interrupted.")
@click.option(
    "--probe", "is_probe", is_flag=True, help="Call every application through every connector of its group."
)
@click.option(
    "--app", "applications", multiple=True, metavar="NAME", help="Probe only this one; may be given again."
)
@output_option
@asks_edge
def status(
    client: AdminClient, watch: bool, is_probe: bool, applications: tuple[str, ...], output: Form
) -> None:
    """
    Show the edge, its tunnels and certificates.

    With --probe instead: whether each application answers, and if not, why. Nobody is signed
    on for that. Exit code 1 if one does not answer.
    """
    if is_probe or applications:
        if watch:
            raise click.UsageError("--probe and --watch do not go together")
        probe(client, applications, output)
        return
    if not watch:
        answer = client.get("status")
        print_json(answer) if output == "json" else print_status(answer)
        return
    try:
        while True:
            _again(client.get("status"), output)
            time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        pass


def _again(answer: Mapping[str, Any], output: Form) -> None:
    if output == "json":
        click.echo(json.dumps(answer, ensure_ascii=False))
        sys.stdout.flush()
        return
    if sys.stdout.isatty():
        click.clear()
    print_status(answer)


def print_status(answer: Mapping[str, Any]) -> None:
    """The edge in three lines, then a table for each kind of thing it has."""
    uptime = for_people(answer["uptime_seconds"])
    click.echo(f"edge {shown(answer['version'])}, up for {uptime}, since {shown(answer['started_at'])}")
    click.echo("store: " + ("up" if answer["store_up"] else "AWAY"))
    applications = count_of(answer["applications"], "application")
    click.echo(f"catalog: {applications}, revision {answer['catalog_revision']}")
    for title in ("connector_groups", "tunnels", "certificates"):
        click.echo(f"\n{title.replace('_', ' ')}")
        if answer[title]:
            print_rows(answer[title], "table", "")
        else:
            click.echo("none")


def for_people(seconds: int) -> str:
    """A duration by its two largest units: C{3 d 4 h}."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for unit, size in units:
        if seconds >= size or parts:
            parts.append(f"{seconds // size} {unit}")
            seconds %= size
    return " ".join(parts[:2]) or "0 s"
