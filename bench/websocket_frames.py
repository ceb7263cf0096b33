"""
As much of the WebSocket protocol (RFC 6455) as an echo of short messages needs.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Final

TEXT: Final = 0x81
"""The first byte of a text message in one frame."""

_MASKED: Final = 0x80
_TWO_BYTES: Final = 126
_EIGHT_BYTES: Final = 127
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: bytes) -> bytes:
    """The answer to a Sec-WebSocket-Key (section 4.2.2)."""
    return b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def pack(payload: bytes, mask: bytes = b"") -> bytes:
    """
    A text message of up to 64 KiB.

    @param mask: four bytes if a client sends it; empty for a server's.
    """
    masked = _MASKED if mask else 0
    if len(payload) < _TWO_BYTES:
        head = bytes((TEXT, masked | len(payload)))
    else:
        head = bytes((TEXT, masked | _TWO_BYTES)) + len(payload).to_bytes(2, "big")
    return head + mask + (masked_with(mask, payload) if mask else payload)


def masked_with(mask: bytes, payload: bytes) -> bytes:
    """Masks, and takes a mask off (section 5.3)."""
    size = len(payload)
    pattern = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")).to_bytes(size, "big")


def unpack(data: bytes) -> tuple[list[bytes], bytes]:
    """
    Read messages.

    @return: payloads of complete frames, and the bytes of one that is not complete.
    @raise ValueError: for any other frame than a text of up to 64 KiB.
    """
    payloads: list[bytes] = []
    start = 0
    while len(data) - start >= 2:
        size = data[start + 1] & ~_MASKED
        at = start + 2
        if data[start] != TEXT or size == _EIGHT_BYTES:
            raise ValueError("a frame that nobody here sends")
        if size == _TWO_BYTES:
            size = int.from_bytes(data[at : at + 2], "big")
            at += 2
        mask_size = 4 if data[start + 1] & _MASKED else 0
        if len(data) < at + mask_size + size:
            break
        payload = data[at + mask_size : at + mask_size + size]
        payloads.append(masked_with(data[at : at + 4], payload) if mask_size else payload)
        start = at + mask_size + size
    return payloads, data[start:]
