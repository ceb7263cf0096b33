"""
C{appproxy session} and C{appproxy keys}: who is signed in, and an end to it.
"""

from __future__ import annotations

import sys

import click

from appproxy.cli.client import AdminClient
from appproxy.cli.failures import asks_edge
from appproxy.cli.output import Form, count_of, output_option, print_json, print_rows, shown, tell


@click.group()
def session() -> None:
    """List and end sessions."""


@session.command("list", short_help="List sessions.")
@click.option("--user", metavar="UPN", help="Only this user's.")
@output_option
@asks_edge
def list_sessions(client: AdminClient, user: str | None, output: Form) -> None:
    """List who is signed in, the longest first."""
    rows = client.get("objects", "sessions") if user is None else client.get("sessions-of", user)
    print_rows(rows, output, "no sessions")


@session.command("end", short_help="End sessions.")
@click.argument("name", metavar="[ID]", required=False)
@click.option("--user", metavar="UPN", help="All sessions of this user.")
@click.option("--all", "everybody", is_flag=True, help="Everybody's sessions.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@asks_edge
def end_sessions(
    client: AdminClient, name: str | None, user: str | None, everybody: bool, yes: bool, output: Form
) -> None:
    """
    End a session by its ID, as in session list, all sessions of a user, or everybody's. Asks first.

    Streams and WebSockets of these sessions end at once. Whoever is still signed in at the provider, and not
    locked there, comes in again without a password.
    """
    if [bool(name), bool(user), everybody].count(True) != 1:
        raise click.UsageError("give one of: an ID, --user, --all")
    which = "everybody's sessions" if everybody else f"the sessions of {user}" if user else f"session {name}"
    _confirm(f"End {which}?", yes)
    if name:
        answer = {"ended": 1, **client.delete("objects", "sessions", name)}
    else:
        answer = client.post("end-sessions", {"user": user or "", "everybody": everybody})
    if output == "json":
        print_json(answer)
    whose = f" of {shown(answer['user'])}" if name else f" of {shown(user)}" if user else ""
    tell(f"ended {count_of(answer['ended'], 'session')}{whose}")


@click.group()
def keys() -> None:
    """Replace the keys of all cookies."""


@keys.command("rotate", short_help="Make every cookie worthless.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@asks_edge
def rotate_keys(client: AdminClient, yes: bool, output: Form) -> None:
    """
    Replace the keys that cookies, tickets and sign-ins under way are sealed with, at every edge. Asks first.

    For keys that somebody else may know: a stolen edge, or a copy of its store. Every session ends.
    """
    _confirm("Replace the keys? Everybody has to sign in again.", yes)
    answer = client.order("keys", "rotate")
    if output == "json":
        print_json(answer)
    tell(f"replaced the keys of all cookies; ended {count_of(answer['ended'], 'session')}")


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: give --yes")
    click.confirm(question, abort=True, err=True)
