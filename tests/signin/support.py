"""
A small OpenID Connect provider that signs real tokens, browsers that keep
cookies by host, and one edge's sign-in between them; all in memory.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.test.requesthelper import DummyChannel

from appproxy.model.application import CookieSettings
from appproxy.pages.pages import Pages
from appproxy.pages.request import PageRequest
from appproxy.session.handover import host_of
from appproxy.signin.answering import Answering
from appproxy.signin.auth_host import AuthHost, resources_for_auth_host
from appproxy.signin.claims import ClaimsMapping
from appproxy.signin.every_host import EveryHost, resources_for_every_host
from appproxy.signin.flow import SignInFlow
from appproxy.signin.provider import Provider, ProviderSettings
from appproxy.signin.web_client import provider_client
from tests.session.support import AUTH, Edge, EdgeTestCase

ISSUER: Final = "https://login.example.com/realms/main"
CLIENT_ID: Final = "app proxy"
CLIENT_SECRET: Final = "CANARY s3cr:t/%+"
PORTAL: Final = "https://portal.example.com"


@cache
def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """A key of the provider; making one takes a while."""
    return rsa.generate_private_key(65537, 2048)


@cache
def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    """An elliptic curve key of the provider."""
    return ec.generate_private_key(curve())


@cache
def ed_key() -> ed25519.Ed25519PrivateKey:
    """An Ed25519 key of the provider."""
    return ed25519.Ed25519PrivateKey.generate()


def public_jwk(key: Any, **members: Any) -> dict[str, Any]:
    """The public half of a key as a JWK."""
    if isinstance(key, rsa.RSAPrivateKey):
        plain = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        plain = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        plain = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    plain.pop("key_ops", None)
    return {**plain, **members}


def signed(
    claims: Any, key: Any = None, algorithm: str = "RS256", kid: str | None = "k1", **header: Any
) -> str:
    """A token over any payload at all."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    headers = {**({} if kid is None else {"kid": kid}), **header}
    return jwt.PyJWS().encode(payload, key or rsa_key(), algorithm, headers=headers)


class _Leaf(Resource):
    isLeaf = True

    def __init__(self, answer: Callable[[Request], bytes]) -> None:
        Resource.__init__(self)
        self._answer = answer

    def render(self, request: Request) -> bytes:
        return self._answer(request)


@dataclass
class FakeProvider:
    """
    The provider. Tests bend it by its attributes.

    @ivar change_claims: what to change in the next ID token's claims.
    @ivar token_answer: sent instead of the tokens, as status and body.
    @ivar requests: the paths that were asked for.
    """

    now: Callable[[], float]
    discovery: dict[str, Any] = field(default_factory=dict)
    keys: list[dict[str, Any]] = field(default_factory=lambda: [public_jwk(rsa_key(), kid="k1", use="sig")])
    user: dict[str, Any] = field(default_factory=dict)
    user_info: dict[str, Any] | None = None
    change_claims: dict[str, Any] = field(default_factory=dict)
    sign: Callable[[dict[str, Any]], str] = signed
    token_answer: tuple[int, bytes] | None = None
    requests: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    cookies_seen: list[bytes] = field(default_factory=list)
    bad_authentication: int = 0

    def __post_init__(self) -> None:
        self.discovery = {
            "issuer": ISSUER,
            "authorization_endpoint": ISSUER + "/authorize?tenant=1",
            "token_endpoint": ISSUER + "/token",
            "jwks_uri": ISSUER + "/jwks",
            "userinfo_endpoint": ISSUER + "/userinfo",
            "end_session_endpoint": ISSUER + "/logout",
        }
        self.user = {"sub": "ada-subject", "upn": "Ada@Example.com", "name": "Ada", "sid": "provider-session"}

    def resource(self) -> Resource:
        """The provider's web site."""
        return _Leaf(self._answer)

    def _answer(self, request: Request) -> bytes:
        path = request.path.decode().removeprefix("/realms/main")
        self.requests.append(path)
        self.cookies_seen += request.requestHeaders.getRawHeaders(b"cookie") or []
        request.setHeader(b"Set-Cookie", b"tracking=1; Path=/")
        answers = {
            "/.well-known/openid-configuration": lambda: self._json(request, self.discovery),
            "/jwks": lambda: self._json(request, {"keys": self.keys}),
            "/token": lambda: self._token(request),
            "/userinfo": lambda: self._json(request, self.user_info or {"sub": self.user["sub"]}),
        }
        return answers[path]()

    @staticmethod
    def _json(request: Request, document: Any, status: int = 200) -> bytes:
        request.setResponseCode(status)
        request.setHeader(b"Content-Type", b"application/json")
        return document if isinstance(document, bytes) else json.dumps(document).encode()

    def _token(self, request: Request) -> bytes:
        if self.token_answer is not None:
            return self._json(request, self.token_answer[1], self.token_answer[0])
        fields = {name.decode(): values[0].decode() for name, values in (request.args or {}).items()}
        if not self._authenticated(request, fields):
            self.bad_authentication += 1
            return self._json(request, {"error": "invalid_client"}, 401)
        asked = self.codes.pop(fields["code"], None)
        if asked is None:
            return self._json(request, {"error": "invalid_grant"}, 400)
        digest = hashlib.sha256(fields["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if challenge != asked["code_challenge"] or fields["redirect_uri"] != asked["redirect_uri"]:
            return self._json(request, {"error": "invalid_grant"}, 400)
        tokens = {"access_token": "access", "token_type": "Bearer", "refresh_token": "CANARY-refresh"}
        return self._json(request, {**tokens, "id_token": self.sign(self.claims(asked["nonce"]))})

    @staticmethod
    def _authenticated(request: Request, fields: dict[str, str]) -> bool:
        if "client_secret" in fields:
            return (fields["client_id"], fields["client_secret"]) == (CLIENT_ID, CLIENT_SECRET)
        scheme, _, encoded = (request.getHeader("authorization") or "").partition(" ")
        name, _, secret = base64.b64decode(encoded).decode().partition(":")
        return scheme == "Basic" and (unquote_plus(name), unquote_plus(secret)) == (CLIENT_ID, CLIENT_SECRET)

    def claims(self, nonce: str) -> dict[str, Any]:
        """The claims of an ID token that is right, but for what is to be changed."""
        now = int(self.now())
        right = {"iss": ISSUER, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": nonce}
        changed = {**right, "auth_time": now, "amr": ["pwd", "otp"], **self.user, **self.change_claims}
        return {name: value for name, value in changed.items() if value is not None}

    def authorize(self, url: str) -> str:
        """The user signs in at the provider; where the browser is sent then."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert url.startswith(ISSUER + "/authorize?tenant=1&"), url
        assert asked["client_id"] == CLIENT_ID and asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256" and "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return asked["redirect_uri"] + "?" + urlencode({"code": code, "state": asked["state"], "iss": ISSUER})


def traversing(resource: Resource) -> Any:
    """treq's agent to a resource in memory; it is untyped."""
    make: Any = RequestTraversalAgent
    return make(resource)


class ProviderAgent:
    """
    The way to the provider.

    @ivar down: nothing is connected.
    @ivar slow: nothing is answered.
    """

    def __init__(self, provider: FakeProvider) -> None:
        self._agent: Any = traversing(provider.resource())
        self.down = False
        self.slow = False

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """As an agent does."""
        if self.slow:
            return Deferred()
        if self.down:
            raise ConnectionRefusedError("no way")
        answer: Deferred[IResponse] = self._agent.request(method, uri, headers, bodyProducer)
        self._agent.flush()
        return answer


@dataclass
class Reply:
    """What a browser got."""

    status: int
    headers: Headers
    body: bytes

    @property
    def location(self) -> str:
        """Where a redirect leads."""
        values = self.headers.getRawHeaders("location")
        assert values is not None and len(values) == 1, (self.status, self.body)
        return values[0]


class World(EdgeTestCase):
    """
    A provider, an edge with its resources on every host, and browsers.
    """

    auth_methods: list[str] | None = None

    def setUp(self) -> None:
        super().setUp()
        self.fake = FakeProvider(self.clock.seconds)
        if self.auth_methods is not None:
            self.fake.discovery["token_endpoint_auth_methods_supported"] = self.auth_methods
        self.agent = ProviderAgent(self.fake)
        self.mapping = ClaimsMapping(group_names={"HR": "7d2a"})
        self.cookie_settings = CookieSettings()
        self.healthy = True
        self.stand = self.make_stand(self.edge)

    def make_provider(self) -> Provider:
        """Our side of the provider."""
        settings = ProviderSettings(
            ISSUER, CLIENT_ID, CLIENT_SECRET, AUTH + "/.appproxy/callback", AUTH + "/.appproxy/signed-out"
        )
        client = provider_client(self.agent)  # type: ignore[arg-type]
        return Provider(settings, client, self.clock, self.mapping.is_complete)

    def make_stand(self, edge: Edge) -> Stand:
        """All resources of one edge."""
        provider = self.make_provider()
        flow = SignInFlow(
            provider, self.mapping, edge.sessions, edge.keyring, edge.store, self.clock, AUTH, 8
        )
        answering = Answering(edge.sessions, Pages("Apps", "help@example.com"), self.clock, PORTAL)
        every = EveryHost(answering, edge.handover, provider, lambda _host: self.cookie_settings)
        auth = AuthHost(answering, edge.handover, flow, lambda: self.healthy)
        return Stand(
            edge,
            flow,
            provider,
            resources_for_auth_host(auth, every, answering),
            resources_for_every_host(every, answering),
        )

    def browser(self) -> Browser:
        """A browser that has been nowhere yet."""
        return Browser(self.stand, self.fake)


@dataclass
class Stand:
    """One edge's pages."""

    edge: Edge
    flow: SignInFlow
    provider: Provider
    at_auth: Resource
    elsewhere: Resource

    def answer(self, method: str, url: str, headers: dict[str, str], body: bytes = b"") -> Reply:
        """Answer one request, as the edge does below C{/.appproxy/}."""
        parts = urlsplit(url)
        host = host_of(f"{parts.scheme}://{parts.netloc}")
        root = Resource()
        root.putChild(b".appproxy", self.at_auth if host == host_of(AUTH) else self.elsewhere)
        channel = DummyChannel()
        channel.site = Site(root)
        make: Any = PageRequest  # its base class is untyped
        request = make(channel, False)
        request.transaction_id = "01TRANSACTION"
        request.host_name = host
        request.scheme_port = f"https:{parts.port or 443}"
        request.client_address = "192.0.2.7"
        request.gotLength(len(body))
        for name, value in headers.items():
            request.requestHeaders.addRawHeader(name, value)
        if body:
            request.requestHeaders.addRawHeader("content-type", "application/x-www-form-urlencoded")
            request.handleContentChunk(body)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        request.requestReceived(method.encode(), target.encode("latin-1"), b"HTTP/1.1")
        return _parsed(channel.transport.written.getvalue())


def _parsed(wire: bytes) -> Reply:
    head, _, body = wire.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = Headers()
    for line in lines:
        name, _, value = line.partition(b": ")
        headers.addRawHeader(name, value)
    return Reply(int(first.split()[1]) if head else 0, headers, body)


class Browser:
    """
    Keeps cookies as browsers keep C{__Host-} ones, and follows redirects.

    @ivar visited: every URL, in order.
    """

    def __init__(self, stand: Stand, provider: FakeProvider) -> None:
        self.stand = stand
        self.provider = provider
        self.jar: dict[str, dict[str, str]] = {}
        self.visited: list[str] = []

    def cookies(self, url: str) -> dict[str, str]:
        """The cookies of a URL's host."""
        return self.jar.setdefault(urlsplit(url).hostname or "", {})

    def request(self, method: str, url: str, body: bytes = b"", **headers: str) -> Reply:
        """One request."""
        self.visited.append(url)
        jar = self.cookies(url)
        if jar:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        reply = self.stand.answer(method, url, headers, body)
        for cookie in reply.headers.getRawHeaders("set-cookie") or ():
            self._keep(jar, cookie)
        return reply

    @staticmethod
    def _keep(jar: dict[str, str], cookie: str) -> None:
        pair, *attributes = cookie.split("; ")
        name, _, value = pair.partition("=")
        assert {"Path=/", "Secure", "SameSite=Lax"} <= set(attributes), cookie
        assert len(cookie) <= 4096
        jar.pop(name, None)
        if "Max-Age=0" not in attributes:
            jar[name] = value

    def get(self, url: str) -> Reply:
        """One page."""
        return self.request("GET", url)

    def open(self, url: str) -> Reply:
        """Open an application without a session there; what the sign-in host says."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        target = url.removeprefix(origin).encode()
        existing = self.cookies(url).get("__Host-appproxy-sign-in")
        start = self.stand.edge.handover.begin(origin, target, existing.encode() if existing else None)
        self._keep(self.cookies(url), start.set_cookie.decode())
        return self.get(start.location)

    def follow(self, reply: Reply) -> Reply | str:
        """Follow redirects through the provider, until a page comes or an application's address."""
        while reply.status == 303:
            location = reply.location
            if location.startswith(ISSUER + "/authorize"):
                location = self.provider.authorize(location)
            if "/.appproxy/" not in location:
                self.visited.append(location)
                return location
            reply = self.get(location)
        return reply

    def sign_in(self, url: str) -> Reply | str:
        """From an application through the provider and back."""
        return self.follow(self.open(url))

    def principal(self, url: str) -> Any:
        """Who this browser is at a host."""
        cookie = self.cookies(url).get("__Host-appproxy-session", "")
        host = host_of(url)
        return self.stand.edge.sessions.open_cookie(cookie.encode(), host)
