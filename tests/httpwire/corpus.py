"""
Messages that must be refused, each with the rule that it breaks, and helpers
that feed messages in any split.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

from hypothesis import strategies

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.heads import End, RequestHead
from appproxy.httpwire.request_parser import RequestEvent, RequestParser
from appproxy.httpwire.response_parser import ResponseEvent

_E = TypeVar("_E", RequestEvent, ResponseEvent)

_H: Final = b"Host: a\r\n"
_GET: Final = b"GET / HTTP/1.1\r\n" + _H
_POST: Final = b"POST / HTTP/1.1\r\n" + _H
_CHUNKED: Final = _POST + b"Transfer-Encoding: chunked\r\n\r\n"


def _post(framing: bytes, body: bytes = b"abc") -> bytes:
    return _POST + framing + b"\r\n\r\n" + body


BAD_REQUESTS: Final[dict[str, tuple[bytes, int]]] = {
    # Lines and line ends
    "bare LF line ends": (b"GET / HTTP/1.1\nHost: a\n\n\r\n\r\n", 400),
    "bare LF after a header": (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    "bare LF as last line": (_GET + b"\n\r\n\r\n", 400),
    "bare CR in a value": (_GET + b"X: a\rb\r\n\r\n", 400),
    "CR CR LF": (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400),
    "CR CR LF after a header": (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400),
    "folded header": (_GET + b"X: a\r\n b\r\n\r\n", 400),
    "folded with a tab": (_GET + b"X: a\r\n\tb\r\n\r\n", 400),
    "folded Content-Length": (_post(b"Content-Length:\r\n 3"), 400),
    "blank before the first header": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "leading CRLF": (b"\r\n" + _GET + b"\r\n", 400),
    "leading LF": (b"\n" + _GET + b"\r\n", 400),
    "leading blank": (b" " + _GET + b"\r\n", 400),
    "a TLS record": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    # The request line
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/0.9 with headers": (b"GET /\r\nHost: a\r\n\r\n", 400),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
    "HTTP/1.10": (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
    "lower-case version": (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    "RTSP": (b"DESCRIBE / RTSP/1.0\r\nHost: a\r\n\r\n", 400),
    "ICE": (b"SOURCE / ICE/1.0\r\nHost: a\r\n\r\n", 400),
    "blank after the version": (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    "two blanks": (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "tabs for blanks": (b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "blank in the target": (b"GET /x y HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "no target": (b"GET HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "fragment": (b"GET /x#f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "NUL in the target": (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "high byte in the target": (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "DEL in the target": (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target without slash": (b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "asterisk for GET": (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "another scheme": (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "method with a brace": (b"GE{T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "method of 65 bytes": (b"M" * 65 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "CONNECT": (b"CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", 405),
    "target too long": (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    # Headers
    "NUL in a value": (_GET + b"X: a\0b\r\n\r\n", 400),
    "control character in a value": (_GET + b"X: a\x01b\r\n\r\n", 400),
    "DEL in a value": (_GET + b"X: a\x7fb\r\n\r\n", 400),
    "blank before the colon": (_post(b"Content-Length : 3"), 400),
    "tab before the colon": (_post(b"Transfer-Encoding\t: chunked"), 400),
    "NUL in a name": (_GET + b"X\0: b\r\n\r\n", 400),
    "CR in a name": (_GET + b"X\r: b\r\n\r\n", 400),
    "parenthesis in a name": (_GET + b"X(y: b\r\n\r\n", 400),
    "high byte in a name": (_GET + b"X\xe4: b\r\n\r\n", 400),
    "no name": (_GET + b": b\r\n\r\n", 400),
    "no colon": (_GET + b"XY\r\n\r\n", 400),
    "too many headers": (_GET + b"X: y\r\n" * 200 + b"\r\n", 431),
    "head too large": (_GET + b"X: " + b"y" * 70000 + b"\r\n\r\n", 431),
    # Host
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "no Host in 1.0": (b"GET / HTTP/1.0\r\n\r\n", 400),
    "empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "two Hosts": (_GET + b"Host: b\r\n\r\n", 400),
    "two equal Hosts": (_GET + b"host: a\r\n\r\n", 400),
    "Host with user info": (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    "Host with a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "Host with a list": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    "Host with an empty port": (b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", 400),
    "Host with port 0": (b"GET / HTTP/1.1\r\nHost: a:0\r\n\r\n", 400),
    "Host with port 65536": (b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400),
    "Host with a signed port": (b"GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n", 400),
    "Host with two dots at its end": (b"GET / HTTP/1.1\r\nHost: a..\r\n\r\n", 400),
    "Host with an empty label": (b"GET / HTTP/1.1\r\nHost: a..b\r\n\r\n", 400),
    "Host of high bytes": (b"GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", 400),
    "Host of percent signs": (b"GET / HTTP/1.1\r\nHost: %61\r\n\r\n", 400),
    "Host of 300 bytes": (b"GET / HTTP/1.1\r\nHost: " + b"a." * 150 + b"b\r\n\r\n", 400),
    "target of another host": (b"GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target of another port": (b"GET http://a:81/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target with user info": (b"GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target without host": (b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    # Lengths
    "length and chunked": (_post(b"Content-Length: 3\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"), 400),
    "chunked and length": (_post(b"Transfer-Encoding: chunked\r\nContent-Length: 3", b"0\r\n\r\n"), 400),
    "two equal lengths": (_post(b"Content-Length: 3\r\nContent-Length: 3"), 400),
    "two lengths": (_post(b"Content-Length: 3\r\nContent-length: 4"), 400),
    "list of lengths": (_post(b"Content-Length: 3, 3"), 400),
    "signed length": (_post(b"Content-Length: +3"), 400),
    "negative length": (_post(b"Content-Length: -3"), 400),
    "hexadecimal length": (_post(b"Content-Length: 0x3"), 400),
    "empty length": (_post(b"Content-Length:"), 400),
    "leading zeros": (_post(b"Content-Length: 003"), 400),
    "length with a blank": (_post(b"Content-Length: 3 4"), 400),
    "length with a point": (_post(b"Content-Length: 3.0"), 400),
    "length of sixteen digits": (_post(b"Content-Length: 1000000000000000"), 400),
    "length beyond 64 bits": (_post(b"Content-Length: 18446744073709551619"), 400),
    "length and upgrade with chunked": (
        _post(b"Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked"),
        400,
    ),
    # Transfer-Encoding
    "chunked in 1.0": (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "xchunked": (_post(b"Transfer-Encoding: xchunked"), 400),
    "chunked, identity": (_post(b"Transfer-Encoding: chunked, identity"), 400),
    "identity": (_post(b"Transfer-Encoding: identity"), 400),
    "gzip, chunked": (_post(b"Transfer-Encoding: gzip, chunked", b"0\r\n\r\n"), 400),
    "chunked twice": (_post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 400),
    "chunked, chunked": (_post(b"Transfer-Encoding: chunked, chunked"), 400),
    "identity, then chunked": (
        _post(b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
        400,
    ),
    "quoted chunked": (_post(b'Transfer-Encoding: "chunked"'), 400),
    "vertical tab and chunked": (_post(b"Transfer-Encoding: \x0bchunked"), 400),
    "comma and chunked": (_post(b"Transfer-Encoding: ,chunked", b"0\r\n\r\n"), 400),
    "chunked and comma": (_post(b"Transfer-Encoding: chunked,", b"0\r\n\r\n"), 400),
    "chunked with a parameter": (_post(b"Transfer-Encoding: chunked;q=1", b"0\r\n\r\n"), 400),
    "empty Transfer-Encoding": (_post(b"Transfer-Encoding:\r\nContent-Length: 3"), 400),
    "upgrade with a bad coding": (
        _post(b"Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: xchunked"),
        400,
    ),
    # Chunks
    "chunk of nothing": (_CHUNKED + b"\r\n0\r\n\r\n", 400),
    "chunk size with 0x": (_CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    "signed chunk size": (_CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n", 400),
    "negative chunk size": (_CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n", 400),
    "blank after the chunk size": (_CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", 400),
    "blank before the chunk size": (_CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size too big": (_CHUNKED + b"10000000000000003\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size of zeros": (_CHUNKED + b"0" * 200000 + b"3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size with LF": (_CHUNKED + b"3\nabc\n0\n\n\r\n\r\n", 400),
    "chunk data without CRLF": (_CHUNKED + b"3\r\nabc0\r\n\r\n", 400),
    "chunk data with LF": (_CHUNKED + b"3\r\nabc\n0\r\n\r\n", 400),
    "chunk data too long": (_CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", 400),
    "extension with LF": (_CHUNKED + b"3;x\nabc\r\n0\r\n\r\n", 400),
    "extension with CR": (_CHUNKED + b"3;x\ry\r\nabc\r\n0\r\n\r\n", 400),
    "extension with NUL": (_CHUNKED + b"3;\0\r\nabc\r\n0\r\n\r\n", 400),
    "huge extension": (_CHUNKED + b"3;" + b"x" * 100000 + b"\r\nabc\r\n0\r\n\r\n", 400),
    "extensions without end": (_CHUNKED + (b"1;" + b"x" * 900 + b"\r\na\r\n") * 30, 400),
    # Trailers
    "length in trailers": (_CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n", 400),
    "coding in trailers": (_CHUNKED + b"0\r\ntransfer-encoding: chunked\r\n\r\n", 400),
    "host in trailers": (_CHUNKED + b"0\r\nHost: b\r\n\r\n", 400),
    "folded trailer": (_CHUNKED + b"0\r\nX: a\r\n b\r\n\r\n", 400),
    "trailer with a bare CR": (_CHUNKED + b"0\r\nX: a\rb\r\n\r\n", 400),
    "trailer with a bare LF": (_CHUNKED + b"0\r\nX: a\nY: b\r\n\r\n", 400),
    "trailer without colon": (_CHUNKED + b"0\r\nXY\r\n\r\n", 400),
    "trailer with NUL": (_CHUNKED + b"0\r\nX: \0\r\n\r\n", 400),
    "blank before a trailer's colon": (_CHUNKED + b"0\r\nX : y\r\n\r\n", 400),
    "too many trailers": (_CHUNKED + b"0\r\n" + b"X: y\r\n" * 40 + b"\r\n", 400),
    "trailers too large": (_CHUNKED + b"0\r\nX: " + b"y" * 10000 + b"\r\n\r\n", 400),
}
"""Requests that must be refused, and the status to answer with."""

_R: Final = b"HTTP/1.1 200 OK\r\n"

BAD_RESPONSES: Final[dict[str, bytes]] = {
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx\r\n\r\n",
    "length and chunked": _R + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two equal lengths": _R + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "two lengths": _R + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "leading zeros": _R + b"Content-Length: 03\r\n\r\nabc",
    "folded header": _R + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "blank before the colon": _R + b"X : a\r\nContent-Length: 0\r\n\r\n",
    "control character": _R + b"X: \x01\r\nContent-Length: 0\r\n\r\n",
    "NUL in the reason": b"HTTP/1.1 200 \0\r\nContent-Length: 0\r\n\r\n",
    "gzip": _R + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "chunked, gzip": _R + b"Transfer-Encoding: chunked, gzip\r\n\r\nabc",
    "gzip, chunked": _R + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n",
    "status 999": b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
    "status 20": b"HTTP/1.1 20 X\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "HTTP/0.9": b"<html>\r\n\r\n",
    "101 that nobody asked for": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "101 without Upgrade": b"HTTP/1.1 101 S\r\n\r\n",
    "100 with a body": b"HTTP/1.1 100 C\r\nContent-Length: 3\r\n\r\nabc" + _R + b"\r\n",
    "103 with chunks": b"HTTP/1.1 103 C\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _R + b"\r\n",
    "interim answers without end": b"HTTP/1.1 103 Early\r\n\r\n" * 40,
    "head too large": _R + b"X: " + b"y" * 70000 + b"\r\n\r\n",
    "too many headers": _R + b"X: y\r\n" * 500 + b"\r\n",
    "leading CRLF": b"\r\n" + _R + b"\r\n",
    "chunk size with LF": _R + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
}
"""Responses to a GET that must be refused."""


def splits(data: bytes) -> strategies.SearchStrategy[list[bytes]]:
    """
    All ways to cut C{data} into pieces.
    """
    cuts = strategies.lists(strategies.integers(0, len(data)), max_size=12)
    return cuts.map(lambda points: _cut(data, sorted(points)))


def _cut(data: bytes, points: Sequence[int]) -> list[bytes]:
    bounds = [0, *points, len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(bounds)]
    return [piece for piece in pieces if piece]


def one_by_one(data: bytes) -> list[bytes]:
    """
    C{data}, a byte at a time.
    """
    return [data[at : at + 1] for at in range(len(data))]


def read_all(pieces: Iterable[bytes]) -> list[RequestEvent]:
    """
    All events of all requests in C{pieces}, upgrades declined, adjoining
    pieces of bodies joined.
    """
    parser = RequestParser()
    events: list[RequestEvent] = []
    for piece in pieces:
        new = parser.feed(piece)
        while new:
            events += new
            if isinstance(new[-1], RequestHead) and new[-1].upgrade is not None:
                new = parser.decline_upgrade()
            elif isinstance(new[-1], End):
                new = parser.next()
            else:
                new = []
    return joined(events)


def verdict(pieces: Iterable[bytes]) -> list[RequestEvent] | int:
    """
    What L{read_all} says, or the status of the refusal.
    """
    try:
        return read_all(pieces)
    except BadMessage as error:
        return error.status


def joined(events: Iterable[_E]) -> list[_E]:
    """
    Events with adjoining pieces of bodies joined.
    """
    result: list[Any] = []
    for event in events:
        if isinstance(event, bytes) and result and isinstance(result[-1], bytes):
            result[-1] += event
        else:
            result.append(event)
    return result
