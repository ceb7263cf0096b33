"""
The demo's OpenID Connect provider: Authlib's server with two known people.

It is a complete provider (authorization code, PKCE, nonce, RS256, RP-initiated
logout) for one client, and nothing of the product knows it apart from any
other. It must never serve anybody but the demo: its passwords are public.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

from authlib.oauth2 import OAuth2Error  # type: ignore[import-untyped]
from joserfc.jwk import KeySet, RSAKey

from appproxy.demo.provider_data import SCOPES, Code, DemoClient, DemoUser, Kept
from appproxy.demo.provider_server import Answer, ProviderRequest, ProviderServer

CODE_LIFETIME_SECONDS: Final = 60.0
"""Between the sign-in page and the token endpoint lies one redirect."""

AUTHORIZE_PATH: Final = "/authorize"
TOKEN_PATH: Final = "/token"
USERINFO_PATH: Final = "/userinfo"
KEYS_PATH: Final = "/keys"
END_SESSION_PATH: Final = "/end-session"


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
        self._server = ProviderServer(self)

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
