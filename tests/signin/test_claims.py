"""Tests of L{appproxy.signin.claims}."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.principal import CLAIM_NAMES, Principal
from appproxy.signin.claims import DEFAULT_MAPPING, MAXIMUM_GROUPS, ClaimsMapping, ClaimsProblem


class ClaimsTests(SynchronousTestCase):
    """From claims to a principal."""

    mapping = ClaimsMapping(group_names={"HR": "7d2a", "People": "7d2a", "Staff": "99ff"})

    def principal(self, **claims: Any) -> Principal:
        """The user of these claims."""
        return self.mapping.principal("issuer", {"sub": "ada", **claims})

    def assert_problem(self, **claims: Any) -> None:
        """These claims are nobody."""
        with self.assertRaises(ClaimsProblem):
            self.principal(**claims)

    def test_complete(self) -> None:
        """Every name of the default mapping arrives."""
        principal = self.principal(
            upn="Ada@Example.COM",
            name="Ada Lovelace",
            email="ada@mail.example.com",
            email_verified=True,
            groups=["a", "b"],
            onprem_upn="ADA@corp.example",
            onprem_sam_account_name="ada",
            onprem_sid="S-1-5-21-1",
        )
        self.assertEqual(principal.user_principal_name, "ada@example.com")
        self.assertEqual(principal.display_name, "Ada Lovelace")
        self.assertEqual(principal.mail, "ada@mail.example.com")
        self.assertEqual(principal.groups, {"a", "b"})
        self.assertEqual(principal.on_premises_user_principal_name, "ada@corp.example")
        self.assertEqual(principal.on_premises_sam_account_name, "ada")
        self.assertEqual(principal.on_premises_sid, "S-1-5-21-1")
        self.assertEqual((principal.issuer, principal.subject, principal.session_id), ("issuer", "ada", ""))

    def test_minimal(self) -> None:
        """A subject is enough to be somebody."""
        self.assertEqual(self.principal(), Principal("issuer", "ada", ""))

    def test_subject(self) -> None:
        """The subject is taken as it is, or not at all."""
        for subject in ("", None, 7, " ada", "ada\n", "a\x00b", ["ada"]):
            self.assert_problem(sub=subject)

    def test_first_present_wins(self) -> None:
        """Of several claims the first that is there counts."""
        self.assertEqual(self.principal(upn="a@x", preferred_username="b@x").user_principal_name, "a@x")
        self.assertEqual(self.principal(upn="", preferred_username="b@x").user_principal_name, "b@x")

    def test_bare_user_name(self) -> None:
        """A user name without a domain is no principal name; the next claim is asked."""
        principal = self.principal(preferred_username="ada", email="ada@example.com", email_verified=True)
        self.assertEqual(principal.user_principal_name, "ada@example.com")
        self.assertEqual(self.principal(preferred_username="ada").user_principal_name, "")

    def test_principal_names_of_attackers(self) -> None:
        """
        A principal name has exactly one at sign, two sides, and nothing that steers other parsers.

        Security row 17.
        """
        for name in (
            "ada@example.com@evil.test", "@example.com", "ada@", "@", "ada@@example.com", "ada@exa mple.com",
            "a/da@example.com", "EVIL\\ada@example.com", '"ada"@example.com', "<ada@example.com>", "a,b@x",
            "a;b@x", "ada@example.com\r\nX: y", "ada\x00@example.com", "ada@example.com\u202e", 7,
            ["ada@example.com"], {"a": 1}, True, "x" * 2000 + "@example.com",
        ):  # fmt: skip
            self.assert_problem(upn=name)
            self.assert_problem(onprem_upn=name)

    def test_mail_needs_verification(self) -> None:
        """
        An address that the provider did not verify is anybody's (nOAuth).

        Security row 17.
        """
        for verified in (False, None, "false", 0, "yes", 1, [True]):
            principal = self.principal(email="ceo@example.com", email_verified=verified)
            self.assertEqual((principal.mail, principal.user_principal_name), ("", ""), verified)
        self.assertEqual(self.principal(email="ceo@example.com").mail, "")
        for verified in (True, "true"):
            self.assertEqual(self.principal(email="a@x", email_verified=verified).mail, "a@x")

    def test_group_names(self) -> None:
        """A group carries its readable names, all of them; an unnamed one what was sent."""
        self.assertEqual(self.principal(groups=["7d2a", "other"]).groups, {"HR", "People", "other"})

    def test_group_that_calls_itself_so(self) -> None:
        """A group that merely calls itself by a readable name is left out."""
        self.assertEqual(self.principal(groups=["HR", "Staff", "other"]).groups, {"other"})
        self.assertEqual(self.principal(groups=["HR", "7d2a"]).groups, {"HR", "People"})

    def test_name_that_is_its_own_value(self) -> None:
        """A readable name may be what the provider sends."""
        mapping = ClaimsMapping(group_names={"HR": "HR"})
        self.assertEqual(mapping.principal("i", {"sub": "a", "groups": ["HR"]}).groups, {"HR"})

    def test_one_group_as_text(self) -> None:
        """Some providers send a single group without a list."""
        self.assertEqual(self.principal(groups="other").groups, {"other"})

    def test_strange_groups(self) -> None:
        """Groups that cannot be groups are a problem, not silently fewer."""
        for groups in (7, {"a": 1}, [7], [["a"]], ["a\nb"], [None], ["x"] * (MAXIMUM_GROUPS + 1)):
            self.assert_problem(groups=groups)

    def test_header_injection(self) -> None:
        """
        No claim carries line breaks or other control characters on.

        Security row 28.
        """
        for text in ("Ada\r\nX-Admin: 1", "a\x00", "a\x1b[31m", "a\u2028b", "a\x85b"):
            self.assert_problem(name=text)
            self.assert_problem(onprem_sam_account_name=text)

    def test_is_complete(self) -> None:
        """More claims are fetched only if a name has none yet."""
        mapping = ClaimsMapping({"subject": ("sub",), "mail": ("mail", "email"), "groups": ()})
        self.assertTrue(mapping.is_complete({"sub": "a", "email": "b"}))
        self.assertFalse(mapping.is_complete({"sub": "a"}))

    def test_own_mapping(self) -> None:
        """The administrator's mapping decides, and nothing else."""
        mapping = ClaimsMapping({"subject": ("oid",), "user_principal_name": ("unique_name",)})
        principal = mapping.principal("i", {"oid": "1", "sub": "2", "unique_name": "a@b", "upn": "c@d"})
        self.assertEqual((principal.subject, principal.user_principal_name), ("1", "a@b"))

    def test_default_names(self) -> None:
        """The default mapping names what a principal has."""
        self.assertEqual(set(DEFAULT_MAPPING), CLAIM_NAMES)

    @settings(max_examples=200)
    @given(
        claims=st.dictionaries(
            st.sampled_from(["sub", "upn", "preferred_username", "email", "name", "groups", "onprem_upn"]),
            st.text(max_size=20) | st.lists(st.text(max_size=5), max_size=3) | st.integers() | st.none(),
        )
    )
    def test_any_claims(self, claims: dict[str, Any]) -> None:
        """
        Whatever the claims, a principal is printable and has at most one at sign in its name.

        Security row 17.
        """
        try:
            principal = self.mapping.principal("issuer", claims)
        except ClaimsProblem:
            return
        for name in CLAIM_NAMES - {"groups"}:
            self.assertTrue(str(principal.claim(name)).isprintable())
        self.assertLessEqual(principal.user_principal_name.count("@"), 1)
        self.assertEqual(Principal.decode(principal.encoded), principal)
