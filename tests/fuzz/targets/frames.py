"""Frames and what is inside: L{appproxy.tunnel.frames} and L{appproxy.tunnel.messages}."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from appproxy.tunnel import frames, messages
from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.frames import DATA, HEADER_SIZE, SPLIT_ABOVE, Decoder, encode, limit_of
from appproxy.tunnel.messages import MAX_DETAIL, MAX_TOKEN, OpenMessage
from appproxy.tunnel.settings import BOUNDS, PeerSettings, TunnelSettings
from tests.fuzz.support import hold, refused, same, splits
from tests.tunnel.support import Frame, read, request

_ANY: Final = (
    messages.unpack_hello,
    messages.unpack_reason,
    messages.unpack_go_away,
    messages.unpack_number,
    messages.unpack_long,
    messages.unpack_principal,
)


def seeds() -> Iterable[bytes]:
    """A frame of each kind, and some in a row."""
    payloads = {
        frames.HELLO: messages.pack_hello("opener", TunnelSettings()),
        frames.SETTINGS: messages.pack_settings({"max_streams": 5}),
        frames.GOAWAY: messages.pack_reason("draining", "why", 7),
        frames.OPEN: request(b"GET /\nHost: a", number=3, claims=b"x").pack(),
        frames.RESET: messages.pack_reason("client_gone", ""),
        frames.WINDOW: messages.pack_number(70_000),
        frames.PRINCIPAL: messages.pack_principal(3, b"claims", b"proof"),
        frames.CONFIG: messages.pack_long(9) + b"{}",
        frames.DATA: b"x" * 100,
        frames.END: b"",
    }
    every = [encode(kind, 1, payload, 1) for kind, payload in payloads.items()]
    yield from every
    yield b"".join(every)
    for number in (0, frames.MAX_NUMBER + 1):
        yield encode(frames.WINDOW, 1, messages.pack_number(number))
        yield encode(frames.PRINCIPAL, 0, messages.pack_principal(number, b""))
    yield encode(DATA, 1, b"y" * (SPLIT_ABOVE + 9), 3)[:-20]


def target(data: bytes) -> None:
    """Frames, in whole and in pieces; then what each says."""
    whole = decoded([data])
    for pieces in splits(data):
        same(decoded(pieces), whole, "another split, other frames")
    if whole is None:
        return
    for kind, _, _, payload in whole:
        hold(len(payload) <= limit_of(kind), "a payload beyond its limit", kind)
        check_payload(payload)
    hold(encoded(whole) == data[: len(encoded(whole))], "encoded again", whole)
    # The rest of a frame is a payload as well: it need not guess a header first.
    check_payload(data[HEADER_SIZE:])


def decoded(pieces: list[bytes]) -> list[Frame] | None:
    """All frames, parts of large ones joined; L{None} if one is refused."""
    decoder = Decoder()
    whole: list[Frame] = []
    try:
        got = [frame for piece in pieces for frame in read(decoder, piece)]
    except TunnelError as error:
        same(error.code, "frame_size", "another code")
        return None
    for kind, flags, number, payload in got:
        whole.append((kind, flags, number, payload))
    # How much of a large one that goes on is handed on depends on the pieces: only frames' sums are compared.
    return joined(whole)


def joined(parts: list[Frame]) -> list[Frame]:
    """DATA without flags joined to what follows it on the same stream."""
    result: list[Frame] = []
    for kind, flags, number, payload in parts:
        last = result[-1] if result else None
        if kind == DATA and last is not None and last[0] == DATA and last[2] == number and not last[1]:
            result[-1] = (kind, flags, number, last[3] + payload)
        else:
            result.append((kind, flags, number, payload))
    return result


def encoded(whole: list[Frame]) -> bytes:
    """The beginning of the bytes that gave these frames, up to the first DATA, which may be a part."""
    result = b""
    for kind, flags, number, payload in whole:
        if kind == DATA:
            break
        result += encode(kind, number, payload, flags)
    return result


def check_payload(payload: bytes) -> None:
    """Each reader gives what is within its bounds, or refuses."""
    for unpack in _ANY:
        check_bounds(refused(TunnelError, unpack, payload), unpack)
    settings = refused(TunnelError, messages.unpack_settings, payload, PeerSettings())
    if settings is not None:
        for name, (lowest, highest) in BOUNDS.items():
            hold(lowest <= getattr(settings, name) <= highest, "a setting out of bounds", name)
    opened = refused(TunnelError, OpenMessage.unpack, payload)
    if opened is not None:
        # Options that nobody knows yet are passed over.
        same(opened.pack()[1:], payload[1:], "packed again")


def check_bounds(got: Any, unpack: Callable[[bytes], Any]) -> None:
    """What was read is what may be used."""
    if got is None:
        return
    if unpack is messages.unpack_reason:
        token, detail = got
        hold(0 < len(token) <= MAX_TOKEN and token.isascii() and token.isprintable(), "a reason", token)
        hold(len(detail) <= MAX_DETAIL and detail.isprintable(), "a detail", detail)
    elif unpack is messages.unpack_number or unpack is messages.unpack_principal:
        number = got if isinstance(got, int) else got[0]
        hold(0 < number <= frames.MAX_NUMBER, "a number out of bounds", number)
    elif unpack is messages.unpack_hello:
        same(got.version, 1, "a version")
        hold(got.software.isprintable() and len(got.software) <= MAX_TOKEN, "software", got.software)
