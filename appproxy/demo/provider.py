"""
The demo's OpenID Connect provider: Authlib's server with two known people.

It is a complete provider (authorization code, PKCE, nonce, RS256, RP-initiated
logout) for one client, and nothing of the product knows it apart from any
other. It must never serve anybody but the demo: its passwords are public.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from authlib.oauth2 import OAuth2Error, OAuth2Request  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    AuthorizationCodeGrant,
    AuthorizationServer,
    ClientMixin,
    OAuth2Payload,
)
from authlib.oauth2.rfc6750 import BearerTokenGenerator  # type: ignore[import-untyped]
from authlib.oauth2.rfc7636 import CodeChallenge  # type: ignore[import-untyped]
from authlib.oidc.core import AuthorizationCodeMixin, OpenIDCode  # type: ignore[import-untyped]
from authlib.oidc.rpinitiated import EndSessionEndpoint  # type: ignore[import-untyped]
from joserfc.jwk import KeySet, RSAKey

CODE_LIFETIME_SECONDS: Final = 60.0
"""Between the sign-in page and the token endpoint lies one redirect."""

TOKEN_LIFETIME_SECONDS: Final = 600
"""Of the ID token and of the access token, which only opens C{userinfo}."""

MAXIMUM_KEPT: Final = 1000
"""Codes, access tokens and nonces that are remembered; the oldest go first."""

AUTHORIZE_PATH: Final = "/authorize"
TOKEN_PATH: Final = "/token"
USERINFO_PATH: Final = "/userinfo"
KEYS_PATH: Final = "/keys"
END_SESSION_PATH: Final = "/end-session"
SCOPES: Final = ("openid", "profile", "email")

_T = TypeVar("_T")


@dataclass(frozen=True)
class DemoUser:
    """One person that may sign in, with the claims that are told of them."""

    subject: str
    name: str
    mail: str
    groups: tuple[str, ...]
    password: str

    def claims(self) -> dict[str, object]:
        """What the ID token and C{userinfo} say (OpenID Connect Core, section 5.1)."""
        return {
            "sub": self.subject,
            "name": self.name,
            "preferred_username": self.mail,
            "email": self.mail,
            "email_verified": True,
            "groups": list(self.groups),
        }


@dataclass(frozen=True)
class DemoClient(ClientMixin):  # type: ignore[misc]
    """The one relying party: the demo's edge."""

    client_id: str
    client_secret: str
    redirect_uri: str
    post_logout_redirect_uri: str

    @property
    def client_metadata(self) -> dict[str, object]:
        """What RP-initiated logout asks for."""
        return {"post_logout_redirect_uris": [self.post_logout_redirect_uri]}

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(each for each in (scope or "").split() if each in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return hmac.compare_digest(client_secret.encode(), self.client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in ("client_secret_basic", "client_secret_post")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    """An authorization code that was given out and not used yet."""

    code: str
    user: DemoUser
    redirect_uri: str
    scope: str
    nonce: str | None
    auth_time: int
    code_challenge: str | None
    code_challenge_method: str | None
    expires_at: float

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> list[str]:
        return ["pwd"]


class Kept(Generic[_T]):
    """A bounded memory, oldest out first."""

    def __init__(self, limit: int = MAXIMUM_KEPT) -> None:
        self._limit = limit
        self._items: OrderedDict[str, _T] = OrderedDict()

    def put(self, key: str, item: _T) -> None:
        """Remember C{item}; the oldest goes when there are too many."""
        self._items[key] = item
        while len(self._items) > self._limit:
            self._items.popitem(last=False)

    def get(self, key: str) -> _T | None:
        """What is remembered under C{key}."""
        return self._items.get(key)

    def take(self, key: str) -> _T | None:
        """The same, and forget it."""
        return self._items.pop(key, None)


class ProviderRequest(OAuth2Request):  # type: ignore[misc]
    """A request as Authlib reads it, made of plain values."""

    def __init__(
        self,
        method: str,
        uri: str,
        headers: Mapping[str, str],
        query: Mapping[str, list[str]],
        form: Mapping[str, list[str]],
    ) -> None:
        super().__init__(method, uri, headers=dict(headers))
        self._query = {name: values[0] for name, values in query.items()}
        self._form = {name: values[0] for name, values in form.items()}
        merged = {name: [*query.get(name, ()), *form.get(name, ())] for name in {**query, **form}}
        self.payload = _Payload(merged)

    @property
    def args(self) -> dict[str, str]:
        return self._query

    @property
    def form(self) -> dict[str, str]:
        return self._form


class _Payload(OAuth2Payload):  # type: ignore[misc]
    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = values

    @property
    def data(self) -> dict[str, str]:
        return {name: values[0] for name, values in self._values.items()}

    @property
    def datalist(self) -> dict[str, list[str]]:
        return self._values


@dataclass(frozen=True)
class Answer:
    """What an endpoint answers with."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)


class _CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS: Final = ["client_secret_basic", "client_secret_post"]
    server: _Server

    def save_authorization_code(self, code: str, request: ProviderRequest) -> None:
        self.server.provider.remember_code(code, request)

    def query_authorization_code(self, code: str, client: DemoClient) -> Code | None:
        return self.server.provider.take_code(code)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """It went when it was asked for: a second attempt finds nothing."""

    def authenticate_user(self, authorization_code: Code) -> DemoUser:
        return authorization_code.user


class _S256Only(CodeChallenge):  # type: ignore[misc]
    SUPPORTED_CODE_CHALLENGE_METHOD: Final = ["S256"]

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        if not grant.request.payload.data.get("code_challenge"):
            raise OAuth2Error(
                error="invalid_request", description="PKCE is required", redirect_uri=redirect_uri
            )
        super().validate_code_challenge(grant, redirect_uri)


class _IdToken(OpenIDCode):  # type: ignore[misc]
    def __init__(self, provider: Provider) -> None:
        super().__init__(require_nonce=True)
        self._provider = provider

    def exists_nonce(self, nonce: str, request: ProviderRequest) -> bool:
        return self._provider.nonces.get(nonce) is not None

    def resolve_client_private_key(self, client: DemoClient) -> RSAKey:
        return self._provider.key

    def get_encode_header(self, client: DemoClient) -> dict[str, str]:
        return {"alg": "RS256", "typ": "JWT", "kid": str(self._provider.key.kid)}

    def get_client_algorithm(self, client: DemoClient) -> str:
        return "RS256"

    def get_client_claims(self, client: DemoClient) -> dict[str, object]:
        now = int(self._provider.now())
        return {
            "iss": self._provider.issuer,
            "aud": client.client_id,
            "iat": now,
            "exp": now + TOKEN_LIFETIME_SECONDS,
        }

    def generate_user_info(self, user: DemoUser, scope: str) -> dict[str, object]:
        return user.claims()


class _EndSession(EndSessionEndpoint):  # type: ignore[misc]
    server: _Server

    def get_server_jwks(self) -> KeySet:
        return self.server.provider.key_set

    def end_session(self, end_session_request: object) -> None:
        """There is none: each sign-in asks for the password again."""


class _Server(AuthorizationServer):  # type: ignore[misc]
    def __init__(self, provider: Provider) -> None:
        super().__init__(scopes_supported=SCOPES)
        self.provider = provider
        self.register_token_generator(
            "default",
            BearerTokenGenerator(
                lambda **_: secrets.token_urlsafe(32), expires_generator=TOKEN_LIFETIME_SECONDS
            ),
        )
        self.register_grant(_CodeGrant, [_S256Only(required=True), _IdToken(provider)])
        self.register_endpoint(_EndSession)

    def query_client(self, client_id: str) -> DemoClient | None:
        client = self.provider.client
        return client if client_id == client.client_id else None

    def save_token(self, token: Mapping[str, Any], request: ProviderRequest) -> None:
        until = self.provider.now() + TOKEN_LIFETIME_SECONDS
        self.provider.access_tokens.put(token["access_token"], (request.user, until))

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: ProviderRequest) -> ProviderRequest:
        return request

    def handle_response(self, status: int, body: object, headers: list[tuple[str, str]]) -> Answer:
        text = json.dumps(body) if isinstance(body, dict) else str(body or "")
        return Answer(status, text.encode(), list(headers))


class Provider:
    """
    The provider's own logic; L{appproxy.demo.provider_site} puts it on the web.

    @param issuer: where browsers and the edge reach it, without a final slash.
    @param client: who may ask.
    @param users: who may sign in.
    @param now: seconds since the epoch.
    """

    def __init__(
        self, issuer: str, client: DemoClient, users: tuple[DemoUser, ...], now: Callable[[], float]
    ) -> None:
        self.issuer = issuer
        self.client = client
        self.users = users
        self.now = now
        self.key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
        self.key_set = KeySet([self.key])
        self.codes: Kept[Code] = Kept()
        self.access_tokens: Kept[tuple[DemoUser, float]] = Kept()
        self.nonces: Kept[bool] = Kept()
        self._server = _Server(self)

    def discovery(self) -> dict[str, object]:
        """OpenID Connect Discovery 1.0, section 3."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": self.issuer + AUTHORIZE_PATH,
            "token_endpoint": self.issuer + TOKEN_PATH,
            "userinfo_endpoint": self.issuer + USERINFO_PATH,
            "jwks_uri": self.issuer + KEYS_PATH,
            "end_session_endpoint": self.issuer + END_SESSION_PATH,
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": ["sub", "name", "preferred_username", "email", "email_verified", "groups"],
        }

    def keys(self) -> dict[str, object]:
        """The public key that ID tokens are signed with (RFC 7517)."""
        return dict(self.key_set.as_dict(private=False))

    def check(self, user_name: str, password: str) -> DemoUser | None:
        """Who signs in with this name and password."""
        for user in self.users:
            if user.mail == user_name.strip().lower():
                same = hmac.compare_digest(user.password.encode(), password.encode())
                return user if same else None
        return None

    def refuse_authorization(self, request: ProviderRequest) -> Answer | None:
        """
        The error if a sign-in cannot be started by this request; L{None} if
        the sign-in page may be shown.
        """
        try:
            self._server.get_consent_grant(request)
        except OAuth2Error as error:
            return self._error(request, error)
        return None

    def authorize(self, request: ProviderRequest, user: DemoUser | None) -> Answer:
        """Back to the client with a code, or with "access denied" if there is no user."""
        try:
            grant = self._server.get_authorization_grant(request)
        except OAuth2Error as error:
            return self._error(request, error)
        answer: Answer = self._server.create_authorization_response(request, user, grant)
        return answer

    def token(self, request: ProviderRequest) -> Answer:
        """Code for tokens (OpenID Connect Core, section 3.1.3)."""
        answer: Answer = self._server.create_token_response(request)
        return answer

    def end_session(self, request: ProviderRequest) -> Answer | None:
        """To the registered address after signing out; L{None} if none was named."""
        answer: Answer | None = self._server.create_endpoint_response("end_session", request)
        return answer

    def userinfo(self, authorization: str) -> dict[str, object] | None:
        """The claims that belong to C{Bearer <access token>}."""
        scheme, _, token = authorization.partition(" ")
        found = self.access_tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if found is None or found[1] < self.now():
            return None
        return found[0].claims()

    def remember_code(self, code: str, request: ProviderRequest) -> None:
        """Keep what belongs to a code until it is used, once."""
        asked = request.payload.data
        self.nonces.put(asked["nonce"], True)
        now = self.now()
        self.codes.put(
            code,
            Code(
                code=code,
                user=request.user,
                redirect_uri=asked.get("redirect_uri", ""),
                scope=asked.get("scope", ""),
                nonce=asked.get("nonce"),
                auth_time=int(now),
                code_challenge=asked.get("code_challenge"),
                code_challenge_method=asked.get("code_challenge_method"),
                expires_at=now + CODE_LIFETIME_SECONDS,
            ),
        )

    def take_code(self, code: str) -> Code | None:
        """What belongs to a code; it is used up by asking."""
        found = self.codes.take(code)
        return found if found is not None and found.expires_at >= self.now() else None

    def _error(self, request: ProviderRequest, error: OAuth2Error) -> Answer:
        answer: Answer = self._server.handle_error_response(request, error)
        return answer
