"""
The command C{appproxy}. Its parts are imported when they are used: a command
line answers at once.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Final

import click

from appproxy import __version__
from appproxy.cli.client import DEFAULT_SERVER
from appproxy.model.problems import suggestion

COMMANDS: Final = {
    "init": ("init:init", "Write edge.toml, and say what to do next."),
    "check": ("check:check", "Tell all problems of any of our files."),
    "plan": ("changes:plan", "Show what apply would change."),
    "apply": ("changes:apply", "Publish what files say."),
    "export": ("changes:export", "Print the catalog as a file."),
    "list": ("objects:list_objects", "List objects of a type."),
    "show": ("objects:show", "Show one object."),
    "delete": ("objects:delete", "Delete one object."),
    "connector": ("tokens:connector", "Let connectors join."),
    "relay": ("tokens:relay", "Let relays join."),
    "session": ("sessions:session", "List and end sessions."),
    "keys": ("sessions:keys", "Replace the keys of all cookies."),
    "ca": ("authority:ca", "Show the built-in CA, or let a new one take over."),
    "enroll": ("enroll:enroll_command", "Make this machine a connector or relay."),
    "status": ("status:status", "Show the edge, its tunnels and certificates."),
    "trace": ("trace:trace", "Show what became of a request."),
    "explain": ("explain:explain", "Try a user's sign-on step by step."),
    "schema": ("schema:schema", "Print the JSON Schema of a file."),
    "completion": ("completion:completion", "Print the shell's completion script."),
    "version": ("version:version", "Print the version."),
}
"""By name, in the order of the help: where the command is, and what it does in a line."""


class LazyGroup(click.Group):
    """Knows its commands by L{COMMANDS}, and loads one only when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(f"appproxy.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As always, but a wrong name may have a right one near it."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f'there is no command "{args[0]}"{suggestion(args[0], COMMANDS)}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help's list, without loading any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--server",
    envvar="APPPROXY_SERVER",
    default=DEFAULT_SERVER,
    show_default=True,
    metavar="ADDRESS",
    help="The edge's admin socket.",
)
@click.version_option(__version__, prog_name="appproxy", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context, server: str) -> None:
    """
    Publish internal web applications: the administrator's command.

    Most commands talk to the running edge through its admin socket.
    """
    context.obj = server
    if os.environ.get("NO_COLOR"):
        context.color = False
