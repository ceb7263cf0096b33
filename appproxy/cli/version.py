"""
C{appproxy version}.
"""

from __future__ import annotations

import platform

import click
import twisted

import appproxy
from appproxy.cli.output import Form, output_option, print_json


@click.command()
@output_option
def version(output: Form) -> None:
    """Print the versions of this program and of what it runs on."""
    versions = {
        "appproxy": appproxy.__version__,
        "twisted": twisted.__version__,
        "python": platform.python_version(),
    }
    if output == "json":
        print_json(versions)
        return
    for name, number in versions.items():
        click.echo(f"{name} {number}")
