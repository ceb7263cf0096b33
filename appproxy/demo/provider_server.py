"""
Authlib's server as the demo's provider needs it: one client, authorization codes
with PKCE (S256 only) and nonces, ID tokens by RS256, sign-out.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from authlib.oauth2 import OAuth2Error, OAuth2Request  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    AuthorizationCodeGrant,
    AuthorizationServer,
    OAuth2Payload,
)
from authlib.oauth2.rfc6750 import BearerTokenGenerator  # type: ignore[import-untyped]
from authlib.oauth2.rfc7636 import CodeChallenge  # type: ignore[import-untyped]
from authlib.oidc.core import OpenIDCode  # type: ignore[import-untyped]
from authlib.oidc.rpinitiated import EndSessionEndpoint  # type: ignore[import-untyped]
from joserfc.jwk import KeySet, RSAKey

from appproxy.demo.provider_data import SCOPES, Code, DemoClient, DemoUser

if TYPE_CHECKING:
    from appproxy.demo.provider import Provider

TOKEN_LIFETIME_SECONDS: Final = 600
"""Of the ID token and of the access token, which only opens C{userinfo}."""


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
    server: ProviderServer

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
    server: ProviderServer

    def get_server_jwks(self) -> KeySet:
        return self.server.provider.key_set

    def end_session(self, end_session_request: object) -> None:
        """There is none: each sign-in asks for the password again."""


class ProviderServer(AuthorizationServer):  # type: ignore[misc]
    """Does what L{Provider} is asked, with what it keeps."""

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
