"""
Search filters (RFC 4515) that mean what they should, whatever a name holds. Pure.
"""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Final, NamedTuple

from appproxy.directory.values import sid_bytes

_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_@")
"""Everything else is escaped: RFC 4515 asks for less, but whoever reads a filter may not have."""

_PEOPLE: Final = "(sAMAccountType=805306368)"
"""SAM_NORMAL_USER_ACCOUNT: neither computers nor groups; the attribute is indexed."""

GUID_BYTES: Final = 16


class IdentityKind(StrEnum):
    """What a user is looked up by."""

    USER_PRINCIPAL_NAME = "userPrincipalName"
    SAM_ACCOUNT_NAME = "sAMAccountName"
    IMMUTABLE_ID = "immutable id"
    SID = "objectSid"


class Identity(NamedTuple):
    """
    A user, as somebody else names them.

    A user principal name and an on-premises user principal name are the same attribute here: which
    of them a sign-in brought makes no difference to a directory.
    """

    kind: IdentityKind
    value: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.value!r}"


def escape(value: str | bytes) -> str:
    """A value in a filter: any text, also text that is no Unicode, and any bytes."""
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return "".join(chr(byte) if byte in _PLAIN else f"\\{byte:02x}" for byte in raw)


def user_filter(identity: Identity) -> str:
    """
    A filter that finds the user of an identity.

    An immutable id is the base64 of the objectGUID, or of what stands in mS-DS-ConsistencyGuid in its place.

    @raise ValueError: if the identity's value is none of its kind.
    """
    value = identity.value
    if not value:
        raise ValueError("the name is empty")
    match identity.kind:
        case IdentityKind.IMMUTABLE_ID:
            guid = escape(_immutable_id(value))
            return f"(&{_PEOPLE}(|(objectGUID={guid})(mS-DS-ConsistencyGuid={guid})))"
        case IdentityKind.SID:
            return f"(&{_PEOPLE}(objectSid={escape(sid_bytes(value))}))"
        case kind:
            return f"(&{_PEOPLE}({kind.value}={escape(value)}))"


def name_filter(sam_account_name: str) -> str:
    """A filter that finds a user, a computer or a group by its SAM name."""
    return f"(sAMAccountName={escape(sam_account_name)})"


def spn_filter(spn: str) -> str:
    """A filter that finds whoever has a service principal name."""
    return f"(servicePrincipalName={escape(spn)})"


def _immutable_id(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != GUID_BYTES:
        raise ValueError("an immutable id is 16 bytes in base64")
    return raw
