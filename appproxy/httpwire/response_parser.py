"""
Responses of one backend connection, read against the request they answer.

The request decides what may follow: HEAD has no body whatever the head says,
101 comes only if it was asked for, 1xx only before the final answer.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

import httptools

from appproxy.httpwire.block import BlockReader, count_of, marked_of
from appproxy.httpwire.chunked import ChunkedDecoder
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import Fields, remember
from appproxy.httpwire.heads import END, NO_BODY, NO_TOKENS, UNTIL_END, End, ResponseHead
from appproxy.httpwire.llhttp import judge_head
from appproxy.httpwire.names import (
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    FRAMES_FROM,
    UPGRADE,
    WWW_AUTHENTICATE,
)
from appproxy.httpwire.values import chunked_length, connection_tokens, content_length, keeps_alive

ResponseEvent: TypeAlias = ResponseHead | bytes | End

HEAD_SIZE: Final = 64 * 1024
"""Bytes of a response's head; the edge takes as much from browsers."""

HEADER_COUNT: Final = 400
"""Headers of a response: twice a request's, for applications that set a cookie for everything."""

INTERIM_LIMIT: Final = 32
"""Interim (1xx) heads before the final one."""

_read_status_line: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t -~\x80-\xff]*))?").fullmatch
_STATUS_LINE_START: Final = b"HTTP/1."
_HEAD_END: Final = b"\r\n\r\n"

_HEAD: Final = 0
_LENGTH: Final = 1
_CHUNKED: Final = 2
_UNTIL_CLOSE: Final = 3
_COMPLETE: Final = 4
_UPGRADED: Final = 5
_FAILED: Final = 6


class _StatusLine:
    """What a status line says."""

    __slots__ = ("minor", "reason", "status", "version")

    def __init__(self, minor: int, status: int, reason: bytes) -> None:
        self.minor = minor
        self.status = status
        self.reason = reason
        self.version: tuple[int, int] = (1, minor)


# A server that sends a file again says another Date, and the rest of the head alike. One that
# proves itself in each answer (RFC 4559, section 5) has another line that is never the same.
_reader: Final = BlockReader(b"\r\n", b"Date")
_proof_reader: Final = BlockReader(b"\r\n", b"Date", secret=b"WWW-Authenticate")

# Status lines and lengths that were read lately.
_status_lines: Final[dict[bytes, _StatusLine]] = {}
_lengths: Final[dict[bytes, int]] = {}


def _status_line(line: bytes) -> _StatusLine:
    known = _status_lines.get(line)
    if known is None:
        match = _read_status_line(line)
        if match is None:
            raise BadMessage(502, "status_line")
        known = _StatusLine(int(match[1]), int(match[2]), match[3] or b"")
        remember(_status_lines, line, known)
    return known


def _length_of(value: bytes) -> int:
    known = _lengths.get(value)
    if known is None:
        known = content_length(value, 502)
        remember(_lengths, value, known)
    return known


class ResponseParser:
    """
    Parses the responses of one connection, one exchange after the other.

    After an accepted 101 L{feed} hands on all bytes as they are. After a
    L{BadMessage} the parser ignores everything.
    """

    __slots__ = (
        "_chunks",
        "_interim",
        "_keep_alive",
        "_left",
        "_method",
        "_proves",
        "_state",
        "_stray",
        "_upgrade",
        "_waiting",
    )

    def __init__(self, method: bytes, upgrade: bytes | None = None) -> None:
        """
        @param method: of the request that is answered.
        @param upgrade: the lower-case token of the upgrade that it asks for.
        """
        self._chunks: ChunkedDecoder | None = None
        self._waiting = bytearray()
        self._left = 0
        self._stray = False
        # Whether the head before had a WWW-Authenticate, as the next one then has.
        self._proves = False
        self._begin(method, upgrade)

    def reset(self, method: bytes, upgrade: bytes | None = None) -> None:
        """
        Begin the next exchange on the same connection; only while L{reusable}.

        @raise RuntimeError: if the last exchange left the connection unclean.
        """
        if not self.reusable:
            raise RuntimeError("the connection cannot serve another exchange")
        self._begin(method, upgrade)

    def _begin(self, method: bytes, upgrade: bytes | None) -> None:
        self._method = method
        self._upgrade = upgrade
        self._interim = 0
        self._keep_alive = False
        self._state = _HEAD

    @property
    def reusable(self) -> bool:
        """Whether the exchange ended cleanly, with no byte beyond it, and the connection lives on."""
        return self._state == _COMPLETE and self._keep_alive and not self._stray

    @property
    def complete(self) -> bool:
        """Whether the response has ended."""
        return self._state == _COMPLETE

    @property
    def upgraded(self) -> bool:
        """Whether a 101 was accepted: all bytes belong to another protocol."""
        return self._state == _UPGRADED

    def feed(self, data: bytes) -> list[ResponseEvent]:
        """
        Take what the backend sent.

        @return: interim heads, the final head, pieces of the body, the L{End}.
            Bytes after the end are dropped and make the connection not
            L{reusable}.
        @raise BadMessage: for a flaw; nothing of this call may be acted upon.
        """
        events: list[ResponseEvent] = []
        try:
            while data:
                data = self._step(data, events)
        except BadMessage:
            self._state = _FAILED
            raise
        return events

    def eof(self, clean: bool) -> list[ResponseEvent]:
        """
        The backend closed the connection.

        @param clean: whether it said so (over TLS: close_notify came).
        @return: the L{End} of what ends with the connection; nothing if the
            response was complete.
        @raise BadMessage: if the response is not complete.
        """
        state = self._state
        self._keep_alive = False
        if state == _COMPLETE:
            return []
        self._state = _FAILED
        if state == _UPGRADED or (state == _UNTIL_CLOSE and clean):
            self._state = _COMPLETE
            return [END]
        raise BadMessage(502, "closed_before_head" if state == _HEAD else "closed_in_body")

    def _step(self, data: bytes, events: list[ResponseEvent]) -> bytes:
        """
        Take one head, or as much body as there is.

        @return: what is left.
        """
        if self._state == _HEAD:
            return self._head(data, events)
        if self._state == _LENGTH:
            return self._length(data, events)
        if self._state == _CHUNKED and self._chunks is not None:
            return self._chunked(self._chunks, data, events)
        if self._state == _UNTIL_CLOSE or self._state == _UPGRADED:
            events.append(data)
            return b""
        if self._state == _COMPLETE:
            self._stray = True
        return b""

    def _length(self, data: bytes, events: list[ResponseEvent]) -> bytes:
        piece = data if len(data) <= self._left else data[: self._left]
        events.append(piece)
        self._left -= len(piece)
        if self._left == 0:
            self._complete(events)
        return data[len(piece) :]

    def _chunked(self, chunks: ChunkedDecoder, data: bytes, events: list[ResponseEvent]) -> bytes:
        payload: list[bytes] = []
        rest = chunks.feed(data, payload)
        events += payload
        if rest is None:
            return b""
        self._chunks = None
        self._state = _COMPLETE
        events.append(End(chunks.trailers) if chunks.trailers else END)
        return rest

    def _complete(self, events: list[ResponseEvent]) -> None:
        self._state = _COMPLETE
        events.append(END)

    def _head(self, data: bytes, events: list[ResponseEvent]) -> bytes:
        if self._waiting:
            data = self._with_waiting(data)
            if not data:
                return b""
        head, end, rest = data.partition(_HEAD_END)
        if not end:
            self._waiting += data
            self._check_partial_head()
            return b""
        if len(head) > HEAD_SIZE - len(_HEAD_END):
            raise BadMessage(502, "head_too_large")
        read = self._parse_head(head)
        events.append(read)
        self._begin_body(read, events)
        return rest

    def _with_waiting(self, data: bytes) -> bytes:
        """What came before with this; nothing as long as it is no whole head."""
        waiting = self._waiting
        searched = max(0, len(waiting) - 3)
        waiting += data
        if waiting.find(_HEAD_END, searched) < 0:
            self._check_partial_head()
            return b""
        data = bytes(waiting)
        waiting.clear()
        return data

    def _check_partial_head(self) -> None:
        if len(self._waiting) >= HEAD_SIZE:
            raise BadMessage(502, "head_too_large")
        if not _STATUS_LINE_START.startswith(self._waiting[: len(_STATUS_LINE_START)]):
            raise BadMessage(502, "status_line")

    def _parse_head(self, head: bytes) -> ResponseHead:
        line = head.partition(b"\r\n")[0]
        first = _status_line(line)
        headers = (_proof_reader if self._proves else _reader).read(head[len(line) :])
        if (count_of(headers) if headers is not None else head.count(b"\r\n")) > HEADER_COUNT:
            raise BadMessage(502, "too_many_headers")
        minor, status = first.minor, first.status
        marked = marked_of(headers) if headers is not None else []
        if headers is None or not _is_everyday(marked):
            judge_head(httptools.HttpResponseParser, head + _HEAD_END, 502)
        if headers is None:
            raise BadMessage(502, "head")
        length, framed = 0, False
        tokens = NO_TOKENS
        upgrades = []
        proves = False
        for each in marked:
            kind, value = each.kind, each.value
            if kind == CONNECTION:
                tokens = tokens | connection_tokens(value) if tokens else connection_tokens(value)
            elif kind == UPGRADE:
                upgrades.append(value.lower())
            elif kind == WWW_AUTHENTICATE:
                proves = True
            elif kind >= FRAMES_FROM and kind != EXPECT:
                if framed:
                    raise BadMessage(502, "more_than_one_framing")
                framed = True
                is_length = kind == CONTENT_LENGTH
                length = _length_of(value) if is_length else chunked_length(value, minor, 502)
        self._proves = proves
        if status < 200:
            self._check_interim(status, upgrades, tokens, length)
        # RFC 9112, section 6.3
        if status < 200 or status == 204 or status == 304 or self._method == b"HEAD":
            body = NO_BODY
        else:
            body = length if framed else UNTIL_END
        chunked = framed and length == body == UNTIL_END
        self._chunks = ChunkedDecoder(502) if chunked else None
        self._keep_alive = keep = keeps_alive(tokens, minor) and (body != UNTIL_END or chunked)
        return ResponseHead(status, first.reason, first.version, headers, body, keep, tokens)

    def _check_interim(
        self, status: int, upgrades: list[bytes], tokens: frozenset[bytes], length: int
    ) -> None:
        self._interim += 1
        if self._interim > INTERIM_LIMIT:
            raise BadMessage(502, "too_many_interim")
        if length:
            raise BadMessage(502, "interim_with_body")
        asked = self._upgrade is not None and upgrades == [self._upgrade]
        if status == 101 and not (asked and b"upgrade" in tokens):
            raise BadMessage(502, "upgrade_not_asked_for")

    def _begin_body(self, head: ResponseHead, events: list[ResponseEvent]) -> None:
        if head.body > 0:
            self._left = head.body
            self._state = _LENGTH
        elif head.body == UNTIL_END:
            self._state = _CHUNKED if self._chunks is not None else _UNTIL_CLOSE
        elif head.status == 101:
            self._state = _UPGRADED
        elif head.status >= 200:
            self._complete(events)


def _is_everyday(marked: Fields) -> bool:
    """Whether at most one Content-Length decides what follows; else llhttp has a say besides us."""
    lengths = 0
    for each in marked:
        if each.kind == CONTENT_LENGTH:
            lengths += 1
        elif each.kind >= FRAMES_FROM:
            return False
    return lengths < 2
