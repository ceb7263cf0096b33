"""
C{appproxy completion}.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


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
