"""
C{appproxy explain}: why something is as it is, tried out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from appproxy.cli.client import AdminClient
from appproxy.cli.failures import asks_edge, failed
from appproxy.cli.output import Form, count_of, output_option, print_json, print_table, shown, tell

Told = Mapping[str, Any]


@click.group()
def explain() -> None:
    """Try step by step what a request would go through, and name the first step that fails."""


@explain.command(short_help="Try a user's Kerberos sign-on to an application.")
@click.argument("application", metavar="APP")
@click.option("--user", required=True, metavar="UPN", help="The user principal name, as at sign-in.")
@click.option("--on-premises-upn", default="", metavar="UPN", help="The one that the directory has.")
@click.option("--sam-account-name", default="", metavar="NAME", help="Their SAM account name.")
@click.option("--sid", default="", metavar="SID", help="Their security identifier.")
@click.option("--connector", default="", metavar="NAME", help="Only this one of the group's connectors.")
@output_option
@asks_edge
def kerberos(
    client: AdminClient,
    application: str,
    user: str,
    on_premises_upn: str,
    sam_account_name: str,
    sid: str,
    connector: str,
    output: Form,
) -> None:
    """
    Try a user's Kerberos sign-on to the application APP, through each connector of its group.

    Each connector gets tickets in the user's name, and calls the application's first page as that
    user. A user who is signed in has the claims of their newest session; other names that are given
    take the place of all of those. Exit code 1 if a step fails.
    """
    request = {
        "application": application,
        "user": user,
        "on_premises_user_principal_name": on_premises_upn,
        "on_premises_sam_account_name": sam_account_name,
        "on_premises_sid": sid,
        "connector": connector,
    }
    answer = client.post("explain/kerberos", request)
    print_json(answer) if output == "json" else print_explanation(answer)
    if answer["failed"]:
        asked = count_of(len(answer["connectors"]), "connector")
        raise failed(f"it fails through {answer['failed']} of {asked}")


def print_explanation(answer: Told) -> None:
    """Whose sign-on it is, then for each connector its steps, and what to do about the first that failed."""
    click.echo(f"application {shown(answer['application'])}, user {shown(answer['user'])}")
    whose = "claims of their session" if answer["signed_in"] else "claims"
    click.echo(f"{whose}: {', '.join(f'{name} {shown(value)}' for name, value in answer['claims'].items())}")
    for name in answer["missing"]:
        tell(f"the application looks for {shown(name)}, which this user does not have")
    for name in answer["unused"]:
        tell(f"{shown(name)} is not used: the application does not look for it")
    for each in answer["connectors"]:
        _print_connector(each)


def _print_connector(told: Told) -> None:
    name = told["name"] or told["connector"]
    click.echo(f"\nconnector {shown(name)}" if name else "")
    if told["reason"]:
        detail = f": {shown(told['detail'])}" if told["detail"] else ""
        click.echo(f"not tried: {shown(told['reason'])}{detail}\n{shown(told['advice'])}")
        return
    steps: Sequence[Told] = told["steps"]
    rows = [
        [shown(step["name"]), shown(step["outcome"]), _milliseconds(step), shown(step["detail"])]
        for step in steps
    ]
    print_table(["step", "result", "ms", "detail"], rows)
    first = next((step for step in steps if step["outcome"] == "failed"), None)
    if first is not None:
        click.echo(f"\n{shown(first['name'])}: {shown(first['cause'])}\n{shown(first['advice'])}")


def _milliseconds(step: Told) -> str:
    return "" if step["outcome"] == "skipped" else f"{step['milliseconds']:.1f}"
