"""Tests of L{appproxy.signin.provider} against a provider that signs real tokens."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from twisted.internet.defer import Deferred

from appproxy.signin.id_token import TokenProblem
from appproxy.signin.metadata import Metadata
from appproxy.signin.provider import FRESH_SECONDS, KEPT_SECONDS, REFETCH_SECONDS, SignedIn
from appproxy.signin.web_client import ANSWER_LIMIT, ProviderError, ProviderUnreachable
from tests.signin.support import ISSUER, World, ec_key, public_jwk, rsa_key, signed

VERIFIER = "v" * 43


class ProviderTestCase(World):
    """Has a provider of each side."""

    def setUp(self) -> None:
        super().setUp()
        self.provider = self.make_provider()

    def code(self, nonce: str = "the-nonce", verifier: str = VERIFIER) -> str:
        """The user signs in; the code that comes back."""
        url = self.successResultOf(self.provider.authorization_url("the-state", nonce, verifier))
        return parse_qs(urlsplit(self.fake.authorize(url)).query)["code"][0]

    def redeem(self, nonce: str = "the-nonce", verifier: str = VERIFIER) -> Deferred[SignedIn]:
        """From a code to claims."""
        return self.provider.redeem(self.code(), verifier, nonce)


class ExchangeTests(ProviderTestCase):
    """A code becomes claims."""

    def test_claims(self) -> None:
        """A right code gives the verified claims and the tokens."""
        signed_in = self.successResultOf(self.redeem())
        self.assertEqual(signed_in.claims["sub"], "ada-subject")
        self.assertEqual(signed_in.refresh_token, "CANARY-refresh")
        self.assertNotIn("CANARY", repr(signed_in) + repr(self.provider.settings))

    def test_authorization_url(self) -> None:
        """The browser is sent off with what the standard asks for; the endpoint's own query stays."""
        url = self.successResultOf(self.provider.authorization_url("the-state", "the-nonce", VERIFIER))
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self.assertEqual(query["tenant"], "1")
        self.assertEqual(query["scope"], "openid profile email")
        self.assertEqual((query["state"], query["nonce"]), ("the-state", "the-nonce"))
        self.assertNotIn(VERIFIER, url)

    def test_verifier(self) -> None:
        """The code is bound to its verifier (PKCE)."""
        self.failureResultOf(self.redeem(verifier="w" * 43), ProviderError)

    def test_code_once(self) -> None:
        """A code that was used is refused by the provider."""
        code = self.code()
        self.successResultOf(self.provider.redeem(code, VERIFIER, "the-nonce"))
        self.failureResultOf(self.provider.redeem(code, VERIFIER, "the-nonce"), ProviderError)

    def test_nonce(self) -> None:
        """A token with another nonce proves nothing."""
        self.failureResultOf(self.redeem(nonce="other"), TokenProblem)

    def test_client_authentication(self) -> None:
        """The secret goes as the provider takes it: in the header, or in the form."""
        for methods in (None, ["client_secret_basic"], ["client_secret_post"], ["private_key_jwt"]):
            self.auth_methods = methods
            self.setUp()
            if methods == ["private_key_jwt"]:
                self.failureResultOf(self.provider.metadata(), ProviderError)
            else:
                self.successResultOf(self.redeem())
            self.assertEqual(self.fake.bad_authentication, 0)

    def test_strange_answers(self) -> None:
        """Whatever the token endpoint says instead of tokens, nobody is signed in."""
        unreachable, error = ProviderUnreachable, ProviderError
        for status, body, kind in (
            (200, b"", error),
            (200, b"[]", error),
            (200, b"null", error),
            (200, b"<html>", error),
            (200, b"{}", error),
            (200, b'{"id_token": 7}', error),
            (200, b'{"id_token": null, "access_token": "x"}', error),
            (200, b"[" * 100_000, error),
            (400, b'{"error":"invalid_grant"}', error),
            (400, b'{"error":["x"]}', error),
            (302, b"", error),
            (204, b"", error),
            (429, b"", unreachable),
            (500, b'{"id_token":"x"}', unreachable),
            (503, b"", unreachable),
        ):
            self.fake.token_answer = (status, body)
            self.failureResultOf(self.redeem(), kind)
        self.fake.token_answer = (200, b'{"id_token": "not.a.token"}')
        self.failureResultOf(self.redeem(), TokenProblem)

    def test_user_info(self) -> None:
        """What the ID token lacks comes from the user info endpoint; what it says wins."""
        self.fake.user_info = {"sub": "ada-subject", "name": "Somebody Else", "groups": ["HR"]}
        claims = self.successResultOf(self.redeem()).claims
        self.assertEqual((claims["name"], claims["groups"]), ("Ada", ["HR"]))

    def test_user_info_of_another(self) -> None:
        """User info about somebody else is refused."""
        self.fake.user_info = {"sub": "mallory", "groups": ["HR"]}
        self.failureResultOf(self.redeem(), TokenProblem)

    def test_user_info_not_needed(self) -> None:
        """If the ID token says everything, nobody asks for more."""
        names = ("email", "groups", "onprem_upn", "onprem_sam_account_name", "onprem_sid")
        self.fake.user.update(dict.fromkeys(names, ""))
        self.successResultOf(self.redeem())
        self.assertNotIn("/userinfo", self.fake.requests)

    def test_user_info_fails(self) -> None:
        """If it cannot be asked, nobody is signed in with half of the claims."""
        self.fake.discovery["userinfo_endpoint"] = ISSUER + "/jwks"  # an answer without a subject
        self.failureResultOf(self.redeem(), TokenProblem)

    def test_no_cookies(self) -> None:
        """The provider's cookies of one user's exchange do not come along with another's."""
        self.successResultOf(self.redeem())
        self.successResultOf(self.redeem())
        self.assertEqual(self.fake.cookies_seen, [])


class KeyTests(ProviderTestCase):
    """The provider's keys change."""

    def rotate(self, kid: str, number: int) -> None:
        """The provider signs with a new key from now on."""
        self.fake.keys = [public_jwk(rsa_key(number), kid=kid)]
        self.fake.sign = lambda claims: signed(claims, rsa_key(number), kid=kid)

    def count(self) -> int:
        """How often the keys were asked for."""
        return self.fake.requests.count("/jwks")

    def test_kept(self) -> None:
        """Keys are read once in an hour."""
        for _ in range(5):
            self.successResultOf(self.redeem())
        self.assertEqual(self.count(), 1)
        self.pass_time(FRESH_SECONDS + 1, 60)
        self.successResultOf(self.redeem())
        self.assertEqual(self.count(), 2)

    def test_rotation(self) -> None:
        """A token with a new key id makes us ask for the keys again."""
        self.successResultOf(self.redeem())
        self.pass_time(REFETCH_SECONDS)
        self.rotate("k2", 1)
        self.successResultOf(self.redeem())
        self.assertEqual(self.count(), 2)

    def test_unknown_ids_are_throttled(self) -> None:
        """
        Made-up key ids cause at most one request in half a minute.

        Security row 16.
        """
        self.successResultOf(self.redeem())
        self.pass_time(REFETCH_SECONDS)
        for number in range(10):
            self.fake.sign = lambda claims, number=number: signed(  # type: ignore[misc]
                claims, rsa_key(1), kid=f"made-up-{number}"
            )
            self.failureResultOf(self.redeem(), TokenProblem)
        self.assertEqual(self.count(), 2)

    def test_elliptic(self) -> None:
        """A provider with elliptic curve keys works as well."""
        self.fake.keys = [public_jwk(ec_key(), kid="e")]
        self.fake.sign = lambda claims: signed(claims, ec_key(), "ES256", "e")
        self.successResultOf(self.redeem())

    def test_keys_unreachable(self) -> None:
        """The last good keys serve for a day while new ones cannot be read."""
        self.successResultOf(self.redeem())
        code = self.code()
        self.fake.keys = []
        self.fake.discovery["jwks_uri"] = ISSUER + "/token"  # an error document
        self.pass_time(FRESH_SECONDS + 1, 60)
        self.successResultOf(self.provider.redeem(code, VERIFIER, "the-nonce"))
        self.pass_time(KEPT_SECONDS, 600)
        self.failureResultOf(self.redeem(), ProviderError)

    def test_no_key_set(self) -> None:
        """An answer that is no key set is an error of the provider's."""
        self.fake.discovery["jwks_uri"] = ISSUER + "/userinfo"
        self.failureResultOf(self.redeem(), ProviderError)


class MetadataTests(ProviderTestCase):
    """What the provider says of itself."""

    def metadata(self) -> Deferred[Metadata]:
        """Ask a provider that was not asked before."""
        self.provider = self.make_provider()
        return self.provider.metadata()

    def test_kept(self) -> None:
        """It is read once in an hour, and by one request however many wait."""
        for _ in range(3):
            self.successResultOf(self.provider.metadata())
        self.assertEqual(len(self.fake.requests), 1)
        self.pass_time(FRESH_SECONDS + 1, 60)
        self.agent.slow = True
        waiting = [self.provider.metadata() for _ in range(5)]
        self.pass_time(11)
        self.assertEqual(len({self.successResultOf(each).issuer for each in waiting}), 1)

    def test_another_issuer(self) -> None:
        """A document of another issuer is refused, also if only a slash differs."""
        for issuer in (ISSUER + "/", "https://evil.test", None, 7):
            self.fake.discovery["issuer"] = issuer
            self.failureResultOf(self.metadata(), ProviderError)

    def test_endpoints(self) -> None:
        """An endpoint that is missing, relative, unprotected or strange is refused."""
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
            right = self.fake.discovery[name]
            for url in (
                "http://login.example.com/x", "/x", "", "javascript:alert(1)", "https://", "https://user@host/",
                "https://host/#x", "https://host/\r\nX: y", "https://h\u00f6st/", 7, [right], "https://[",
                "x" * 3000,
            ):  # fmt: skip
                self.fake.discovery[name] = url
                self.failureResultOf(self.metadata(), ProviderError)
            self.fake.discovery[name] = right
        self.successResultOf(self.metadata())
        del self.fake.discovery["token_endpoint"]
        self.failureResultOf(self.metadata(), ProviderError)

    def test_algorithms(self) -> None:
        """A provider that signs with nothing safe cannot be used."""
        for names in (["none"], ["HS256", "none"], [], [7, None]):
            self.fake.discovery["id_token_signing_alg_values_supported"] = names
            self.failureResultOf(self.metadata(), ProviderError)
        self.fake.discovery["id_token_signing_alg_values_supported"] = ["none", "RS256", "HS256"]
        self.assertEqual(self.successResultOf(self.metadata()).algorithms, {"RS256"})

    def test_down(self) -> None:
        """A provider that cannot be reached is told from one that refuses."""
        self.agent.down = True
        self.failureResultOf(self.metadata(), ProviderUnreachable)

    def test_slow(self) -> None:
        """Nobody waits longer than ten seconds."""
        self.agent.slow = True
        waiting = self.metadata()
        self.pass_time(9)
        self.assertNoResult(waiting)
        self.pass_time(2)
        self.failureResultOf(waiting, ProviderUnreachable)

    def test_huge(self) -> None:
        """An answer beyond a megabyte is not read to its end."""
        self.fake.discovery["padding"] = "x" * (ANSWER_LIMIT + 1)
        self.failureResultOf(self.metadata(), ProviderError)

    def test_last_good_one(self) -> None:
        """While the provider is away, the last good answer serves."""
        self.successResultOf(self.provider.metadata())
        self.pass_time(FRESH_SECONDS + 1, 60)
        self.agent.down = True
        self.successResultOf(self.provider.metadata())
        self.pass_time(KEPT_SECONDS, 600)
        self.failureResultOf(self.provider.metadata(), ProviderUnreachable)

    def test_response_issuer_promised(self) -> None:
        """If the provider promises to name itself in every answer, one without its name is refused."""
        self.fake.discovery["authorization_response_iss_parameter_supported"] = True
        browser = self.browser()
        callback = self.fake.authorize(browser.open("https://wiki.example.com/").location)
        self.assertEqual(browser.get(callback.partition("&iss=")[0]).status, 403)

    def test_end_session(self) -> None:
        """The way to the provider's sign-out, if there is one."""
        url: Any = self.successResultOf(self.provider.end_session_url("the-token"))
        self.assertTrue(url.startswith(ISSUER + "/logout?client_id=app+proxy&"))
        self.assertIn("id_token_hint=the-token", url)
        del self.fake.discovery["end_session_endpoint"]
        self.assertIsNone(self.successResultOf(self.make_provider().end_session_url("the-token")))

    def test_document_is_json(self) -> None:
        """Anything else than a JSON object is refused."""
        bodies: list[Any] = [[], None, "x", 7]
        for body in bodies:
            self.fake.discovery = body
            self.failureResultOf(self.metadata(), ProviderError)
