"""
Where a browser goes back to after signing in: a path at the host it came from.

The host is never taken from the browser. What is checked here is only that the
rest cannot turn into another host, in any parser's eyes.
"""

from __future__ import annotations

import re
from typing import Final

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.paths import canonical_path

RETURN_TARGET_LIMIT: Final = 1600
"""
Bytes of path and query that are kept. Sign-ins under way share one cookie of
4 KB, and what is longer is a form's state rather than a place to return to.
"""

RESERVED: Final = "/.appproxy"

_PATH: Final = re.compile(rb"/(?![/\\])[!$-;=?-Z_a-z~%@\[\]]*\Z")
"""Printable ASCII, no second slash at the start, no backslash, quote, bracket, blank or C{#}."""

_QUERY_REFUSED: Final = re.compile(rb"[\x00-\x20#\x7f]")
_QUERY_QUOTED: Final = re.compile(rb"[^!$-;=?-Z_a-z~%@\[\]]")
"""What browsers leave bare in a query (bar, brace, caret, backslash) is percent-encoded."""


def return_target(target: bytes) -> str:
    """
    The path and query to return to.

    @param target: the request target as the browser sent it.
    @return: C{target} if it is safe, else C{"/"}.
    """
    path, mark, query = target.partition(b"?")
    if not _PATH.match(path) or _QUERY_REFUSED.search(query):
        return "/"
    try:
        # As the edge will read it; what it would refuse is no place to return to.
        text = canonical_path(path).path.lower()
    except BadMessage:
        return "/"
    if text == RESERVED or text.startswith(RESERVED + "/"):
        return "/"
    safe = (path + mark + _QUERY_QUOTED.sub(lambda match: b"%%%02X" % match[0][0], query)).decode("ascii")
    return safe if len(safe) <= RETURN_TARGET_LIMIT else "/"
