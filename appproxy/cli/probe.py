"""
C{appproxy status --probe}: every application through every connector of its group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from appproxy.cli.client import AdminClient
from appproxy.cli.failures import failed
from appproxy.cli.output import Form, count_of, print_json, print_table, shown, tell

Probe = Mapping[str, Any]


def probe(client: AdminClient, applications: Sequence[str], output: Form) -> None:
    """
    Probe, and show what came of it.

    @param applications: only these; none means all.
    @raise click.exceptions.Exit: if one cannot be reached.
    """
    probes = _all(client, applications)
    unreachable = [each for each in probes if not each["reachable"]]
    if output == "json":
        print_json({"probes": probes, "failed": len(unreachable)})
    elif not probes:
        tell("no applications")
    else:
        _show(probes)
    if unreachable:
        raise failed(f"{len(unreachable)} of {count_of(len(probes), 'probe')} failed")


def _all(client: AdminClient, applications: Sequence[str]) -> list[Probe]:
    probes: list[Probe] = []
    after: object = None
    while True:
        answer = client.post("probe", {"applications": list(applications), "after": after})
        probes += answer["probes"]
        after = answer["next"]
        if after is None:
            return probes


def _show(probes: Sequence[Probe]) -> None:
    rows = [
        [
            shown(each["application"]),
            shown(each["name"] or each["connector"]),
            _result(each),
            shown(each["detail"]),
        ]
        for each in probes
    ]
    print_table(["application", "connector", "result", "detail"], rows)
    for reason, words in sorted({(each["reason"], each["advice"]) for each in probes if each["reason"]}):
        tell(f"{shown(reason)}: {shown(words)}")


def _result(probe: Probe) -> str:
    if not probe["reachable"]:
        return shown(probe["reason"])
    milliseconds = sum(probe[name] or 0 for name in ("connect_ms", "answer_ms"))
    return f"{probe['status']} in {milliseconds:.0f} ms"
