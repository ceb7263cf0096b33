"""
The table of C{docs/security.md}: each requirement, and the tests that name it.

C{python -m tests.security_rows} writes it anew; a test fails while it is not what this would write.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
DOCUMENT: Final = ROOT / "docs" / "security.md"
BEGIN: Final = "<!-- security rows: begin -->\n"
END: Final = "<!-- security rows: end -->\n"

ROWS: Final[Mapping[int, str]] = {
    1: "Every spelling of a client's identity and forwarding headers is dropped before ours are added.",
    2: "So it is where nobody signs in, and with every method, version and form of request.",
    3: "`Connection` cannot name our headers away.",
    4: "Forwarding headers are believed from nobody; address, scheme, host and port are told anew.",
    5: "Cookies of ours never reach an application, and none sets them.",
    6: "An application's own `Authorization` is passed on where it signs users in itself.",
    7: "One canonical path decides about policy and routing, and its bytes are what the application gets.",
    8: "Query and fragment take no part in that.",
    9: "Host, target and the TLS handshake's name agree, in whatever spelling.",
    10: "The most specific application wins; what is published or removed counts at once.",
    11: "No reserved or internal address, on any host, lets anybody in.",
    12: "Nobody is sent to another host after sign-in.",
    13: "A sign-in makes a new session and ends the old one.",
    14: "State, nonce and verifier are bound to the browser, good once, and bounded in number.",
    15: "A ticket between hosts is good once, for 30 seconds, at one host and in one browser.",
    16: "ID tokens: algorithms, keys, issuer, audience, party, times, shape; new keys are asked for slowly.",
    17: "Principal names have one at sign and steer no parser; addresses that nobody verified are none.",
    18: "Bearer tokens of another audience open nothing.",
    19: "Access ends with the user's claims and with the session, open streams included.",
    20: "Signing out ends the session everywhere, and only its user can do it.",
    21: "A refused answer holds no byte of the application's.",
    22: "Whatever comes from outside is escaped in every page, and no page runs scripts.",
    23: "SAML answers are read by their signed part only.",
    25: "No answer for people or programs has a token or secret in it.",
    26: "A message that could be read in two ways is refused; framing is never relayed.",
    27: "Answers keep their order; a backend connection that is not clean serves nobody else.",
    28: "Line ends and control characters in claims, heads and names are refused.",
    29: "Redirects are answers, not orders: neither connector nor edge follows them.",
    30: "Heads, bodies, times, answers of the provider and sign-ins under way are bounded.",
    31: "A reader that stalls slows its own stream, and fills no memory.",
    32: "No page of ours is compressed.",
    33: "Another site's page opens no WebSocket with the user's session.",
    34: "A connector asks the servers that its own file names, and no other, whoever demands it.",
    35: "Each stream is authorised by itself, and nothing that follows changes whose it is.",
    36: "Certificates: key and name, one-time tokens, foreign, expired and revoked ones, roles.",
    37: "Who may do what is checked for every object.",
    38: "The admin interface is on no network, and no browser can be led there.",
    39: "Nothing has a password to begin with; setup secrets are good once.",
    40: "Secrets are in no log, number, page, error or argument, and in no file that others read.",
    41: "What is kept is sealed with keys from elsewhere, under nonces that never repeat.",
    42: "Refusals tell nothing apart that is not the asker's to know; many attempts are turned away.",
    43: "What is remembered is remembered with all that decided it.",
    44: "Where nobody can tell, nobody gets in.",
    45: "Kerberos tickets are one user's, for a configured service.",
    46: "Stored passwords go to the configured address alone.",
}
"""By number. 24 (steps of a sign-in) is the identity provider's, 47 (updates) the distribution's."""

NOT_BUILT: Final[Mapping[int, str]] = {
    18: "bearer tokens are not accepted at all",
    19: "claims are not refreshed during a session yet",
    20: "no back-channel sign-out yet",
    23: "no SAML yet: refused",
    37: "one role so far: who may use the admin socket may do everything",
    42: "throttling by account is the provider's, as passwords are",
    46: "no stored passwords yet: refused",
}
"""What of a row is missing, where something is."""

_NAMED: Final = re.compile(r"[Ss]ecurity row (\d+)")


def tests_by_row(folder: Path = ROOT / "tests") -> dict[int, list[str]]:
    """The tests whose docstrings name a row, as C{module.Class.test}, by row."""
    found: dict[int, list[str]] = {}
    for file in sorted(folder.rglob("*.py")):
        module = ".".join(file.relative_to(folder).with_suffix("").parts)
        for name, text in _docstrings(file):
            for row in _NAMED.findall(text):
                found.setdefault(int(row), []).append(f"{module}.{name}")
    return found


def _docstrings(file: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if not isinstance(node, ast.ClassDef):
            continue
        for method in node.body:
            if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and method.name.startswith("test_"):
                yield f"{node.name}.{method.name}", ast.get_docstring(method) or ""


def table(found: Mapping[int, Sequence[str]]) -> str:
    """The lines between the markers."""
    rows = [
        f"| {row} | {text} | {_tests(found.get(row, ()))} | {_result(row)} |" for row, text in ROWS.items()
    ]
    return "\n".join(
        ["", "| row | requirement | tests (below `tests/`) | result |", "|--:|---|---|---|", *rows, "", ""]
    )


def _tests(names: Sequence[str]) -> str:
    return "<br>".join(f"`{name}`" for name in names)


def _result(row: int) -> str:
    missing = NOT_BUILT.get(row)
    return "held" if missing is None else f"held; {missing}"


def with_table(document: str, found: Mapping[int, Sequence[str]]) -> str:
    """The document with the table as it should be."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table(found)}{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text("utf-8"), tests_by_row()), "utf-8")
