"""
Tests of L{appproxy.demo.provider_site} and L{appproxy.demo.provider}: the
provider as a browser and the edge see it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.demo.page import DemoPages, site_of
from appproxy.demo.provider import CODE_LIFETIME_SECONDS, Provider
from appproxy.demo.provider_data import DemoClient, DemoUser, Kept
from appproxy.demo.provider_site import provider_resource
from tests.pages.support import Answer, Page, ask_site

ISSUER = "https://login.demo.localhost:8443"
CALLBACK = "https://auth.demo.localhost:8443/.appproxy/callback"
SIGNED_OUT = "https://auth.demo.localhost:8443/.appproxy/signed-out"
CLIENT = DemoClient("demo", "s3cret", CALLBACK, SIGNED_OUT)
ADA = DemoUser("1", "Ada", "ada@example.com", ("staff",), "open")
VERIFIER = "v" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
FORM = ("Content-Type", "application/x-www-form-urlencoded")


class ProviderTests(SynchronousTestCase):
    """One provider, made anew for each test."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.provider = Provider(ISSUER, CLIENT, (ADA,), self.clock.seconds)
        self.site = site_of(provider_resource(self.provider, DemoPages("https://portal.demo.localhost/")))

    def authorize_url(self, **changes: str | None) -> str:
        """The address that the edge sends a browser to."""
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": "demo",
            "redirect_uri": CALLBACK,
            "scope": "openid profile email",
            "state": "st",
            "nonce": "no",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        asked.update(changes)
        return "/authorize?" + urlencode({name: value for name, value in asked.items() if value is not None})

    def post(self, target: str, fields: dict[str, str], headers: Iterable[tuple[str, str]] = ()) -> Answer:
        """A form."""
        return ask_site(
            self.site, target, method="POST", headers=[FORM, *headers], body=urlencode(fields).encode()
        )

    def sign_in(self, **changes: str | None) -> dict[str, list[str]]:
        """What comes back to the edge after Ada has signed in."""
        answer = self.post(self.authorize_url(**changes), {"user": "ada@example.com", "password": "open"})
        self.assertEqual(answer.status, 303)
        location = urlsplit(answer.headers["Location"])
        self.assertEqual(location._replace(query="").geturl(), CALLBACK)
        return parse_qs(location.query)

    def redeem(self, code: str, secret: str = "s3cret", **changes: str) -> Answer:
        """The edge's request for tokens."""
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
        } | changes
        credentials = base64.b64encode(f"demo:{secret}".encode()).decode()
        return self.post("/token", fields, [("Authorization", f"Basic {credentials}")])

    def claims(self, id_token: str) -> dict[str, Any]:
        """The claims of an ID token, its signature checked with the published key."""
        keys = jwt.PyJWKSet.from_dict(ask_site(self.site, "/keys").json())
        header = jwt.get_unverified_header(id_token)
        claims: dict[str, Any] = jwt.decode(
            id_token,
            keys[header["kid"]],
            algorithms=["RS256"],
            audience="demo",
            issuer=ISSUER,
            options={"verify_exp": False, "verify_iat": False},
        )
        return claims


class SignInPageTests(ProviderTests):
    """The page itself."""

    def test_marked(self) -> None:
        """It says that it is the demo's, and whom one can sign in as."""
        page = Page(ask_site(self.site, self.authorize_url()).body)
        self.assertIn("Demo sign-in", page.text)
        self.assertIn("ada@example.com", page.text)
        self.assertEqual(page.unbalanced, [])

    def test_wrong_password(self) -> None:
        """A wrong password asks again, says so, and gives no code."""
        for user, password in (("ada@example.com", "wrong"), ("eve@example.com", "open"), ("", "")):
            answer = self.post(self.authorize_url(), {"user": user, "password": password})
            self.assertEqual(answer.status, 403)
            self.assertNotIn("Location", answer.headers)
            self.assertIn("do not belong together", Page(answer.body).text)

    def test_cancel(self) -> None:
        """Cancelling goes back with an error and the state."""
        answer = self.post(self.authorize_url(), {"cancel": "yes"})
        query = parse_qs(urlsplit(answer.headers["Location"]).query)
        self.assertEqual((query["error"], query["state"]), (["access_denied"], ["st"]))

    def test_escaped(self) -> None:
        """What was typed and what stands in the address stay text."""
        target = self.authorize_url(state="<script>\"'")
        answer = self.post(target, {"user": "\"'><script>", "password": "x"})
        self.assertNotIn("<script>", answer.text)


class RequestChecksTests(ProviderTests):
    """Requests that the edge would never make."""

    def test_strangers(self) -> None:
        """Another client or another redirect address gets a page, never a redirect."""
        for changes in (
            {"client_id": "other"},
            {"redirect_uri": "https://evil.example/"},
            {"client_id": None},
        ):
            answer = ask_site(self.site, self.authorize_url(**changes))
            self.assertEqual(answer.status, 400, changes)
            self.assertNotIn("Location", answer.headers)

    def test_requirements(self) -> None:
        """PKCE with S256, a nonce and a code are insisted on; the error goes back to the edge."""
        for changes in (
            {"code_challenge": None, "code_challenge_method": None},
            {"code_challenge_method": "plain"},
            {"nonce": None},
            {"response_type": "token"},
            {"prompt": "none"},
        ):
            answer = ask_site(self.site, self.authorize_url(**changes))
            self.assertEqual(answer.status, 303, changes)
            self.assertTrue(answer.headers["Location"].startswith(CALLBACK + "?error="), changes)


class TokenTests(ProviderTests):
    """Codes for tokens."""

    def test_id_token(self) -> None:
        """The ID token is signed with the published key and says who signed in."""
        query = self.sign_in()
        self.assertEqual(query["state"], ["st"])
        answer = self.redeem(query["code"][0])
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        claims = self.claims(answer.json()["id_token"])
        expected = {"sub": "1", "nonce": "no", "preferred_username": "ada@example.com", "groups": ["staff"]}
        self.assertEqual({name: claims[name] for name in expected}, expected)
        self.assertTrue(claims["exp"] > claims["iat"] == 1_700_000_000)

    def test_userinfo(self) -> None:
        """The access token opens userinfo, until it expires."""
        token = self.redeem(self.sign_in()["code"][0]).json()["access_token"]
        headers = [("Authorization", f"Bearer {token}")]
        self.assertEqual(ask_site(self.site, "/userinfo", headers=headers).json()["name"], "Ada")
        self.clock.advance(100_000)
        self.assertEqual(ask_site(self.site, "/userinfo", headers=headers).status, 401)
        self.assertEqual(ask_site(self.site, "/userinfo").status, 401)

    def test_once(self) -> None:
        """A code works once."""
        code = self.sign_in()["code"][0]
        self.assertEqual(self.redeem(code).status, 200)
        self.assertEqual(self.redeem(code).json()["error"], "invalid_grant")

    def test_soon(self) -> None:
        """A code works for a minute."""
        code = self.sign_in()["code"][0]
        self.clock.advance(CODE_LIFETIME_SECONDS + 1)
        self.assertEqual(self.redeem(code).json()["error"], "invalid_grant")

    def test_wrong(self) -> None:
        """A wrong secret, verifier or redirect address gets nothing."""
        self.assertEqual(self.redeem(self.sign_in(nonce="a")["code"][0], secret="wrong").status, 401)
        for number, changes in enumerate(({"code_verifier": "w" * 50}, {"redirect_uri": "https://x/"})):
            answer = self.redeem(self.sign_in(nonce=str(number))["code"][0], **changes)
            self.assertEqual(answer.json()["error"], "invalid_grant", changes)

    def test_nonce_replayed(self) -> None:
        """A nonce is taken once."""
        self.sign_in()
        self.assertIn("error", self.sign_in())


class EndSessionTests(ProviderTests):
    """RP-initiated logout."""

    def test_back(self) -> None:
        """With an ID token of ours and the registered address, it goes back there."""
        token = self.redeem(self.sign_in()["code"][0]).json()["id_token"]
        query = urlencode({"id_token_hint": token, "post_logout_redirect_uri": SIGNED_OUT, "state": "s"})
        answer = ask_site(self.site, f"/end-session?{query}")
        self.assertEqual(answer.headers["Location"], f"{SIGNED_OUT}?state=s")

    def test_nowhere_else(self) -> None:
        """Any other address, or a hint that is not ours, leads nowhere."""
        token = self.redeem(self.sign_in()["code"][0]).json()["id_token"]
        for asked in (
            {"id_token_hint": token, "post_logout_redirect_uri": "https://evil.example/"},
            {"id_token_hint": token[:-8] + "AAAAAAAA", "post_logout_redirect_uri": SIGNED_OUT},
            {"client_id": "demo", "post_logout_redirect_uri": "https://evil.example/"},
            {},
        ):
            answer = ask_site(self.site, f"/end-session?{urlencode(asked)}")
            self.assertNotIn("Location", answer.headers, asked)


class DiscoveryTests(ProviderTests):
    """What the edge reads first."""

    def test_document(self) -> None:
        """Issuer and endpoints are those that the edge reaches."""
        found = ask_site(self.site, "/.well-known/openid-configuration").json()
        self.assertEqual(found["issuer"], ISSUER)
        endpoints = [value for name, value in found.items() if name.endswith(("_endpoint", "_uri"))]
        self.assertTrue(all(each.startswith(ISSUER + "/") for each in endpoints))
        self.assertEqual(len(endpoints), 5)

    def test_no_private_key(self) -> None:
        """The published key is the public half."""
        (key,) = ask_site(self.site, "/keys").json()["keys"]
        self.assertEqual(set(key), {"kty", "n", "e", "kid", "use", "alg"})


class KeptTests(SynchronousTestCase):
    """L{Kept}."""

    def test_bounded(self) -> None:
        """The oldest goes when there are too many."""
        kept: Kept[int] = Kept(2)
        for number in range(3):
            kept.put(str(number), number)
        self.assertEqual([kept.get(str(number)) for number in range(3)], [None, 1, 2])
        self.assertEqual((kept.take("1"), kept.take("1")), (1, None))
