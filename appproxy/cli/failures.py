"""
How commands fail: exit codes that scripts rely on, and messages for people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final, TypeVar, cast

import click

from appproxy.cli.client import AdminClient, Refused, ServerAway
from appproxy.cli.output import Form, count_of, print_json, tell
from appproxy.model.problems import Problem

FAILED: Final = 1
USAGE: Final = 2
PROBLEMS: Final = 3
SERVER_AWAY: Final = 4
NO_SUCH_OBJECT: Final = 5
CHANGES: Final = 10
"""Of C{plan --exit-code}: there are changes."""

_EXIT_CODES: Final = {
    "problems": PROBLEMS,
    "forbidden": SERVER_AWAY,
    "not_found": NO_SUCH_OBJECT,
    "changed": NO_SUCH_OBJECT,
}

_F = TypeVar("_F", bound=Callable[..., Any])


def failed(message: str, exit_code: int = FAILED) -> click.exceptions.Exit:
    """Tell why the command did not do what it was asked; what to raise then."""
    tell(f"appproxy: {message}")
    return click.exceptions.Exit(exit_code)


def asks_edge(command: _F) -> _F:
    """
    A command that gets an L{AdminClient} first, and whose failures to reach the
    edge, or refusals by it, become messages and exit codes.
    """

    @wraps(command)
    @click.pass_context
    def asking(context: click.Context, /, *args: object, **options: object) -> object:
        try:
            client = AdminClient(context.obj)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        try:
            return context.invoke(command, client, *args, **options)
        except ServerAway as error:
            raise failed(str(error), SERVER_AWAY) from None
        except Refused as error:
            if error.code == "problems":
                form: Form = "json" if options.get("output") == "json" else "table"
                raise problems_found(error.problems, form) from None
            raise failed(str(error), _EXIT_CODES.get(error.code, FAILED)) from None

    return cast(_F, asking)


def problems_found(problems: Sequence[Problem], form: Form = "table") -> click.exceptions.Exit:
    """Tell every problem; what to raise then."""
    if form == "json":
        print_json({"problems": [vars(problem) for problem in problems]})
    else:
        for problem in problems:
            tell(str(problem))
        tell(count_of(len(problems), "problem"))
    return click.exceptions.Exit(PROBLEMS)
