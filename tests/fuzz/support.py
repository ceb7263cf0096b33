"""
What the targets share: promises, and ways to cut bytes into pieces.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final, TypeVar
from zlib import crc32

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

_T = TypeVar("_T")

HTTP_WORDS: Final = (
    b"\r\n", b": ", b"Host: ", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Connection: ",
    b"Upgrade: websocket\r\n", b"Cookie: ", b"__Host-appproxy-", b"Referer: ", b"Date: ", b"HTTP/1.1",
    b"HTTP/1.0", b"Set-Cookie: ", b"\r\n\r\n", b"0\r\n\r\n", b"Expect: 100-continue\r\n", b"keep-alive",
    b"close", b"\t", b"\n",
)  # fmt: skip
"""What HTTP is made of."""

ONE_BY_ONE_SIZE: Final = 256
"""Longer bytes are not fed one at a time, nor are most shorter ones: it would take most of the run."""


class Broken(AssertionError):
    """A promise does not hold."""


def hold(promise: bool, what: str, *about: object) -> None:
    """
    Say what has to be true.

    @param about: what to show if it is not.
    @raise Broken: if it is not.
    """
    if not promise:
        raise Broken(": ".join([what, *map(repr, about)]))


def same(one: object, other: object, what: str) -> None:
    """
    Two things have to be equal.

    @raise Broken: if they are not.
    """
    hold(one == other, what, one, other)


def refused(kind: type[Exception], call: Callable[..., _T], *arguments: Any) -> _T | None:
    """What the call returns; L{None} if it refuses, in the one way in which it may."""
    try:
        return call(*arguments)
    except kind:
        return None


def splits(data: bytes) -> Iterator[list[bytes]]:
    """A way or two to cut the bytes, always the same ones for the same bytes."""
    random = Random(crc32(data))
    if len(data) <= ONE_BY_ONE_SIZE and not random.randrange(4):
        yield [data[at : at + 1] for at in range(len(data))]
    points = sorted(random.randrange(len(data) + 1) for _ in range(random.randint(1, 4)))
    pieces = [data[start:end] for start, end in itertools.pairwise([0, *points, len(data)])]
    yield [piece for piece in pieces if piece]


@implementer(ILogObserver)
class _Bugs:
    """Keeps what is logged as a fault of ours."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        if event.get("fault") == "ours":
            self.events.append(event)


@contextmanager
def no_bugs_logged() -> Iterator[None]:
    """
    Nothing inside of this may be logged as a fault of ours: some layers catch everything.

    @raise Broken: with what was logged.
    """
    bugs = _Bugs()
    globalLogPublisher.addObserver(bugs)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(bugs)
    shown = [str(each.get("log_failure", each)) for each in bugs.events]
    hold(not shown, "a fault of ours was logged", *shown)


class Browser:
    """
    How a browser reads a redirect (WHATWG URL, special schemes only), as far as hosts and paths go.

    @ivar origin: scheme and authority that it ends at, in lower case.
    @ivar path: with dot segments resolved, and percent signs left alone.
    """

    def __init__(self, base_origin: str, reference: str) -> None:
        text = "".join(each for each in reference if each not in "\t\n\r")
        text = text.strip("".join(map(chr, range(0x21))))
        text, _, _ = text.partition("#")
        text, _, _ = text.partition("?")
        text = text.replace("\\", "/")
        scheme, colon, rest = text.partition(":")
        if colon and scheme.lower() in ("http", "https"):
            # Any number of slashes, even none (of the base's own scheme: a path beside it).
            if scheme.lower() == base_origin.partition(":")[0] and not rest.startswith("/"):
                text = rest
            else:
                text = "//" + rest.lstrip("/")
                base_origin = f"{scheme.lower()}://"
        elif colon and scheme[:1].isalpha() and scheme.isascii() and scheme.replace("+", "").isalnum():
            self.origin, self.path = f"{scheme.lower()}:", rest
            return
        if text.startswith("//"):
            authority, slash, path = text.lstrip("/").partition("/")
            self.origin = f"{base_origin.partition(':')[0]}://{authority.lower()}"
            text = slash + path
        else:
            self.origin = base_origin
        self.path = self._resolved(text)

    @staticmethod
    def _resolved(path: str) -> str:
        kept: list[str] = []
        for part in path.removeprefix("/").split("/"):
            plain = part.lower().replace("%2e", ".")
            if plain == "..":
                del kept[-1:]
            elif plain != ".":
                kept.append(part)
        return "/" + "/".join(kept)
