"""
The organisation's OpenID Connect provider: discovery, keys, the exchange of a
code for tokens, and the address of its sign-out.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit, urlunsplit

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from appproxy.session.single_flight import SingleFlight
from appproxy.signin.id_token import Expectations, TokenProblem, UnknownKey, verify_id_token
from appproxy.signin.keys import KeySet, parse_key_set
from appproxy.signin.metadata import Metadata, discovery_url, parse_metadata
from appproxy.signin.web_client import ProviderError, ProviderUnreachable, WebClient, json_object

FRESH_SECONDS: Final = 3600.0
"""Discovery document and keys are read again after an hour."""

KEPT_SECONDS: Final = 86400.0
"""So long the last good ones serve while the provider cannot be asked for them."""

REFETCH_SECONDS: Final = 30.0
"""Tokens with unknown key ids, which anybody can make up, cause one request in this time."""

HINT_LIMIT: Final = 4096
"""Characters of an ID token that are put into a URL; providers refuse longer URLs."""

_log = Logger()


@dataclass(frozen=True)
class ProviderSettings:
    """
    What C{[sign_in]} says.

    @ivar redirect_uri: C{https://auth.../.appproxy/callback}.
    @ivar signed_out_uri: C{https://auth.../.appproxy/signed-out}.
    @ivar leeway: seconds that the provider's clock may be off.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    signed_out_uri: str
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    leeway: float = 60.0


@dataclass(frozen=True)
class SignedIn:
    """
    A finished sign-in.

    @ivar claims: of the verified ID token, and of the user info endpoint where that has more.
    """

    claims: Mapping[str, Any]
    id_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)


class _Kept:
    """Something read from the provider, with the times that decide on reading it again."""

    def __init__(self) -> None:
        self.value: Any = None
        self.read_at = float("-inf")
        self.tried_at = float("-inf")


class Provider:
    """
    @param client: see L{provider_client<appproxy.signin.web_client.provider_client>}.
    @param is_complete: whether the claims of an ID token suffice without the user info endpoint's.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        client: HTTPClient,
        clock: IReactorTime,
        is_complete: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        self.settings = settings
        self._is_complete = is_complete
        self._web = WebClient(client, clock)
        self._clock = clock
        self._metadata = _Kept()
        self._keys = _Kept()
        self._flight: SingleFlight[Any] = SingleFlight()

    def metadata(self) -> Deferred[Metadata]:
        """
        What the provider says of itself.

        @raise ProviderUnreachable: (as a failure) if it cannot be asked.
        @raise ProviderError: (as a failure) if what it says is not usable.
        """
        return self._flight.run("metadata", lambda: Deferred.fromCoroutine(self._read_metadata()))

    async def _read_metadata(self) -> Metadata:
        async def read() -> Metadata:
            answer = await self._web.get(discovery_url(self.settings.issuer))
            return parse_metadata(json_object(answer), self.settings.issuer)

        kept: Metadata = await self._refreshed(self._metadata, read)
        return kept

    async def _key_set(self, *, anew: bool = False) -> KeySet:
        metadata = await self.metadata()

        async def read() -> KeySet:
            try:
                return parse_key_set(json_object(await self._web.get(metadata.jwks_uri)))
            except ValueError as error:
                raise ProviderError(str(error)) from None

        async def run() -> KeySet:
            keys: KeySet = await self._refreshed(self._keys, read, anew=anew)
            return keys

        keys: KeySet = await self._flight.run(("keys", anew), lambda: Deferred.fromCoroutine(run()))
        return keys

    async def _refreshed(self, kept: _Kept, read: Callable[[], Awaitable[Any]], *, anew: bool = False) -> Any:
        """
        The kept value while it is fresh, else a new one, else for a day the old one.

        @param anew: the old one does not help; ask again, but not at every call.
        """
        now = self._clock.seconds()
        age = now - kept.read_at
        if kept.value is not None:
            fresh = age < FRESH_SECONDS and not anew
            throttled = now - kept.tried_at < REFETCH_SECONDS
            if fresh or (throttled and age < KEPT_SECONDS):
                return kept.value
        kept.tried_at = now
        try:
            value = await read()
        except (ProviderError, ProviderUnreachable) as problem:
            if kept.value is None or age >= KEPT_SECONDS:
                raise
            _log.warn(
                "the last good answer of the provider is used: {reason}", reason=str(problem), fault="peer"
            )
            return kept.value
        kept.value, kept.read_at = value, now
        return value

    def authorization_url(self, state: str, nonce: str, verifier: str) -> Deferred[str]:
        """
        Where to send a browser to sign in (RFC 6749, section 4.1.1; RFC 7636, section 4.3).

        @raise ProviderUnreachable: (as a failure) like L{metadata}.
        """
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        parameters = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self.settings.redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return self.metadata().addCallback(lambda m: with_query(m.authorization_endpoint, parameters))

    def redeem(self, code: str, verifier: str, nonce: str) -> Deferred[SignedIn]:
        """
        Exchange a code for a verified ID token.

        @raise TokenProblem: (as a failure) if the token proves nothing.
        @raise ProviderError: (as a failure) if the provider refuses the code.
        @raise ProviderUnreachable: (as a failure) if it cannot be asked.
        """
        return Deferred.fromCoroutine(self._redeem(code, verifier, nonce))

    async def _redeem(self, code: str, verifier: str, nonce: str) -> SignedIn:
        metadata = await self.metadata()
        tokens = await self._tokens(metadata, code, verifier)
        id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str):
            raise ProviderError("the answer has no ID token")
        if not isinstance(access_token, str):
            access_token = None
        claims = await self._verify(metadata, id_token, nonce, access_token)
        refresh_token = tokens.get("refresh_token")
        return SignedIn(
            await self._with_user_info(metadata, claims, access_token),
            id_token,
            refresh_token if isinstance(refresh_token, str) else "",
        )

    async def _tokens(self, metadata: Metadata, code: str, verifier: str) -> dict[str, Any]:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.settings.redirect_uri,
            "code_verifier": verifier,
        }
        headers = {}
        if metadata.client_authentication == "client_secret_basic":
            headers["Authorization"] = self._basic()
        else:
            fields |= {"client_id": self.settings.client_id, "client_secret": self.settings.client_secret}
        return json_object(await self._web.post_form(metadata.token_endpoint, fields, headers))

    def _basic(self) -> str:
        """Both halves are form-encoded first (RFC 6749, section 2.3.1)."""
        pair = f"{quote_plus(self.settings.client_id)}:{quote_plus(self.settings.client_secret)}"
        return "Basic " + b64encode(pair.encode()).decode()

    async def _verify(
        self, metadata: Metadata, id_token: str, nonce: str, access_token: str | None
    ) -> dict[str, Any]:
        expected = Expectations(
            self.settings.issuer, self.settings.client_id, nonce, self.settings.leeway, metadata.algorithms
        )
        now = self._clock.seconds
        try:
            return verify_id_token(id_token, await self._key_set(), expected, now(), access_token)
        except UnknownKey:
            newer = await self._key_set(anew=True)
            return verify_id_token(id_token, newer, expected, now(), access_token)

    async def _with_user_info(
        self, metadata: Metadata, claims: dict[str, Any], access_token: str | None
    ) -> dict[str, Any]:
        """
        The claims, and those that the provider tells only there. What the
        signed token says wins (OpenID Connect Core 1.0, section 5.3).
        """
        if not metadata.userinfo_endpoint or access_token is None or self._is_complete(claims):
            return claims
        headers = {"Authorization": f"Bearer {access_token}"}
        more = json_object(await self._web.get(metadata.userinfo_endpoint, headers))
        if more.get("sub") != claims["sub"]:
            raise TokenProblem("user_info_subject")
        return {**more, **claims}

    def end_session_url(self, id_token: str) -> Deferred[str | None]:
        """
        Where to send a browser to sign out at the provider (OpenID Connect
        RP-Initiated Logout 1.0, section 2).

        @return: L{None} if the provider has no such place, or cannot be asked.
        """
        return Deferred.fromCoroutine(self._end_session_url(id_token))

    async def _end_session_url(self, id_token: str) -> str | None:
        try:
            metadata = await self.metadata()
        except (ProviderError, ProviderUnreachable):
            return None
        if not metadata.end_session_endpoint:
            return None
        parameters = {
            "client_id": self.settings.client_id,
            "post_logout_redirect_uri": self.settings.signed_out_uri,
        }
        if id_token and len(id_token) <= HINT_LIMIT:
            parameters["id_token_hint"] = id_token
        return with_query(metadata.end_session_endpoint, parameters)


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """A URL with more parameters in its query."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(parameters))))
    return urlunsplit(parts._replace(query=query))
