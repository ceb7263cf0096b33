"""Keytabs: L{appproxy.kerberos.keytab}."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from appproxy.kerberos.keytab import KeytabError, parse_keytab
from tests.fuzz.support import hold, refused, same

_ENTRY: Final = bytes.fromhex(
    "0000002e"  # its size
    "0001" "0009" "434f52502e54455354"  # one component, the realm
    "0004" "636f6e6e"  # conn
    "00000001" "00000000" "03"  # name type, time, version
    "0012" "0004" "73656372"  # AES256, a key
    "00000103"  # the long version
)  # fmt: skip
_SMALL: Final = (len(_ENTRY) - 4).to_bytes(4, "big") + _ENTRY[4:]

WORDS: Final = (b"\x05\x02", b"\xff\xff\xff\xf9", b"\x00\x12", _SMALL)


def seeds() -> Iterable[bytes]:
    """One and two entries, a hole between, nothing."""
    yield b"\x05\x02"
    yield b"\x05\x02" + _SMALL
    yield b"\x05\x02" + _SMALL + b"\xff\xff\xff\xfcgone" + _SMALL


def target(data: bytes) -> None:
    """Bytes as a keytab: what is found was there, and behind the last entry nothing is left."""
    entries = refused(KeytabError, parse_keytab, data)
    if entries is None:
        return
    hold(len(entries) * 17 <= len(data), "more entries than bytes")
    again = parse_keytab(data + _SMALL)
    same(again[:-1], entries, "another entry changes those before")
    same((again[-1].principal, again[-1].version), ("conn@CORP.TEST", 0x103), "the last one")
