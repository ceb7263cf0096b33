"""
C{appproxy version}.
"""

from __future__ import annotations

import platform

import click
import twisted

import appproxy
from appproxy.cli.output import Form, output_option, print_json
from appproxy.form import form


@click.command()
@output_option
def version(output: Form) -> None:
    """Print the versions of this program and of what it runs on, and whether it was compiled."""
    versions = {
        "appproxy": appproxy.__version__,
        "form": form(),
        "twisted": twisted.__version__,
        "python": platform.python_version(),
    }
    if output == "json":
        print_json(versions)
        return
    for name, number in versions.items():
        click.echo(f"{name} {number}")
