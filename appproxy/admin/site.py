"""
The admin socket's web site: who may speak, what is understood, and how
refusals are told.
"""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import unquote

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.unix import Server
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from appproxy.admin.api import AdminApi, Call
from appproxy.admin.changes import InThread
from appproxy.admin.errors import AdminError, bad_request, not_found
from appproxy.admin.peer import Peer, peer_of
from appproxy.store.istore import StoreError

HOST: Final = b"appproxy"
"""The only Host that is answered: whatever brings a browser here says another one."""

MAXIMUM_BODY: Final = 64 << 20
"""A catalog of 50,000 applications with their JSON escapes fits."""

IDLE_SECONDS: Final = 60.0
"""A command sends one request after the other; nobody stays connected to do nothing."""

_log = Logger()


class AdminRequest(Request):
    """A request whose body is bounded."""

    is_too_large = False

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a piece of the body; what is beyond the bound is thrown away."""
        assert self.content is not None  # gotLength made it
        if self.is_too_large or self.content.tell() + len(data) > MAXIMUM_BODY:
            self.is_too_large = True
            return
        super().handleContentChunk(data)  # type: ignore[no-untyped-call]


class AdminResource(Resource):
    """Finds the handler, and tells what it says as JSON."""

    isLeaf = True

    def __init__(self, api: AdminApi, in_thread: InThread) -> None:
        """
        @param in_thread: where the system is asked for a user's name.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._api = api
        self._in_thread = in_thread

    def render(self, request: Request) -> int:
        """Answer in time; whoever hung up meanwhile is not told."""
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)

        def send(answer: tuple[int, object]) -> None:
            if not gone:
                _send(request, *answer)

        Deferred.fromCoroutine(self._answer(request)).addCallback(send).addErrback(_lost)
        return NOT_DONE_YET

    async def _answer(self, request: Request) -> tuple[int, object]:
        try:
            return 200, await self._ask(request)
        except AdminError as error:
            return error.status, error.as_dict()
        except StoreError as error:
            _log.error("the admin socket: the store fails: {reason}", reason=str(error), fault="operator")
            failed = AdminError(503, "store_unreachable", f"the store does not answer: {error}")
            return failed.status, failed.as_dict()
        except Exception:
            _log.failure("the admin socket could not answer", fault="ours")
            return 500, AdminError(500, "bug", "this is a bug; the edge's log has a traceback").as_dict()

    async def _ask(self, request: Request) -> object:
        peer = await self._peer(request)
        body = _body_of(request)
        version, *path = [unquote(part) for part in request.path.decode("ascii", "replace").split("/")[1:]]
        if version != "v1":
            raise not_found("version", version)
        handler = self._api.handler(request.method.decode("ascii", "replace"), tuple(path))
        return await handler(Call(peer, body))

    async def _peer(self, request: Request) -> Peer:
        transport = request.channel.transport
        try:
            if not isinstance(transport, Server):
                raise OSError("not a Unix socket")
            connection = transport.getHandle()
            peer: Peer = await self._in_thread(lambda: peer_of(connection))
        except OSError:
            raise AdminError(403, "forbidden", "the system does not say who is asking") from None
        return peer


class AdminSite(Site):
    """Serves L{AdminResource}."""

    def __init__(self, api: AdminApi, in_thread: InThread, reactor: IReactorTime) -> None:
        resource = AdminResource(api, in_thread)
        super().__init__(  # type: ignore[no-untyped-call]
            resource,
            requestFactory=AdminRequest,
            parsePOSTFormSubmission=False,
            timeout=IDLE_SECONDS,
            reactor=reactor,
        )
        self.displayTracebacks = False

    def startFactory(self) -> None:
        """Nothing: there is no access log here, so no clock for it has to tick."""

    def stopFactory(self) -> None:
        """Nothing, as L{startFactory}."""

    def log(self, request: Any) -> None:
        """Nothing: what matters has its audit line."""


def _body_of(request: Request) -> object:
    if request.requestHeaders.getRawHeaders(b"host") != [HOST]:
        raise bad_request("this host is not served here")
    if isinstance(request, AdminRequest) and request.is_too_large:
        raise AdminError(413, "too_large", f"a request has at most {MAXIMUM_BODY >> 20} MiB")
    content = b"" if request.content is None else request.content.read()
    if not content:
        return None
    if request.getHeader(b"content-type") != b"application/json":
        raise bad_request("a body is application/json")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise bad_request("the body is not JSON") from None


def _send(request: Request, status: int, answer: object) -> None:
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    request.write(json.dumps(answer, ensure_ascii=False).encode())
    request.finish()


def _lost(failure: Failure) -> None:
    _log.failure("an answer could not be sent", failure, fault="ours")
