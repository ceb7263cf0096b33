"""
Sample application: uploads to disk, and downloads of any size made on the fly.

C{PUT /upload/NAME} and C{POST /upload} take a plain body or a form;
C{GET /download?size=10GiB} sends that many bytes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from twisted.internet.interfaces import IPushProducer
from twisted.web.pages import notFound
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.static import File
from zope.interface import implementer

from appproxy.demo.page import DemoPages, site_of
from appproxy.demo.uploads import Shelf, UploadProblem, UploadRequest
from appproxy.model.units import parse_size

if TYPE_CHECKING:
    from twisted.web.http import HTTPChannel

BLOCK_SIZE: Final = 64 * 1024
"""Bytes of one write."""

MAXIMUM_DOWNLOAD: Final = 1 << 40
"""One TiB is endless enough."""

DEFAULT_DOWNLOAD: Final = "100MiB"
_BLOCK: Final = random.Random(0).randbytes(BLOCK_SIZE)
"""The same bytes each time, so that a download can be checked, and not to be compressed away."""


def files_site(pages: DemoPages, shelf: Shelf) -> Site:
    """The whole application; it needs requests of its own kind."""
    root = pages.mount(Resource())
    root.putChild(b"", _Home(pages, shelf))
    root.putChild(b"upload", _Upload())
    root.putChild(b"download", _Download())
    root.putChild(b"stored", _Stored(shelf))
    root.putChild(b"delete", _Delete(shelf))
    site = site_of(root)

    def new_request(channel: HTTPChannel, queued: object = None) -> UploadRequest:
        return UploadRequest(channel, shelf)

    site.requestFactory = new_request  # type: ignore[assignment]
    return site


def human_size(size: int) -> str:
    """C{1.4 MiB}: a size as people read it."""
    value = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def download_size(text: str) -> int:
    """
    Bytes of C{"4096"} or C{"10GiB"}.

    @raise ValueError: if it is neither, or more than L{MAXIMUM_DOWNLOAD}.
    """
    size = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else parse_size(text)
    if size > MAXIMUM_DOWNLOAD:
        raise ValueError("at most 1024GiB")
    return size


class _Home(Resource):
    isLeaf = True

    def __init__(self, pages: DemoPages, shelf: Shelf) -> None:
        Resource.__init__(self)
        self._pages = pages
        self._shelf = shelf

    def render_GET(self, request: Request) -> bytes:
        files = [(each.name, quote(each.name), human_size(each.size)) for each in self._shelf.stored()]
        return self._pages.respond(
            request, "files.html", title="File drop", files=files, default=DEFAULT_DOWNLOAD
        )


class _Upload(Resource):
    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)

    def render_POST(self, request: UploadRequest) -> bytes:
        name = "/".join(unquote(each.decode("latin-1")) for each in request.postpath or ())
        if request.incoming is None:
            return _problem(request, UploadProblem(400, "send a file, or a form with one"))
        try:
            kept = request.incoming.finish(name)
        except UploadProblem as problem:
            return _problem(request, problem)
        if b"text/html" in (request.getHeader(b"accept") or b""):
            return _see_other(request, b"/")
        plain = [{"name": each.name, "size": each.size, "sha256": each.sha256} for each in kept]
        return _json(request, 201, {"files": plain})

    render_PUT = render_POST


class _Download(Resource):
    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)

    def render_GET(self, request: Request) -> bytes | int:
        asked = (request.args or {}).get(b"size", [DEFAULT_DOWNLOAD.encode()])[0].decode("latin-1")
        try:
            size = download_size(asked)
        except ValueError as error:
            return _problem(request, UploadProblem(400, f"size: {error}"))
        request.setHeader(b"Content-Type", b"application/octet-stream")
        request.setHeader(b"Content-Length", b"%d" % size)
        request.setHeader(b"Content-Disposition", b'attachment; filename="download.bin"')
        request.setHeader(b"Cache-Control", b"no-store")
        if request.method == b"HEAD" or size == 0:
            return b""
        Generator(request, size, request.finish).start()
        return NOT_DONE_YET


@implementer(IPushProducer)
class Generator:
    """
    Writes C{size} bytes to a request, as many at a time as it has room for.

    @param done: called after the last byte, not if the client goes away.
    """

    def __init__(self, request: Request, size: int, done: Callable[[], object]) -> None:
        self._request = request
        self._left = size
        self._done = done
        self._paused = False

    def start(self) -> None:
        """Begin to write."""
        self._request.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        # The transport pauses as soon as its buffer is full, within write().
        while self._left and not self._paused:
            block = _BLOCK if self._left >= BLOCK_SIZE else _BLOCK[: self._left]
            self._left -= len(block)
            self._request.write(block)
            if not self._left:
                self._request.unregisterProducer()
                self._done()

    def pauseProducing(self) -> None:
        self._paused = True

    def stopProducing(self) -> None:
        self._paused = True
        self._left = 0


class _Stored(Resource):
    def __init__(self, shelf: Shelf) -> None:
        Resource.__init__(self)
        self._shelf = shelf

    def getChild(self, path: bytes, request: Request) -> IResource:
        name = path.decode("utf-8", "replace")
        if name not in {each.name for each in self._shelf.stored()} or request.postpath:
            return notFound()
        request.setHeader(b"Content-Disposition", b"attachment")
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        request.setHeader(b"Content-Security-Policy", b"sandbox")
        return File(str(self._shelf.folder / name), defaultType="application/octet-stream")


class _Delete(Resource):
    isLeaf = True

    def __init__(self, shelf: Shelf) -> None:
        Resource.__init__(self)
        self._shelf = shelf

    def render_POST(self, request: Request) -> bytes:
        name = (request.args or {}).get(b"name", [b""])[0].decode("utf-8", "replace")
        self._shelf.delete(name)
        return _see_other(request, b"/")


def _see_other(request: Request, where: bytes) -> bytes:
    request.setResponseCode(303)
    request.setHeader(b"Location", where)
    return b""


def _json(request: Request, status: int, content: object) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"application/json")
    return json.dumps(content).encode() + b"\n"


def _problem(request: Request, problem: UploadProblem) -> bytes:
    return _json(request, problem.status, {"problem": str(problem)})
