"""
The table of causes in docs/kerberos.md: C{python -m tests.kerberos_causes} writes it.

It is made of the advice that commands and logs give, so both say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from appproxy.kerberos.advice import Advice, advise
from appproxy.kerberos.causes import Cause, KerberosError, Stage
from appproxy.sso.kerberos_advice import ADVICE

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "kerberos.md"
BEGIN: Final = "<!-- causes: begin -->"
END: Final = "<!-- causes: end -->"

MEANINGS: Final = {
    "name_refused": "The user has no such name as `login_identity` asks for, or one that is not safe.",
    "user_unknown": "No account below `directory.base` has the user's name.",
    "user_ambiguous": "Several accounts have it, or the one that has it is spelt with other letters.",
    "never_impersonated": "The account, or a group that it is in, stands in `never_impersonate`.",
    "group_unknown": "The directory does not know a name in `never_impersonate`.",
    "directory_unreachable": "No server of `directory.servers` can be connected to.",
    "directory_timeout": "They take connections, and do not answer.",
    "directory_tls": "Their certificates are not trusted, or for other names.",
    "directory_refused": "They refuse the bind, or to show what is needed.",
    "clock_skew": "The clocks of connector and domain controller are more than five minutes apart.",
    "forgotten": "A session of the user's ended while the ticket was got; tickets went with it.",
    "overloaded": "More is asked for at once than the connector lets wait.",
}
"""Of the causes that are found before any KDC is asked."""

HEADINGS: Final = {
    Stage.own_ticket: "The connector's own ticket",
    Stage.s4u2self: "The user's ticket to the connector (S4U2Self)",
    Stage.s4u2proxy: "The user's ticket to the application (S4U2Proxy), or the guards before it",
    Stage.mutual: "The application's answer",
    Stage.outbound_proxy: "The connector's ticket to the HTTP proxy on its way out (`proxy.negotiate`)",
}

Row = tuple[str, str, str]


def guards() -> list[Row]:
    """Causes of the directory and of the guards."""
    return [(cause, MEANINGS[cause], remedy) for cause, remedy in ADVICE.items()]


def known(stage: Stage, cause: Cause) -> Advice | None:
    """What is said of a cause at a step; L{None} if it has no advice of its own there."""
    advice = advise(KerberosError(stage, cause))
    unknown = advise(KerberosError(stage, Cause.other))
    return None if advice == unknown and cause is not Cause.other else advice


def everywhere() -> list[Row]:
    """Causes that mean the same at several steps."""
    found = []
    for cause in Cause:
        advices = [known(stage, cause) for stage in Stage]
        found += [(cause.value, *each) for each in dict.fromkeys(advices) if each and advices.count(each) > 1]
    return found


def at(stage: Stage) -> Iterator[Row]:
    """Causes that mean something else at this step, or come up there only."""
    shared = set(everywhere())
    for cause in Cause:
        advice = known(stage, cause)
        if advice is not None and (cause.value, *advice) not in shared:
            yield cause.value, *advice


def tables() -> str:
    """What stands between the markers."""
    parts = [("Before any KDC is asked", guards()), ("At any step", everywhere())]
    parts += [(heading, list(at(stage))) for stage, heading in HEADINGS.items()]
    return "\n".join(_table(heading, rows) for heading, rows in parts)


def with_tables(document: str) -> str:
    """The document with the tables as they should be."""
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n{END}{rest.partition(END)[2]}"


def _table(heading: str, rows: list[Row]) -> str:
    lines = [f"| `{cause}` | {_cell(meaning)} | {_cell(remedy)} |" for cause, meaning, remedy in rows]
    return "\n".join(
        [f"\n### {heading}\n", "| cause | what it means | what to do |", "|---|---|---|", *lines]
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("_kerberos._tcp", "\\_kerberos.\\_tcp").replace(" * ", " \\* ")


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text("utf-8")), "utf-8")
