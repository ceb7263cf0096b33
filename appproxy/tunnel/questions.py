"""
The user whose sign-on an edge asks about: section 14 of C{docs/tunnel.md}.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Final

from appproxy.httpwire.block import Blocks, fields_of
from appproxy.httpwire.field import Field, field
from appproxy.model.principal import Principal

PRINCIPAL: Final = b"AppProxy-Principal"

MAXIMUM_PRINCIPAL: Final = 16 << 10
"""Bytes of base64. The names by which a directory knows a user have some hundred; groups are not needed."""


def principal_header(principal: Principal) -> Field:
    """
    The header that names a user.

    @raise ValueError: if there is too much of them.
    """
    value = b64encode(principal.encoded)
    if len(value) > MAXIMUM_PRINCIPAL:
        raise ValueError(f"the user's claims are longer than {MAXIMUM_PRINCIPAL} bytes")
    return field(PRINCIPAL, value)


def principal_of(headers: Blocks) -> Principal:
    """
    The user whom the headers of a question name.

    @raise ValueError: if they do not name one, as L{principal_header} would.
    """
    values = [each.value for each in fields_of(headers) if each.name.lower() == PRINCIPAL.lower()]
    if len(values) != 1 or len(values[0]) > MAXIMUM_PRINCIPAL:
        raise ValueError("the question does not name its user")
    encoded = b64decode(values[0], validate=True)
    try:
        principal = Principal.decode(encoded)
    except RecursionError:
        raise ValueError("a principal is not a JSON object") from None
    if principal.encoded != encoded:
        raise ValueError("a principal is not written in its one form")
    return principal
