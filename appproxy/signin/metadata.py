"""
What a provider says of itself (OpenID Connect Discovery 1.0, section 3). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from appproxy.signin.keys import ALGORITHMS
from appproxy.signin.web_client import ProviderError

_URL_LIMIT: Final = 2048
"""Characters of an endpoint's URL."""


@dataclass(frozen=True)
class Metadata:
    """
    The part of it that matters here. Empty text = the provider has no such endpoint.

    @ivar client_authentication: C{client_secret_basic} or C{client_secret_post}.
    @ivar algorithms: with what the provider signs, among those that we accept.
    @ivar names_itself: whether every answer at our redirect URI says its issuer (RFC 9207).
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    end_session_endpoint: str
    client_authentication: str
    algorithms: frozenset[str]
    names_itself: bool


def discovery_url(issuer: str) -> str:
    """Where a provider publishes it (OpenID Connect Discovery 1.0, section 4)."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


def parse_metadata(document: Mapping[str, Any], issuer: str) -> Metadata:
    """
    Check and pick.

    @param issuer: as configured; the document's own must be the same to the byte.
    @raise ProviderError: if it is another issuer's, or lacks what sign-in needs.
    """
    if document.get("issuer") != issuer:
        raise ProviderError("the discovery document is another issuer's")
    scheme = urlsplit(issuer).scheme

    def endpoint(name: str, *, needed: bool) -> str:
        url = document.get(name)
        if url is None and not needed:
            return ""
        if not isinstance(url, str) or not _is_endpoint(url, scheme):
            raise ProviderError(f"{name} of the discovery document is not usable")
        return url

    return Metadata(
        issuer,
        endpoint("authorization_endpoint", needed=True),
        endpoint("token_endpoint", needed=True),
        endpoint("jwks_uri", needed=True),
        endpoint("userinfo_endpoint", needed=False),
        endpoint("end_session_endpoint", needed=False),
        _client_authentication(document.get("token_endpoint_auth_methods_supported")),
        _algorithms(document.get("id_token_signing_alg_values_supported")),
        document.get("authorization_response_iss_parameter_supported") is True,
    )


def _is_endpoint(url: str, issuer_scheme: str) -> bool:
    """Absolute, printable, and not less protected than the issuer itself."""
    if len(url) > _URL_LIMIT or not url.isascii() or any(ord(each) <= 0x20 for each in url):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    safe_scheme = parts.scheme == "https" or (parts.scheme == "http" and issuer_scheme == "http")
    return safe_scheme and bool(parts.hostname) and parts.username is None and not parts.fragment


def _client_authentication(supported: object) -> str:
    """C{client_secret_basic} is what a provider offers that says nothing."""
    if supported is None:
        return "client_secret_basic"
    if isinstance(supported, list):
        for method in ("client_secret_basic", "client_secret_post"):
            if method in supported:
                return method
    raise ProviderError("the provider takes no client secret")


def _algorithms(supported: object) -> frozenset[str]:
    if not isinstance(supported, list):
        return ALGORITHMS
    usable = ALGORITHMS.intersection(each for each in supported if isinstance(each, str))
    if not usable:
        raise ProviderError("the provider signs with nothing that is accepted here")
    return usable
