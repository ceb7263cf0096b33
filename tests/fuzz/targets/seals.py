"""Sealed cookies, requests and tickets: L{appproxy.session.seals} and what opens them."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from itertools import count
from typing import Final

from appproxy.session.seals import BadSeal, Purpose, SealKeys
from appproxy.signin.pending import decode_pending, no_pending
from tests.fuzz.support import hold, refused, same

_HOSTS: Final = (b"wiki.example.com", b"login.example.com", b"")
_numbers: Final = count()


def _counted(size: int) -> bytes:
    """Other bytes each time, the same in each run."""
    return sha256(b"%d" % next(_numbers)).digest()[:size]


_RINGS: Final = (SealKeys({1: b"a" * 32}, 1, _counted), SealKeys({1: b"a" * 32, 7: b"b" * 32}, 7, _counted))
_STRANGER: Final = SealKeys({1: b"c" * 32, 7: b"d" * 32}, 7, _counted)

_DATA: Final = (b"", b"data", no_pending().encoded())
ISSUED: Final = {
    (purpose, host, keys.seal(purpose, host, data)): data
    for keys in _RINGS
    for purpose in Purpose
    for host in _HOSTS
    for data in _DATA
}
"""Everything that was ever sealed here."""


def seeds() -> Iterable[bytes]:
    """Some of ours, and some of a stranger with the same numbers."""
    yield from [token for _, _, token in ISSUED][::3]
    yield from (_STRANGER.seal(purpose, _HOSTS[0], b"data") for purpose in Purpose)


def target(data: bytes) -> None:
    """Bytes as a token: it opens only if it was sealed, byte by byte, for this purpose at this host."""
    for purpose in Purpose:
        for host in _HOSTS:
            opened = refused(BadSeal, _RINGS[1].unseal, purpose, host, data)
            same(opened, ISSUED.get((purpose, host, data)), "it opens otherwise than it was sealed")
    pending = refused(ValueError, decode_pending, data)
    hold(pending is None or len(pending.pending) <= len(data), "more than was there")
