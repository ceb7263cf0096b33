"""
Requests of one client connection, one at a time.

The head is gathered, bounded and measured first. A head of plain lines, none of
which decides what follows it, is read here, most of it in blocks that came before
(L{appproxy.httpwire.block}); llhttp judges every other one besides, and all that
decides framing, host and upgrade is checked here as well, since llhttp accepts too
much. Bodies are counted or de-chunked here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

import httptools

from appproxy.httpwire.block import BlockReader, Blocks, count_of, marked_of
from appproxy.httpwire.chunked import ChunkedDecoder
from appproxy.httpwire.cookies import divide
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import remember
from appproxy.httpwire.heads import END, NO_BODY, NO_TOKENS, UNTIL_END, End, RequestHead
from appproxy.httpwire.llhttp import judge_head
from appproxy.httpwire.names import (
    CONNECTION,
    CONTENT_LENGTH,
    COOKIE,
    EXPECT,
    FRAMES_FROM,
    HOST,
    UPGRADE,
    USER_AGENT,
    is_token,
)
from appproxy.httpwire.values import (
    chunked_length,
    connection_tokens,
    content_length,
    keeps_alive,
    parse_host,
)

RequestEvent: TypeAlias = RequestHead | bytes | End

WAITING_LIMIT: Final = 64 * 1024
"""Bytes kept beyond a message's end, besides one head: what one read of a socket may bring."""

UPGRADE_WAITING_LIMIT: Final = 16 * 1024
"""Bytes kept behind a head that asks for an upgrade; a client should wait for the 101."""

_METHOD_SIZE: Final = 64

_request_line: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ([!\"$-~]+) HTTP/1\.([01])").fullmatch
_parts_of_line: Final = re.compile(rb"([^ ]*) ([^ ]*) (.*)", re.DOTALL).fullmatch
_absolute_form: Final = re.compile(rb"(?i:https?)://([^/?]*)(.*)", re.DOTALL).fullmatch
_bad_line_end: Final = re.compile(rb"(?<!\r)\n|\r[^\n]|\x00").search

# All others are shown to llhttp as POST, which to it differs in nothing: it knows a fixed list, and does
# things of its own for CONNECT and PRI.
_SHOWN_AS_SENT: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"})

_HTTP_1_0: Final = (1, 0)
_HTTP_1_1: Final = (1, 1)

_HEAD_END: Final = b"\r\n\r\n"

# What differs between two requests of a browser stands in these lines; the rest is remembered in blocks.
_reader: Final = BlockReader(b"\r\n", b"Referer", at_end=True, secret=b"Cookie")

# Method, target and minor version of first lines that were read lately.
_request_lines: Final[dict[bytes, tuple[bytes, bytes, int]]] = {}

_HEAD, _LENGTH, _CHUNKED, _ASKING, _COMPLETE, _UPGRADED, _FAILED = range(7)


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """
    How much of a head is read.

    @ivar head_size: bytes from the request line to the empty line.
    @ivar header_count: number of headers.
    @ivar target_size: bytes of the target.
    """

    head_size: int = 65536
    header_count: int = 200
    target_size: int = 16384


class RequestParser:
    """
    Parses the requests of one connection.

    A message's events come from L{feed}; what the client sends beyond its end
    waits until L{next} is called. After a L{BadMessage} the parser ignores
    everything: answer and close.
    """

    __slots__ = ("_chunks", "_left", "_limits", "_state", "_waiting")

    def __init__(self, limits: HeadLimits = HeadLimits()) -> None:
        self._limits = limits
        self._state = _HEAD
        self._left = 0
        self._chunks: ChunkedDecoder | None = None
        self._waiting = bytearray()

    @property
    def buffered(self) -> int:
        """Bytes kept that belong to no event yet: pause reading while the current message is complete."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether not even a byte of the next head has come: the time to close a kept-alive connection."""
        return self._state == _HEAD and not self._waiting

    def feed(self, data: bytes) -> list[RequestEvent]:
        """
        Take what the client sent.

        @return: the events of the current message: its head, pieces of its
            body, its L{End}; none if it is complete or waits for
            L{accept_upgrade} or L{decline_upgrade}.
        @raise BadMessage: for a flaw; nothing of this call may be acted upon.
        """
        try:
            if self._state == _HEAD and not self._waiting:
                if data.endswith(_HEAD_END):
                    # Mostly one head and nothing else. Whatever is not just that is read again below.
                    line = data.partition(b"\r\n")[0]
                    blocks = _reader.read(data[len(line) : -4])
                    if blocks is not None:
                        return self._message(data, line, len(data), blocks)
                end = data.find(_HEAD_END) + 4
                if end > 3:
                    return self._first_message(data, end)
            return self._feed(data)
        except BadMessage:
            self._state = _FAILED
            raise

    def next(self) -> list[RequestEvent]:
        """
        Go on to the next message: the answer to the last one is finished.

        @return: its events, as far as it has come already.
        @raise BadMessage: as L{feed}.
        @raise RuntimeError: if the current message is not complete.
        """
        if self._state != _COMPLETE:
            raise RuntimeError("the current message is not complete")
        self._state = _HEAD
        if not self._waiting:
            return []
        data = bytes(self._waiting)
        self._waiting.clear()
        return self.feed(data)

    def accept_upgrade(self) -> bytes:
        """
        Say that the connection carries another protocol from now on.

        @return: its bytes that came already.
        """
        self._leave_asking(_UPGRADED)
        data = bytes(self._waiting)
        self._waiting.clear()
        return data

    def decline_upgrade(self) -> list[RequestEvent]:
        """
        Say that the request is answered as any other.

        @return: its L{End}.
        """
        self._leave_asking(_COMPLETE)
        return [END]

    def _leave_asking(self, state: int) -> None:
        if self._state != _ASKING:
            raise RuntimeError("no upgrade is asked for")
        self._state = state

    def _feed(self, data: bytes) -> list[RequestEvent]:
        """All but a head in one piece."""
        if self._state == _HEAD:
            return self._more_of_head(data)
        if self._state == _LENGTH or self._state == _CHUNKED:
            events: list[RequestEvent] = []
            self._body(data, events)
            return events
        if self._state == _UPGRADED:
            raise RuntimeError("the connection carries another protocol")
        if self._state == _FAILED:
            return []
        self._wait(data)
        return []

    def _more_of_head(self, data: bytes) -> list[RequestEvent]:
        searched = len(self._waiting)
        self._waiting += data
        end = self._waiting.find(b"\r\n\r\n", max(0, searched - 3))
        if end < 0:
            self._check_partial_head(max(0, searched - 1))
            return []
        data = bytes(self._waiting)
        self._waiting.clear()
        return self._first_message(data, end + 4)

    def _check_partial_head(self, start: int) -> None:
        """Refuse early what can never become a head."""
        waiting = self._waiting
        line_end = waiting.find(b"\r\n", 0, self._limits.target_size + _METHOD_SIZE + 12)
        # Before the size of the whole: what is said must not depend on the pieces in which it came.
        if line_end < 0 and len(waiting) > self._limits.target_size + _METHOD_SIZE + 11:
            raise BadMessage(414, "target_too_long")
        if len(waiting) >= self._limits.head_size:
            raise BadMessage(431, "head_too_large")
        if _bad_line_end(waiting, start):
            raise BadMessage(400, "line_end")
        if line_end >= 0:
            if start <= line_end + 2:
                _request_parts(bytes(waiting[:line_end]))
        elif waiting[:1] and not is_token(waiting[:1]):
            raise BadMessage(400, "method")

    def _first_message(self, data: bytes, end: int) -> list[RequestEvent]:
        line = data.partition(b"\r\n")[0]
        return self._message(data, line, end, _reader.read(data[len(line) : end - 4]))

    def _message(self, data: bytes, line: bytes, end: int, blocks: Blocks | None) -> list[RequestEvent]:
        head = self._head(data, line, end, blocks)
        if head.body == NO_BODY and head.upgrade is None and end == len(data):
            self._state = _COMPLETE
            return [head, END]
        events: list[RequestEvent] = [head]
        rest = data[end:]
        if head.upgrade is not None:
            self._state = _ASKING
            self._wait(rest)
        elif head.body <= 0 and head.body != UNTIL_END:
            self._state = _COMPLETE
            events.append(END)
            if rest:
                self._wait(rest)
        else:
            self._begin_body(head.body)
            self._body(rest, events)
        return events

    def _head(self, data: bytes, line: bytes, end: int, blocks: Blocks | None) -> RequestHead:
        limits = self._limits
        if end > limits.head_size:
            raise BadMessage(431, "head_too_large")
        method, target, minor = _request_parts(line)
        if blocks is None and _bad_line_end(data, 0, end):
            # As of a head in pieces, of which nothing else is known yet.
            raise BadMessage(400, "line_end")
        if len(target) > limits.target_size:
            raise BadMessage(414, "target_too_long")
        count = count_of(blocks) if blocks is not None else data.count(b"\r\n", 0, end) - 2
        if count > limits.header_count:
            raise BadMessage(431, "too_many_headers")
        if method == b"CONNECT":
            raise BadMessage(405, "connect")
        if blocks is None or _decides_framing(blocks):
            # What decides where the message ends, or is not plain, llhttp judges besides us.
            judge_head(httptools.HttpRequestParser, _shown(method, data[:end]), 400)
        if blocks is None:
            raise BadMessage(400, "head")
        return _make_head(method, target, minor, blocks)

    def _begin_body(self, length: int) -> None:
        if length == UNTIL_END:
            self._state = _CHUNKED
            self._chunks = ChunkedDecoder(400)
        else:
            self._state = _LENGTH
            self._left = length

    def _body(self, data: bytes, events: list[RequestEvent]) -> None:
        rest: bytes | None = None
        if self._state == _LENGTH:
            piece = data if len(data) <= self._left else data[: self._left]
            if piece:
                events.append(piece)
                self._left -= len(piece)
            if self._left == 0:
                events.append(END)
                rest = data[len(piece) :]
        elif self._chunks is not None:
            payload: list[bytes] = []
            rest = self._chunks.feed(data, payload)
            events += payload
            if rest is not None:
                events.append(End(self._chunks.trailers) if self._chunks.trailers else END)
                self._chunks = None
        if rest is not None:
            self._state = _COMPLETE
            self._wait(rest)

    def _wait(self, data: bytes) -> None:
        self._waiting += data
        asking = self._state == _ASKING
        limit = UPGRADE_WAITING_LIMIT if asking else WAITING_LIMIT + self._limits.head_size
        if len(self._waiting) > limit:
            raise BadMessage(400, "bytes_before_upgrade" if asking else "too_much_pipelined")


def _request_parts(line: bytes) -> tuple[bytes, bytes, int]:
    """
    Method, target and minor version.

    @raise BadMessage: naming the rule that the line breaks.
    """
    parts = _request_lines.get(line)
    if parts is None:
        match = _request_line(line)
        if match is None:
            raise _bad_request_line(line)
        parts = (match[1], match[2], 1 if match[3] == b"1" else 0)
        remember(_request_lines, line, parts)
    return parts


def _decides_framing(blocks: Blocks) -> bool:
    for each in blocks:  # noqa: SIM110 (a generator costs twice as much, on every request)
        if each.frames:
            return True
    return False


def _shown(method: bytes, head: bytes) -> bytes:
    """A head as llhttp is shown it."""
    return head if method in _SHOWN_AS_SENT else b"POST" + head[len(method) :]


def _make_head(method: bytes, target: bytes, minor: int, blocks: Blocks) -> RequestHead:
    """Build the head from its headers; every check of framing, host and upgrade."""
    host_value: bytes | None = None
    upgrades: list[bytes] = []
    expects = False
    body = NO_BODY
    tokens = NO_TOKENS
    cookie = user_agent = b""
    for each in marked_of(blocks):
        kind = each.kind
        value = each.value
        if kind == HOST:
            if host_value is not None:
                raise BadMessage(400, "more_than_one_host")
            host_value = value
        elif kind == CONNECTION:
            tokens = tokens | connection_tokens(value) if tokens else connection_tokens(value)
        elif kind == COOKIE:
            cookie = cookie + b"; " + value if cookie and value else cookie or value
        elif kind == USER_AGENT:
            user_agent = user_agent or value
        elif kind == UPGRADE:
            upgrades.append(value.lower())
        elif kind == EXPECT:
            expects = value.lower() == b"100-continue" and minor == 1
        elif kind >= FRAMES_FROM:
            body = _body_length(kind, value, minor, body)
    if host_value is None:
        raise BadMessage(400, "no_host")
    host, port = parse_host(host_value)
    if target[0] != 0x2F:
        target = _other_form(method, target, (host, port))
    own_cookies, cookie = divide(cookie)
    return RequestHead(
        method,
        target,
        _HTTP_1_1 if minor else _HTTP_1_0,
        blocks,
        host,
        port,
        body,
        keeps_alive(tokens, minor),
        _upgrade(method, minor, body, tokens, upgrades) if upgrades else None,
        expects and body not in (0, NO_BODY),
        tokens,
        cookie,
        own_cookies,
        user_agent,
    )


def _body_length(kind: int, value: bytes, minor: int, before: int) -> int:
    """What a Content-Length or Transfer-Encoding says; it may be said once."""
    if before != NO_BODY:
        raise BadMessage(400, "more_than_one_framing")
    return content_length(value, 400) if kind == CONTENT_LENGTH else chunked_length(value, minor, 400)


def _upgrade(
    method: bytes, minor: int, body: int, tokens: frozenset[bytes], upgrades: list[bytes]
) -> bytes | None:
    """The one upgrade that may be offered to an application; all others are as if they were not there."""
    if method != b"GET" or minor == 0 or body != NO_BODY or b"upgrade" not in tokens or len(upgrades) != 1:
        return None
    return upgrades[0] if is_token(upgrades[0]) else None


def _other_form(method: bytes, target: bytes, host: tuple[bytes, int | None]) -> bytes:
    """A target that does not begin with a slash (RFC 9112, sections 3.2.2 and 3.2.4)."""
    if target == b"*" and method == b"OPTIONS":
        return target
    match = _absolute_form(target)
    if match is None:
        raise BadMessage(400, "target")
    authority, rest = match.groups()
    if parse_host(authority) != host:
        raise BadMessage(400, "host_unlike_target")
    if not rest and method == b"OPTIONS":
        return b"*"
    return bytes(rest) if rest.startswith(b"/") else b"/" + rest


def _bad_request_line(line: bytes) -> BadMessage:
    """The rule that a request line breaks."""
    match = _parts_of_line(line)
    if match is None:
        return BadMessage(400, "request_line")
    method, target, version = match.groups()
    if not is_token(method) or len(method) > _METHOD_SIZE:
        return BadMessage(400, "method")
    if not re.fullmatch(rb"HTTP/1\.[01]", version):
        return BadMessage(400, "version")
    return BadMessage(400, "fragment" if b"#" in target else "target")
