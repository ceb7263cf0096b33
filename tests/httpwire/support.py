"""
Helpers that feed messages in any split.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from hypothesis import strategies

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.heads import End, RequestHead
from appproxy.httpwire.request_parser import RequestEvent, RequestParser
from appproxy.httpwire.response_parser import ResponseEvent

_E = TypeVar("_E", RequestEvent, ResponseEvent)


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
    events, refusal = read_until_refused(pieces)
    if refusal is not None:
        raise refusal
    return events


def read_until_refused(
    pieces: Iterable[bytes], parser: RequestParser | None = None
) -> tuple[list[RequestEvent], BadMessage | None]:
    """
    The events of L{read_all} up to the refusal, and that, if there is one.

    @param parser: one that was not used yet, for whoever asks it more; a new one by default.
    """
    parser = parser or RequestParser()
    events: list[RequestEvent] = []
    try:
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
    except BadMessage as refusal:
        return joined(events), refusal
    return joined(events), None


def verdict(pieces: Iterable[bytes]) -> list[RequestEvent] | int:
    """
    What L{read_all} says, or the status of the refusal.
    """
    events, refusal = read_until_refused(pieces)
    return events if refusal is None else refusal.status


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


def complete_requests(events: Iterable[RequestEvent]) -> list[tuple[bytes, bytes, bytes]]:
    """
    Method, target and body of each request that came to its end.
    """
    complete, body = [], b""
    head: RequestHead | None = None
    for event in events:
        if isinstance(event, RequestHead):
            head, body = event, b""
        elif isinstance(event, bytes):
            body += event
        elif head is not None:
            complete.append((head.method, head.target, body))
    return complete
