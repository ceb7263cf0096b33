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
from appproxy.httpwire.field import Pair

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
    """What httptools calls back."""

    __slots__ = ("headers",)

    def __init__(self) -> None:
        self.headers: list[Pair] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        # llhttp leaves blanks at the end of values.
        self.headers.append((name, value.strip()))


def judge_head(make: Callable[[Any], Any], head: bytes, status: int) -> list[Pair]:
    """
    Let llhttp judge a head.

    @param make: L{httptools.HttpRequestParser} or L{httptools.HttpResponseParser}.
    @param status: of the L{BadMessage} for a head that llhttp refuses.
    @return: its headers, values without outer blanks.
    @raise BadMessage: if it refuses.
    """
    collector = _Collector()
    try:
        make(collector).feed_data(head)
    except httptools.HttpParserUpgrade as stop:
        if stop.args[0] != len(head):
            raise BadMessage(status, "head") from None
    except httptools.HttpParserError as error:
        raise BadMessage(status, rule_of(str(error))) from None
    return collector.headers


def rule_of(reason: str) -> str:
    """
    Our name for the rule that llhttp speaks of.
    """
    for part, rule in _RULES:
        if part in reason:
            return rule
    return "head"
