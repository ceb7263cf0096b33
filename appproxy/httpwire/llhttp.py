"""
llhttp as a strict judge of one complete head.

It is given exactly the bytes of a head, never of a body: where the head ends
and how long the body is, is our own reckoning, since llhttp neither tells
where it stopped nor can be told that a response has no body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import httptools

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.heads import Headers

_RULES: Final = (
    ("can't be present with", "both_length_and_chunked"),
    ("Duplicate Content-Length", "more_than_one_framing"),
    ("Content-Length", "content_length"),
    ("Transfer-Encoding", "transfer_encoding"),
    ("header value char", "header_value"),
    ("after header value", "header_line_end"),
    ("header token", "header_name"),
    ("header field char", "header_name"),
    ("space after start line", "header_name"),
    ("url", "target"),
)


class _Collector:
    """What httptools calls back; apart from the judge, so that no cycle keeps closed connections alive."""

    __slots__ = ("headers",)

    def __init__(self) -> None:
        self.headers: Headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        # llhttp leaves blanks at the end of values.
        self.headers.append((name, value.strip()))


class HeadJudge:
    """
    Reads complete heads of one kind.

    @param make: L{httptools.HttpRequestParser} or L{httptools.HttpResponseParser}.
    @param status: of the L{BadMessage} for a head that llhttp refuses.
    """

    __slots__ = ("_collector", "_fresh", "_make", "_parser", "_status")

    def __init__(self, make: Callable[[Any], Any], status: int) -> None:
        self._make = make
        self._status = status
        self._collector = _Collector()
        self._parser: Any = None
        self._fresh = False

    def headers_of(self, head: bytes) -> Headers:
        """
        Let llhttp judge a head.

        @return: its headers, values without outer blanks.
        @raise BadMessage: if it refuses.
        """
        if not self._fresh:
            self._parser = self._make(self._collector)
        self._fresh = False
        headers: Headers = []
        self._collector.headers = headers
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade as stop:
            if stop.args[0] != len(head):
                raise BadMessage(self._status, "head") from None
        except httptools.HttpParserError as error:
            raise BadMessage(self._status, rule_of(str(error))) from None
        return headers

    def reuse(self) -> None:
        """
        Say that the last head had neither body nor upgrade: llhttp stands at
        the beginning of the next head and need not be made anew.
        """
        self._fresh = True


def rule_of(reason: str) -> str:
    """
    Our name for the rule that llhttp speaks of.
    """
    for part, rule in _RULES:
        if part in reason:
            return rule
    return "head"
