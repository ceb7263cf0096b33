"""
C{appproxy check FILE [--online]}: all problems of any of our files at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click
from pydantic import BaseModel

from appproxy.cli.failures import FAILED, PROBLEMS
from appproxy.cli.files import Checked, check_texts, read_texts
from appproxy.cli.online import Finding
from appproxy.cli.online_access import account_of_owner, check_access
from appproxy.cli.online_connector import check_backends
from appproxy.cli.online_network import check_certificates, check_names, check_ports
from appproxy.cli.online_provider import check_provider
from appproxy.cli.online_tunnel import check_identity, check_relays
from appproxy.cli.output import Form, count_of, output_option, print_json, shown, tell
from appproxy.config.connector import ConnectorSettings
from appproxy.config.edge import EdgeSettings
from appproxy.config.plugins import PluginProblem, enabled_rules
from appproxy.config.relay import RelaySettings
from appproxy.connector.way_out import NoWayOut, blocking_way_out
from appproxy.pki.identity import IDENTITY_FOLDER


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--online",
    is_flag=True,
    help="Look at provider, certificates, DNS, ports, backends, domain controllers too.",
)
@output_option
def check(files: Sequence[str], online: bool, output: Form) -> None:
    """
    Print all problems of FILE: edge.toml, connector.toml, relay.toml, or the applications.

    FILE may be several, a folder, or - for standard input.
    """
    sys.exit(run_check(files, online=online, output=output))


def run_check(files: Sequence[str], *, online: bool = False, output: Form = "table") -> int:
    """
    Check files and print what is wrong.

    @return: the exit code: 0 all is well, 1 something online is not, 3 problems in a file.
    """
    checked = check_texts(read_texts(files))
    findings = list(online_findings(checked)) if online and not checked.problems else []
    show_json(checked, findings) if output == "json" else show_text(checked, findings)
    if checked.problems:
        return PROBLEMS
    return FAILED if any(finding.verdict == "failed" for finding in findings) else 0


def show_text(checked: Checked, findings: Sequence[Finding]) -> None:
    """A line for each problem and finding; whether all is well goes to stderr."""
    for problem in checked.problems:
        click.echo(shown(str(problem)))
    for finding in findings:
        click.echo(shown(f"{finding.verdict:8} {finding.subject}: {finding.message}"))
    if checked.problems:
        tell(count_of(len(checked.problems), "problem"))
    elif not findings:
        tell("no problems")


def show_json(checked: Checked, findings: Sequence[Finding]) -> None:
    """The same as one JSON object."""
    result = {
        "problems": [asdict(problem) for problem in checked.problems],
        "online": [asdict(finding) for finding in findings],
    }
    print_json(result)


def online_findings(checked: Checked) -> Iterator[Finding]:
    """Look at everything outside of the files that their settings name."""
    hosts = _application_hosts(checked)
    for settings in checked.settings.values():
        yield from _findings_of(settings, hosts)


def _findings_of(settings: BaseModel, hosts: set[str]) -> Iterator[Finding]:
    if isinstance(settings, EdgeSettings):
        yield from _edge_findings(settings, hosts)
    elif isinstance(settings, ConnectorSettings):
        yield from _tunnel_findings(settings)
        yield from check_backends(settings.allowed_backends, settings.names_resolve_into)
        yield from _kerberos_findings(settings)
    elif isinstance(settings, RelaySettings):
        yield from check_identity(settings.identity, ())
        account = account_of_owner(settings.identity.parent)
        yield from check_ports(settings.listen.https, account=account)


def _tunnel_findings(settings: ConnectorSettings) -> Iterator[Finding]:
    account = account_of_owner(settings.identity.parent)
    try:
        proxy = blocking_way_out(settings, account.user if account else None)
    except NoWayOut as error:
        yield Finding("failed", "proxy", str(error))
        return
    yield from check_identity(settings.identity, settings.connect, proxy=proxy)


def _kerberos_findings(settings: ConnectorSettings) -> Iterator[Finding]:
    # Most commands have no use for a directory's library, which takes a while to load.
    from appproxy.cli.online_kerberos import check_kerberos

    yield from check_kerberos(settings, account_of_owner(settings.identity.parent))


def _edge_findings(settings: EdgeSettings, hosts: set[str]) -> Iterator[Finding]:
    public = {settings.hosts.auth, settings.hosts.portal, *hosts}
    yield from check_provider(settings.sign_in)
    yield from check_certificates(settings.tls.certificates, public)
    account = account_of_owner(settings.store.path.parent)
    yield from check_access(settings.tls.certificates, account)
    yield from check_names({*public, settings.hosts.connect})
    health_url = f"https://{settings.hosts.auth}/.appproxy/healthz"
    yield from check_ports(settings.listen.https, health_url, account)
    yield from check_ports(settings.listen.http, account=account)
    yield from check_relays(settings.store.path.parent / IDENTITY_FOLDER, settings.relay.dial)
    yield from check_plugins(settings.plugins.directories, settings.plugins.enabled)


def check_plugins(directories: Sequence[Path], enabled: Sequence[str]) -> Iterator[Finding]:
    """Load what the edge would load, which runs it."""
    try:
        for rule in enabled_rules(directories, enabled):
            yield Finding("ok", "plugin", f"{rule.name} can be used")
    except PluginProblem as problem:
        yield Finding("failed", "plugin", str(problem))


def _application_hosts(checked: Checked) -> set[str]:
    if checked.applications is None:
        return set()
    return {application.external_url.host for application in checked.applications.applications.values()}
