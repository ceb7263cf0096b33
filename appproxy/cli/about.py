"""
C{appproxy version} and C{appproxy completion}.
"""

from __future__ import annotations

import json
import platform

import click
import twisted
from click.shell_completion import get_completion_class

import appproxy


@click.command()
@click.option("--output", type=click.Choice(["table", "json"]), default="table", help="How to print.")
def version(output: str) -> None:
    """Print the versions of this program and of what it runs on."""
    versions = {
        "appproxy": appproxy.__version__,
        "twisted": twisted.__version__,
        "python": platform.python_version(),
    }
    if output == "json":
        click.echo(json.dumps(versions, indent=2))
        return
    for name, number in versions.items():
        click.echo(f"{name} {number}")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """
    Print completion for SHELL.

    For bash: appproxy completion bash > /etc/bash_completion.d/appproxy
    """
    program = context.find_root()
    name = program.info_name or "appproxy"
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the shells that the argument allows"
    click.echo(kind(program.command, {}, name, f"_{name.upper().replace('-', '_')}_COMPLETE").source())
