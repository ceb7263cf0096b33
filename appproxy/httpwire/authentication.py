"""
Authentication schemes that belong to a connection instead of a request.

NTLM and Negotiate (RFC 4559, section 4 and 6) authenticate the connection: who
shares it later I{is} the first user.
"""

from __future__ import annotations

import re
from typing import Final

from appproxy.httpwire.block import Blocks
from appproxy.httpwire.field import Fields
from appproxy.httpwire.names import AUTHORIZATION, WWW_AUTHENTICATE

__all__ = ["AUTHORIZATION", "WWW_AUTHENTICATE", "binds_connection", "request_binds_connection"]

_scheme: Final = re.compile(rb"(?i)(?:^|,)\s*(?:ntlm|negotiate)\b").search


def binds_connection(headers: Fields, kind: int) -> bool:
    """
    Whether one of the headers of a kind uses a scheme that belongs to the connection.

    @param kind: L{AUTHORIZATION} or L{WWW_AUTHENTICATE}.
    """
    for each in headers:  # noqa: SIM110 (a generator costs twice as much, on every answer)
        if each.kind == kind and _scheme(each.value):
            return True
    return False


def request_binds_connection(blocks: Blocks) -> bool:
    """
    Whether a request's Authorization uses a scheme that belongs to the connection.
    """
    for each in blocks:  # noqa: SIM110 (as above)
        if each.marked and binds_connection(each.marked, AUTHORIZATION):
            return True
    return False
