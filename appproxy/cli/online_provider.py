"""
C{appproxy check --online}: the identity provider (OpenID Connect Discovery 1.0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

from appproxy.cli.online import Answer, Finding, Unreachable, Verdict, get, tls_context
from appproxy.config.edge import SignIn
from appproxy.config.fields import CREDENTIAL
from appproxy.config.secrets import SecretUnavailable, read_secret

SUBJECT: Final = "provider"
GOOD_ALGORITHMS: Final = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
SECRET_METHODS: Final = frozenset({"client_secret_basic", "client_secret_post"})
ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")

UNIT_SECRETS: Final = Path("/etc/appproxy")
"""Where LoadCredential= of our units finds its files."""

Get = Callable[[str], Answer]


def check_provider(
    sign_in: SignIn | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Iterator[Finding]:
    """
    Everything about the provider that can be told from outside.

    @param now: the clock that tokens will be judged by.
    """
    if sign_in is None:
        yield Finding("skipped", SUBJECT, "there is no [sign_in]: passthrough applications only")
        return
    yield check_secret(sign_in)
    try:
        context = tls_context(sign_in.ca_file)
        yield from examine(sign_in, lambda url: get(url, context), now)
    except Unreachable as error:
        yield Finding("failed", SUBJECT, str(error))


def check_secret(sign_in: SignIn) -> Finding:
    """Whether the client secret can be read."""
    path = sign_in.client_secret_file
    if str(path).startswith(CREDENTIAL):
        return _credential(str(path), UNIT_SECRETS / str(path).removeprefix(CREDENTIAL))
    try:
        read_secret(path)
    except SecretUnavailable as error:
        return Finding("failed", "client secret", str(error))
    return Finding("ok", "client secret", f"{path} can be read")


def _credential(name: str, source: Path) -> Finding:
    """The unit's own credential is there only while it runs; what it is made of can be looked at."""
    try:
        found = source.exists()
    except PermissionError:
        return Finding("skipped", "client secret", f"{name} is there only in the systemd unit")
    if found:
        return Finding("ok", "client secret", f"{source} is there, for the systemd unit")
    return Finding("warning", "client secret", f"{source}, whence the unit takes {name}, is not there")


def examine(sign_in: SignIn, fetch: Get, now: Callable[[], datetime]) -> Iterator[Finding]:
    """
    Ask for the discovery document and the keys, and look at them.

    @raise Unreachable: if the provider cannot be used at all.
    """
    url = sign_in.issuer.rstrip("/") + "/.well-known/openid-configuration"
    answer = fetch(url)
    if answer.status != 200:
        raise Unreachable(f"{url} answers {answer.status}")
    metadata = answer.json()
    yield _issuer(sign_in.issuer, metadata.get("issuer"))
    yield from _endpoints(metadata, sign_in.issuer)
    yield from _abilities(metadata, sign_in.scopes)
    yield from _clock(answer.date, now(), sign_in.leeway)
    if isinstance(metadata.get("jwks_uri"), str):
        yield _keys(fetch(metadata["jwks_uri"]))


def _issuer(expected: str, actual: object) -> Finding:
    if actual == expected:
        return Finding("ok", SUBJECT, f"{expected} answers")
    # Compared byte by byte (OpenID Connect Discovery 1.0, section 4.3).
    return Finding("failed", SUBJECT, f"it calls itself {actual!r}; write sign_in.issuer just so")


def _endpoints(metadata: dict[str, Any], issuer: str) -> Iterator[Finding]:
    for name in ENDPOINTS:
        url = metadata.get(name)
        if not isinstance(url, str):
            yield Finding("failed", SUBJECT, f"it names no {name}")
        elif not url.startswith("https://") and issuer.startswith("https://"):
            yield Finding("failed", SUBJECT, f"its {name} is not https")
    if not isinstance(metadata.get("end_session_endpoint"), str):
        yield Finding("warning", SUBJECT, "it has no end_session_endpoint: sign-out ends our session only")


def _abilities(metadata: dict[str, Any], scopes: tuple[str, ...]) -> Iterator[Finding]:
    """What it says that it supports; what it leaves out has the defaults of the specification."""
    yield from _one_of(metadata, "response_types_supported", {"code"}, "failed", ())
    yield from _one_of(metadata, "id_token_signing_alg_values_supported", GOOD_ALGORITHMS, "failed", ())
    yield from _one_of(
        metadata,
        "token_endpoint_auth_methods_supported",
        SECRET_METHODS,
        "failed",
        ("client_secret_basic",),
    )
    yield from _one_of(metadata, "code_challenge_methods_supported", {"S256"}, "warning", ())
    for scope in scopes:
        yield from _one_of(metadata, "scopes_supported", {scope}, "warning", scopes)


def _one_of(
    metadata: dict[str, Any],
    name: str,
    wanted: set[str] | frozenset[str],
    otherwise: Verdict,
    default: object,
) -> Iterator[Finding]:
    offered = metadata.get(name, default)
    if not isinstance(offered, list | tuple) or not wanted.intersection(map(str, offered)):
        yield Finding(otherwise, SUBJECT, f"{name} has none of {', '.join(sorted(wanted))}")


def _clock(date: str, now: datetime, leeway: float) -> Iterator[Finding]:
    try:
        difference = parsedate_to_datetime(date) - now
    except (TypeError, ValueError):
        return
    if abs(difference) > timedelta(seconds=leeway):
        seconds = abs(difference).total_seconds()
        yield Finding("failed", "clock", f"this clock and the provider's differ by {seconds:.0f} s")


def _keys(answer: Answer) -> Finding:
    keys = answer.json().get("keys") if answer.status == 200 else None
    if isinstance(keys, list) and keys:
        return Finding("ok", SUBJECT, f"it publishes {len(keys)} keys")
    return Finding("failed", SUBJECT, f"its key set is not usable (status {answer.status})")
