"""
The demo provider on the web: discovery, keys, tokens and the sign-in page.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from twisted.web.resource import Resource
from twisted.web.server import Request

from appproxy.demo.page import DemoPages
from appproxy.demo.provider import (
    AUTHORIZE_PATH,
    END_SESSION_PATH,
    KEYS_PATH,
    TOKEN_PATH,
    USERINFO_PATH,
    Provider,
)
from appproxy.demo.provider_server import Answer, ProviderRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLE: Final = "Demo applications"
MAXIMUM_FORM_BYTES: Final = 16 * 1024
"""Of a form: a user name, a password or a code is all that comes."""


def provider_resource(provider: Provider, pages: DemoPages) -> Resource:
    """The root of the provider's site."""
    root = pages.mount(Resource())
    known = Resource()
    known.putChild(b"openid-configuration", _Json(provider.discovery))
    root.putChild(b".well-known", known)
    root.putChild(KEYS_PATH[1:].encode(), _Json(provider.keys))
    root.putChild(AUTHORIZE_PATH[1:].encode(), _Authorize(provider, pages))
    root.putChild(TOKEN_PATH[1:].encode(), _Token(provider))
    root.putChild(USERINFO_PATH[1:].encode(), _UserInfo(provider))
    root.putChild(END_SESSION_PATH[1:].encode(), _EndSession(provider, pages))
    root.putChild(b"", _Home(provider, pages))
    return root


def provider_request(provider: Provider, request: Request) -> ProviderRequest:
    """The same request as the provider's own logic reads it."""
    query = request.uri.partition(b"?")[2]
    body = request.content.read(MAXIMUM_FORM_BYTES) if request.method == b"POST" and request.content else b""
    headers = {
        name.decode("latin-1"): values[-1].decode("latin-1")
        for name, values in request.requestHeaders.getAllRawHeaders()
    }
    return ProviderRequest(
        request.method.decode("ascii", "replace"),
        provider.issuer + request.uri.decode("ascii", "replace"),
        headers,
        _fields(query),
        _fields(body),
    )


def _fields(encoded: bytes) -> Mapping[str, list[str]]:
    return parse_qs(encoded.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100)


def _send(request: Request, answer: Answer) -> bytes:
    request.setResponseCode(answer.status)
    request.setHeader(b"Cache-Control", b"no-store")
    for name, value in answer.headers:
        request.setHeader(name.encode("latin-1"), value.encode("latin-1"))
    return answer.body


class _Json(Resource):
    isLeaf = True

    def __init__(self, content: Callable[[], dict[str, object]]) -> None:
        Resource.__init__(self)
        self._content = content

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"application/json")
        return json.dumps(self._content(), indent=2).encode() + b"\n"


class _Page(Resource):
    isLeaf = True

    def __init__(self, provider: Provider, pages: DemoPages) -> None:
        Resource.__init__(self)
        self._provider = provider
        self._pages = pages


class _Home(_Page):
    def render_GET(self, request: Request) -> bytes:
        return self._pages.respond(request, "provider_home.html", title=TITLE)


class _Authorize(_Page):
    def render_GET(self, request: Request) -> bytes:
        asked = provider_request(self._provider, request)
        refused = self._provider.refuse_authorization(asked)
        return self._page(request) if refused is None else self._back(request, refused)

    def render_POST(self, request: Request) -> bytes:
        asked = provider_request(self._provider, request)
        refused = self._provider.refuse_authorization(asked)
        if refused is not None:
            return self._back(request, refused)
        if "cancel" in asked.form:
            return self._back(request, self._provider.authorize(asked, None))
        user_name = asked.form.get("user", "")
        user = self._provider.check(user_name, asked.form.get("password", ""))
        if user is None:
            return self._page(request, user_name, failed=True)
        return self._back(request, self._provider.authorize(asked, user))

    def _page(self, request: Request, user_name: str = "", failed: bool = False) -> bytes:
        return self._pages.respond(
            request,
            "sign_in.html",
            status=403 if failed else 200,
            title=TITLE,
            action=request.uri.decode("ascii", "replace"),
            users=self._provider.users,
            user_name=user_name,
            failed=failed,
        )

    def _back(self, request: Request, answer: Answer) -> bytes:
        if any(name.lower() == "location" for name, _ in answer.headers):
            # 303: what was posted here (a password) must not be posted there.
            return _send(request, Answer(303, b"", answer.headers))
        problem = json.loads(answer.body or b"{}")
        return self._pages.respond(
            request,
            "provider_error.html",
            status=400,
            title=TITLE,
            problem=problem.get("error", "invalid_request"),
            description=problem.get("error_description", ""),
        )


class _Token(Resource):
    isLeaf = True

    def __init__(self, provider: Provider) -> None:
        Resource.__init__(self)
        self._provider = provider

    def render_POST(self, request: Request) -> bytes:
        return _send(request, self._provider.token(provider_request(self._provider, request)))


class _UserInfo(Resource):
    isLeaf = True

    def __init__(self, provider: Provider) -> None:
        Resource.__init__(self)
        self._provider = provider

    def render_GET(self, request: Request) -> bytes:
        authorization = request.getHeader(b"authorization") or b""
        claims = self._provider.userinfo(authorization.decode("latin-1"))
        request.setHeader(b"Content-Type", b"application/json")
        if claims is None:
            request.setResponseCode(401)
            request.setHeader(b"WWW-Authenticate", b'Bearer error="invalid_token"')
            return b'{"error": "invalid_token"}\n'
        return json.dumps(claims).encode() + b"\n"

    render_POST = render_GET


class _EndSession(_Page):
    def render_GET(self, request: Request) -> bytes:
        answer = self._provider.end_session(provider_request(self._provider, request))
        if answer is not None:
            return _send(request, answer)
        return self._pages.respond(request, "provider_home.html", title=TITLE)

    render_POST = render_GET
