"""
What the resources below C{/.appproxy/} share: asking who is there, waiting for
an answer, and sending it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from appproxy.httpwire.cookies import own_cookie
from appproxy.model.principal import Principal
from appproxy.model.refusal import Error, Refusal
from appproxy.pages.answers import HTML, PROBLEM_JSON, respond
from appproxy.pages.pages import Pages
from appproxy.pages.request import PageRequest
from appproxy.session.cookies import SESSION_COOKIE
from appproxy.session.outcomes import CookieProblem, NotHere, StoreAway
from appproxy.session.records import Sessions
from appproxy.store.istore import StoreError

NO_REFERRER: Final = (b"Referrer-Policy", b"no-referrer")

MAXIMUM_WAITING: Final = 500
"""Answers that may be waited for at once: a provider that hangs must not fill the memory."""

STORE_AWAY: Final = Refusal(Error.ServiceUnavailable, "store_unreachable", "operator")
_OVERLOADED: Final = Refusal(Error.ServiceUnavailable, "overloaded", "ours")
_BUG: Final = Refusal(Error.InternalServerError, "bug", "ours")
UNKNOWN_PATH: Final = Refusal(Error.NotFound, "unknown_path")
WRONG_METHOD: Final = Refusal(Error.MethodNotAllowed, "method_not_allowed")

_log = Logger()


@dataclass(frozen=True)
class Answer:
    """
    What a resource answers with.

    @ivar headers: instead of the usual ones of their names.
    @ivar cookies: Set-Cookie values.
    """

    status: int
    body: bytes = b""
    content_type: bytes = HTML
    headers: tuple[tuple[bytes, bytes], ...] = ()
    cookies: tuple[bytes, ...] = ()


Method = Callable[[PageRequest], Awaitable[Answer]]
"""What answers one method of one resource."""


def redirect(location: str, *cookies: bytes) -> Answer:
    """
    See other, and tell nobody where from: the addresses here hold tickets and codes.
    """
    return Answer(303, headers=((b"Location", location.encode("ascii")), NO_REFERRER), cookies=cookies)


def json_answer(status: int, document: Mapping[str, Any]) -> Answer:
    """A JSON document."""
    return Answer(status, json.dumps(document).encode() + b"\n", b"application/json")


class Answering:
    """
    What every resource here is made with.

    @param portal_origin: scheme, host and port of the portal.
    """

    def __init__(self, sessions: Sessions, pages: Pages, clock: IReactorTime, portal_origin: str) -> None:
        self.sessions = sessions
        self.pages = pages
        self.clock = clock
        self.portal_url = portal_origin + "/"
        self._waiting = 0

    async def signed_in(self, request: PageRequest) -> Principal | None:
        """
        Who is signed in at this host with this browser.

        @raise StoreAway: if nobody can tell.
        """
        cookie = cookie_of(request, SESSION_COOKIE)
        if cookie is None:
            return None
        try:
            try:
                return self.sessions.open_cookie(cookie, request.host_name)
            except NotHere as first_sight:
                await self.sessions.fetch(first_sight.session_id)
            return self.sessions.open_cookie(cookie, request.host_name)
        except (CookieProblem, NotHere):
            return None

    def refused(
        self,
        request: PageRequest,
        refusal: Refusal,
        retry_url: str | None = None,
        cookies: tuple[bytes, ...] = (),
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> Answer:
        """
        An error page. Its links say nothing of the address that it stands at, which may hold
        a ticket or a code; it has no form, which would have to say where it comes from.
        """
        request.refusal = refusal
        body = self.pages.error(
            refusal,
            request.transaction_id,
            self.clock.seconds(),
            host=request.host_name.decode("ascii", "replace"),
            retry_url=retry_url,
        )
        return Answer(refusal.status, body, cookies=cookies, headers=(NO_REFERRER, *headers))

    def sign_in_required(self, request: PageRequest) -> Answer:
        """For scripts: where a navigation leads to signing in."""
        refusal = request.refusal = Refusal(Error.SignInRequired, "no_session")
        body = self.pages.problem_json(refusal, request.transaction_id, sign_in_url=request.origin + "/")
        realm = b'AppProxy realm="' + request.host_name + b'"'
        return Answer(401, body, PROBLEM_JSON, ((b"WWW-Authenticate", realm),))

    def send(self, request: PageRequest, answer: Answer) -> bytes:
        """Set status and headers; returns the body."""
        body = respond(
            request,
            answer.status,
            answer.body,
            answer.content_type,
            transaction_id=request.transaction_id,
            form_targets=self.pages.form_targets,
        )
        for name, value in answer.headers:
            request.responseHeaders.setRawHeaders(name, [value])
        for cookie in answer.cookies:
            request.responseHeaders.addRawHeader(b"Set-Cookie", cookie)
        return body

    def wait(self, request: PageRequest, method: Method) -> int:
        """
        Send a method's answer when it is there; whatever goes wrong becomes an error page.
        """
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)

        def finish(result: Answer | Failure) -> None:
            self._waiting -= 1
            ready = self._explained(request, result) if isinstance(result, Failure) else result
            if not gone:
                stream: Request = request
                stream.write(self.send(request, ready))
                stream.finish()

        async def run() -> Answer:
            if self._waiting > MAXIMUM_WAITING:
                return self.refused(request, _OVERLOADED)
            return await method(request)

        self._waiting += 1
        Deferred.fromCoroutine(run()).addBoth(finish).addErrback(self._failed)
        return NOT_DONE_YET

    def _explained(self, request: PageRequest, failure: Failure) -> Answer:
        if failure.check(StoreError, StoreAway):
            return self.refused(request, STORE_AWAY)
        _log.failure(
            "{method} {path} failed",
            failure,
            method=request.method.decode("ascii", "replace"),
            path=request.path.decode("ascii", "replace"),
            transaction_id=request.transaction_id,
            fault="ours",
        )
        return self.refused(request, _BUG)

    @staticmethod
    def _failed(failure: Failure) -> None:
        _log.failure("an answer could not be sent", failure, fault="ours")


def cookie_of(request: Request, name: bytes) -> bytes | None:
    """The value of one of our cookies, if the request has exactly one of that name."""
    return own_cookie(b"; ".join(request.requestHeaders.getRawHeaders(b"cookie") or ()), name)


class Page(Resource):
    """
    A leaf that answers the methods it is given, and no others.

    HEAD is not GET here: several of these pages use something up.
    """

    isLeaf = True

    def __init__(self, answering: Answering, **methods: Method) -> None:
        Resource.__init__(self)
        self._answering = answering
        self._methods = {name.encode("ascii"): method for name, method in methods.items()}

    def render(self, request: PageRequest) -> bytes | int:
        method = self._methods.get(request.method)
        if request.postpath:
            return self._answering.send(request, self._answering.refused(request, UNKNOWN_PATH))
        if method is None:
            allow = (b"Allow", b", ".join(sorted(self._methods)))
            refusal = self._answering.refused(request, WRONG_METHOD, headers=(allow,))
            return self._answering.send(request, refusal)
        return self._answering.wait(request, method)


class Folder(Resource):
    """What stands at C{/.appproxy/}: its children, and an error page for all else."""

    def __init__(self, answering: Answering, children: Mapping[bytes, IResource]) -> None:
        Resource.__init__(self)
        self._answering = answering
        for name, child in children.items():
            self.putChild(name, child)

    def getChild(self, path: bytes, request: Request) -> IResource:
        return _NotFound(self._answering)

    def render(self, request: PageRequest) -> bytes:
        return self._answering.send(request, self._answering.refused(request, UNKNOWN_PATH))


class _NotFound(Resource):
    isLeaf = True

    def __init__(self, answering: Answering) -> None:
        Resource.__init__(self)
        self._answering = answering

    def render(self, request: PageRequest) -> bytes:
        return self._answering.send(request, self._answering.refused(request, UNKNOWN_PATH))
