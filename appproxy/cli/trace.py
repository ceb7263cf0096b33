"""
C{appproxy trace}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from appproxy.cli.client import AdminClient
from appproxy.cli.failures import asks_edge
from appproxy.cli.output import Form, output_option, print_json, print_table, shown


@click.command()
@click.argument("transaction_id", metavar="TRANSACTION-ID")
@output_option
@asks_edge
def trace(client: AdminClient, transaction_id: str, output: Form) -> None:
    """Show what became of a request, by the transaction id of its page or log line."""
    answer = client.get("trace", transaction_id)
    print_json(answer) if output == "json" else print_trace(answer)


def print_trace(answer: Mapping[str, Any]) -> None:
    """The request in some lines, what became of it step by step, and what that means."""
    request = answer["request"]
    click.echo(f"{shown(answer['transaction_id'])} at {shown(request['time'])}")
    asked = " ".join(shown(request[name]) for name in ("method", "host", "path") if request[name])
    click.echo(f"{asked or 'no readable request'} from {shown(request['client_address'])}")
    if request["application"]:
        who = f", user {shown(request['user'])}" if request["user"] else ""
        click.echo(f"application {shown(request['application'])}{who}")
    click.echo()
    # Each daemon by its own clock: milliseconds since the request came there.
    rows = [
        [shown(step["where"]), _milliseconds(step["ms"]), shown(step["what"])] for step in answer["timeline"]
    ]
    print_table(["where", "ms", "what"], rows)
    outcome = f"{request['status'] or 'no answer'}"
    if answer["error"]:
        outcome += f" {shown(answer['error'])}"
    if answer["reason"]:
        outcome += f", {shown(answer['reason'])}"
    click.echo(f"\n{outcome}")
    for text in (answer["detail"], answer["meaning"]):
        if text:
            click.echo(shown(text))


def _milliseconds(number: float | None) -> str:
    return "" if number is None else f"{number:.1f}"
