"""The first message of TLS: L{appproxy.transport.client_hello}, beside OpenSSL."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Final

from appproxy.transport.client_hello import MAXIMUM_SIZE, NEED_MORE, NOT_TLS, ClientHello, read
from tests.fuzz.support import hold, same
from tests.transport.test_client_hello import extension, hello, real_hello, records, server_name, vector

_ALPN: Final = extension(16, vector(2, vector(1, b"h2") + vector(1, b"http/1.1")))
_PREFIXES: Final = 24
"""Beginnings of a message that are read; each is a read of all before it."""


def seeds() -> Iterable[bytes]:
    """What OpenSSL says, and messages of our own making in one record and in many."""
    yield real_hello()
    yield real_hello(None, ())
    for extensions in (None, b"", server_name(b"a.example"), server_name(b"A.") + _ALPN, _ALPN):
        yield records(hello(extensions))
        yield records(hello(extensions), 20)
    yield records(hello(server_name(b"a") + server_name(b"b")))
    yield records(hello(server_name(b"a\0b")))
    yield b"GET / HTTP/1.1\r\n\r\n"


def target(data: bytes) -> None:
    """What is read of the beginning holds for the whole, and OpenSSL reads the same name."""
    whole = read(data)
    step = max(1, len(data) // _PREFIXES)
    for size in range(0, len(data), step):
        part = read(data[:size])
        if isinstance(part, ClientHello):
            same(part, whole, "more bytes, another message")
        elif part is NOT_TLS:
            same(whole, NOT_TLS, "not TLS at first")
        else:
            hold(size < MAXIMUM_SIZE, "waiting for ever")
    if whole is NEED_MORE:
        hold(len(data) < MAXIMUM_SIZE, "waiting for ever")
    if isinstance(whole, ClientHello):
        check_name(data, whole)


def check_name(data: bytes, message: ClientHello) -> None:
    """The name is plain, and whoever OpenSSL serves goes by the same one."""
    same((data[0], data[1], data[5]), (22, 3, 1), "neither a handshake's record nor a ClientHello")
    name = message.server_name
    hold(name is None or (name == name.lower() and name.isascii() and name.isprintable()), "a name", name)
    hold(b"" not in message.alpn, "an empty protocol")
    heard = openssl_hears(data)
    if heard:
        same((heard[0] or "").lower().removesuffix("."), name or "", "OpenSSL reads another name")


_heard: Final[list[str | None]] = []
_context: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
_context.sni_callback = lambda _connection, name, _: _heard.append(name)


def openssl_hears(data: bytes) -> list[str | None]:
    """The name in it; empty if OpenSSL refuses it before it comes to names."""
    _heard.clear()
    incoming = ssl.MemoryBIO()
    incoming.write(data)
    try:
        _context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
    except ssl.SSLError:
        pass
    return list(_heard)
