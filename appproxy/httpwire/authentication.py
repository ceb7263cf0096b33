"""
Authentication schemes that belong to a connection instead of a request.

NTLM and Negotiate (RFC 4559, section 4 and 6) authenticate the connection: who
shares it later I{is} the first user.
"""

from __future__ import annotations

import re
from typing import Final

from appproxy.httpwire.heads import Headers

AUTHORIZATION: Final = b"authorization"
WWW_AUTHENTICATE: Final = b"www-authenticate"

_scheme: Final = re.compile(rb"(?i)(?:^|,)\s*(?:ntlm|negotiate)\b").search


def binds_connection(headers: Headers, name: bytes) -> bool:
    """
    Whether one of the headers C{name} uses a scheme that belongs to the connection.

    @param name: L{AUTHORIZATION} or L{WWW_AUTHENTICATE}.
    """
    size = len(name)
    for other, value in headers:  # noqa: SIM110 (a generator costs twice as much, on every answer)
        if len(other) == size and other.lower() == name and _scheme(value):
            return True
    return False
