"""
Active Directory's values, from and to bytes. Pure.
"""

from __future__ import annotations

import struct
import uuid
from datetime import UTC, datetime
from enum import IntFlag
from typing import Final

_SID_REVISION: Final = 1
_SID_MAXIMUM_PARTS: Final = 15
_SID_HEADER_BYTES: Final = 8
_SID_AUTHORITY_BITS: Final = 48
_PART_BITS: Final = 32

_FILETIME_EPOCH_SECONDS: Final = 11_644_473_600
"""From 1601 to 1970."""
_FILETIME_TICKS: Final = 10_000_000
"""Of 100 ns, in a second."""
_FILETIME_NEVER: Final = frozenset({0, 0x7FFF_FFFF_FFFF_FFFF})

_SECURITY_ENABLED: Final = 0x8000_0000
"""ADS_GROUP_TYPE_SECURITY_ENABLED."""


class AccountControl(IntFlag):
    """
    userAccountControl (MS-ADTS 2.2.16): the bits that matter to delegation.

    LOCKOUT and PASSWORD_EXPIRED stand in msDS-User-Account-Control-Computed alone.
    """

    ACCOUNTDISABLE = 0x2
    LOCKOUT = 0x10
    NORMAL_ACCOUNT = 0x200
    WORKSTATION_TRUST_ACCOUNT = 0x1000
    SERVER_TRUST_ACCOUNT = 0x2000
    DONT_EXPIRE_PASSWORD = 0x10000
    SMARTCARD_REQUIRED = 0x40000
    TRUSTED_FOR_DELEGATION = 0x80000
    NOT_DELEGATED = 0x100000
    USE_DES_KEY_ONLY = 0x200000
    DONT_REQ_PREAUTH = 0x400000
    PASSWORD_EXPIRED = 0x800000
    TRUSTED_TO_AUTH_FOR_DELEGATION = 0x1000000


class EncryptionTypes(IntFlag):
    """msDS-SupportedEncryptionTypes (MS-KILE 2.2.7); 0 leaves it to the domain, which often means RC4."""

    DES_CBC_CRC = 0x1
    DES_CBC_MD5 = 0x2
    RC4_HMAC = 0x4
    AES128 = 0x8
    AES256 = 0x10


def sid_text(raw: bytes) -> str:
    """
    A security identifier as text, C{S-1-5-21-...}.

    @raise ValueError: if the bytes are none.
    """
    if len(raw) < _SID_HEADER_BYTES or raw[0] != _SID_REVISION or raw[1] > _SID_MAXIMUM_PARTS:
        raise ValueError("no security identifier")
    if len(raw) != _SID_HEADER_BYTES + 4 * raw[1]:
        raise ValueError("a security identifier of another length than it says")
    authority = int.from_bytes(raw[2:_SID_HEADER_BYTES], "big")
    parts = struct.unpack(f"<{raw[1]}I", raw[_SID_HEADER_BYTES:])
    # Above 32 bits the authority is written in hexadecimal (MS-DTYP 2.4.2.1).
    shown = str(authority) if authority >> _PART_BITS == 0 else f"0x{authority:012X}"
    return "-".join(("S", str(_SID_REVISION), shown, *map(str, parts)))


def sid_bytes(text: str) -> bytes:
    """
    The reverse of L{sid_text}.

    @raise ValueError: if the text is no security identifier.
    """
    letter, revision, authority, *parts = text.split("-") if text.count("-") > 1 else ("", "", "")
    if letter.upper() != "S" or revision != str(_SID_REVISION) or len(parts) > _SID_MAXIMUM_PARTS:
        raise ValueError("no security identifier")
    numbers = [_number(part, _PART_BITS) for part in parts]
    head = bytes((_SID_REVISION, len(parts)))
    return head + _authority(authority).to_bytes(6, "big") + struct.pack(f"<{len(parts)}I", *numbers)


def is_sid(text: str) -> bool:
    """Whether a text is a security identifier."""
    try:
        sid_bytes(text)
    except ValueError:
        return False
    return True


def relative_id(sid: str) -> int:
    """The last number of a security identifier: what is the same in every domain for well-known ones."""
    return int(sid.rpartition("-")[2])


def guid_text(raw: bytes) -> str:
    """
    An objectGUID as tools show it.

    @raise ValueError: if it is not 16 bytes.
    """
    return str(uuid.UUID(bytes_le=raw))


def number(raw: bytes) -> int:
    """
    An integer as LDAP writes it.

    @raise ValueError: if it is none.
    """
    return int(raw)


def generalized_seconds(text: str) -> float:
    """
    A GeneralizedTime (RFC 4517, section 3.3.13), C{20260131120000.0Z}, as seconds since 1970.

    @raise ValueError: if it is none.
    """
    told = datetime.strptime(text.partition(".")[0].removesuffix("Z"), "%Y%m%d%H%M%S")
    return told.replace(tzinfo=UTC).timestamp()


def filetime_seconds(ticks: int) -> float | None:
    """A point in time as seconds since 1970; L{None} for never."""
    if ticks in _FILETIME_NEVER:
        return None
    return ticks / _FILETIME_TICKS - _FILETIME_EPOCH_SECONDS


def is_security_group(group_type: int) -> bool:
    """Whether membership of a group is in tokens; of a distribution group it is not."""
    return bool(group_type & _SECURITY_ENABLED)


def realm_of(distinguished_name: str) -> str:
    """The Kerberos realm of the domain that an entry is in: its C{DC=} parts, in capitals."""
    parts = [part.strip() for part in _unescaped_parts(distinguished_name)]
    return ".".join(part[3:].strip() for part in parts if part[:3].upper() == "DC=").upper()


def _unescaped_parts(distinguished_name: str) -> list[str]:
    """Split at commas that no backslash stands before (RFC 4514)."""
    parts, escaped = [""], False
    for character in distinguished_name:
        if character == "," and not escaped:
            parts.append("")
            continue
        escaped = character == "\\" and not escaped
        parts[-1] += character
    return parts


def _authority(text: str) -> int:
    if text[:2].lower() == "0x":
        digits = text[2:]
        if not (digits.isascii() and digits.isalnum()):
            raise ValueError("no security identifier")
        value = int(digits, 16)
        if value >> _SID_AUTHORITY_BITS:
            raise ValueError("no security identifier")
        return value
    return _number(text, _PART_BITS)


def _number(text: str, bits: int) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 10 or int(text) >> bits:
        raise ValueError("no security identifier")
    return int(text)
