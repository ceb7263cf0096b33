"""The provider of the tests works, so that a failed sign-in is our own."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

from appproxy.cli.online import get, tls_context
from appproxy.cli.online_provider import check_provider
from appproxy.config.edge import SignIn
from tests.integration.support.browser import Browser, Page
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.certificates import TestAuthority
from tests.integration.support.oidc_provider import ADA, Client, OidcProvider

CALLBACK = "https://auth.apps.localhost/.appproxy/callback"
SIGNED_OUT = "https://auth.apps.localhost/.appproxy/signed-out"
VERIFIER = "v" * 43


class Stopped(Exception):
    """The browser was sent to our own host."""


class ToUs(Browser):
    """A browser that stops where the provider sends it back to us."""

    back = ""

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Page:
        """Stop at our host."""
        if url.startswith("https://auth.apps.localhost/"):
            self.back = url
            raise Stopped
        return super().request(method, url, headers, body)


class ProviderTests(IntegrationTestCase):
    """L{OidcProvider}."""

    def setUp(self) -> None:
        """A provider that knows one client, and a browser."""
        super().setUp()
        self.authority = TestAuthority(self.folder / "ca")
        self.client = Client([CALLBACK], [SIGNED_OUT])
        self.provider = OidcProvider(self.folder / "provider", self.authority, [self.client])
        self.start(self.provider.process)
        self.metadata = get(
            f"{self.provider.issuer}/.well-known/openid-configuration", tls_context(self.authority.ca_file)
        ).json()
        self.browser = ToUs(self.authority.ca_file)

    def authorize(self) -> str:
        """Where sign-in begins."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=")
        query = {
            "client_id": self.client.client_id,
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": "openid profile email groups",
            "state": "s",
            "nonce": "n",
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        return f"{self.metadata['authorization_endpoint']}?{urllib.parse.urlencode(query)}"

    def sign_in(self) -> dict[str, str]:
        """Sign Ada in; what comes back to the redirect URI."""
        page = self.browser.open(self.authorize())
        refused = self.browser.submit(page, {"name": "ada", "password": "wrong"})
        self.assertEqual(refused.status, 401)
        with self.assertRaises(Stopped):
            self.browser.submit(refused, {"name": "ada", "password": ADA.password})
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.browser.back).query))

    def tokens(self, code: str) -> dict[str, Any]:
        """The token endpoint's answer."""
        basic = f"{urllib.parse.quote(self.client.client_id)}:{urllib.parse.quote(self.client.secret)}"
        body = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
        }
        headers = {
            "Authorization": f"Basic {base64.b64encode(basic.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        encoded = urllib.parse.urlencode(body).encode()
        answer = self.browser.request("POST", self.metadata["token_endpoint"], headers, encoded)
        self.assertEqual(answer.status, 200, answer.text)
        tokens: dict[str, Any] = json.loads(answer.text)
        return tokens

    def test_sign_in_and_out(self) -> None:
        """Password, code, tokens, the user's claims; then sign-out, which sends the browser back to us."""
        answer = self.sign_in()
        self.assertEqual((answer["state"], answer["iss"]), ("s", self.provider.issuer))
        tokens = self.tokens(answer["code"])
        claims = json.loads(base64.urlsafe_b64decode(tokens["id_token"].split(".")[1] + "=="))
        self.assertEqual(
            (claims["iss"], claims["aud"], claims["nonce"]), (self.provider.issuer, "appproxy", "n")
        )
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        info = json.loads(self.browser.request("GET", self.metadata["userinfo_endpoint"], bearer).text)
        self.assertEqual(info, {"sub": "ada", **ADA.claims})
        query = urllib.parse.urlencode(
            {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": SIGNED_OUT}
        )
        question = self.browser.open(f"{self.metadata['end_session_endpoint']}?{query}")
        with self.assertRaises(Stopped):
            self.browser.submit(question, press="logout")
        self.assertEqual(self.browser.back, SIGNED_OUT)

    def test_check_online(self) -> None:
        """C{appproxy check --online} has nothing to complain of."""
        secret = self.folder / "secret"
        secret.write_text(self.client.secret)
        secret.chmod(0o600)
        section = {
            "issuer": self.provider.issuer,
            "client_id": "appproxy",
            "client_secret_file": secret,
            "ca_file": self.authority.ca_file,
        }
        findings = list(check_provider(SignIn.model_validate(section)))
        self.assertEqual({finding.verdict for finding in findings}, {"ok"}, findings)
