"""C{appproxy check --online}: what is said of a provider."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from appproxy.cli.online import Answer, Unreachable
from appproxy.cli.online_provider import check_secret, examine
from appproxy.config.edge import SignIn

NOW: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
ISSUER: Final = "https://i.example/realms/main"
METADATA: Final[dict[str, Any]] = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
    "end_session_endpoint": f"{ISSUER}/end",
    "response_types_supported": ["code", "id_token"],
    "id_token_signing_alg_values_supported": ["RS256"],
    "token_endpoint_auth_methods_supported": ["client_secret_post"],
    "code_challenge_methods_supported": ["S256"],
    "scopes_supported": ["openid", "profile", "email"],
}


def sign_in(**changes: Any) -> SignIn:
    """The section of a file."""
    plain = {"issuer": ISSUER, "client_id": "c", "client_secret_file": "secret", **changes}
    return SignIn.model_validate(plain)


class ProviderTests(SynchronousTestCase):
    """L{examine}."""

    def found(self, *, date: str = "", **changes: Any) -> list[tuple[str, str]]:
        """Verdicts and messages about a provider with changed metadata; C{...} removes an entry."""
        metadata = {name: value for name, value in {**METADATA, **changes}.items() if value is not ...}
        answers = {
            f"{ISSUER}/.well-known/openid-configuration": Answer(200, json.dumps(metadata).encode(), date),
            f"{ISSUER}/keys": Answer(200, b'{"keys": [{}, {}]}'),
        }
        findings = examine(sign_in(), answers.__getitem__, lambda: NOW)
        return [(finding.verdict, finding.message) for finding in findings]

    def test_good(self) -> None:
        """A provider with all that is needed gives no complaint."""
        self.assertEqual(self.found(), [("ok", f"{ISSUER} answers"), ("ok", "it publishes 2 keys")])

    def test_defaults_of_the_specification(self) -> None:
        """What a provider may leave out is not complained of."""
        missing = self.found(token_endpoint_auth_methods_supported=..., scopes_supported=...)
        self.assertEqual([verdict for verdict, _ in missing], ["ok", "ok"])

    def test_issuer_differs(self) -> None:
        """A slash more or less is another issuer."""
        self.assertIn(
            ("failed", f"it calls itself '{ISSUER}/'; write sign_in.issuer just so"),
            self.found(issuer=f"{ISSUER}/"),
        )

    def test_what_is_missing(self) -> None:
        """Each thing that sign-in needs is named when it is not there."""
        cases: tuple[tuple[str, Any, str], ...] = (
            ("token_endpoint", ..., "failed"),
            ("authorization_endpoint", "http://i.example/auth", "failed"),
            ("end_session_endpoint", ..., "warning"),
            ("response_types_supported", ["id_token"], "failed"),
            ("id_token_signing_alg_values_supported", ["HS256", "none"], "failed"),
            ("token_endpoint_auth_methods_supported", ["private_key_jwt"], "failed"),
            ("code_challenge_methods_supported", ..., "warning"),
            ("scopes_supported", ["openid", "email"], "warning"),
        )
        for name, value, verdict in cases:
            complaints = [found for found in self.found(date="", **{name: value}) if found[0] != "ok"]
            self.assertEqual([found[0] for found in complaints], [verdict], name)
            self.assertIn(name, complaints[0][1])

    def test_clock(self) -> None:
        """A clock that is off by more than the leeway makes every token wrong."""
        self.assertEqual(len(self.found(date="Mon, 02 Mar 2026 12:00:59 GMT")), 2)
        self.assertIn(
            ("failed", "this clock and the provider's differ by 61 s"),
            self.found(date="Mon, 02 Mar 2026 11:58:59 GMT"),
        )

    def test_not_a_provider(self) -> None:
        """Another status, and an answer that is no JSON object, end the examination."""
        for answer in (Answer(404, b"{}"), Answer(200, b"<html>"), Answer(200, b"[]")):
            fetch = dict.fromkeys([f"{ISSUER}/.well-known/openid-configuration"], answer).__getitem__
            self.assertRaises(Unreachable, list, examine(sign_in(), fetch, lambda: NOW))


class SecretTests(SynchronousTestCase):
    """L{check_secret}."""

    def test_secret(self) -> None:
        """A secret can be read, cannot, or is there only in the unit."""
        path = Path(self.mktemp())
        self.assertEqual(check_secret(sign_in(client_secret_file=path)).verdict, "failed")
        path.write_text("hunter2\n")
        path.chmod(0o600)
        found = check_secret(sign_in(client_secret_file=path))
        self.assertEqual(found.verdict, "ok")
        self.assertNotIn("hunter2", found.message)
        self.assertEqual(check_secret(sign_in(client_secret_file="credential:x")).verdict, "warning")
