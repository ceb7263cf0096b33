"""
Authentication schemes that belong to a connection instead of a request.

NTLM and Negotiate (RFC 4559, section 4 and 6) authenticate the connection: who
shares it later I{is} the first user.
"""

from __future__ import annotations

import re
from typing import Final

from appproxy.httpwire.block import Blocks
from appproxy.httpwire.names import AUTHORIZATION, WWW_AUTHENTICATE

__all__ = ["AUTHORIZATION", "WWW_AUTHENTICATE", "binds_connection"]

_scheme: Final = re.compile(rb"(?i)(?:^|,)\s*(?:ntlm|negotiate)\b").search


def binds_connection(headers: Blocks, kind: int) -> bool:
    """
    Whether one of the headers of a kind uses a scheme that belongs to the connection.

    @param kind: L{AUTHORIZATION} or L{WWW_AUTHENTICATE}.
    """
    for block in headers:
        for each in block.marked:
            if each.kind == kind and _scheme(each.value):
                return True
    return False
