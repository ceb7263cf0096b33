"""Tests of L{appproxy.kerberos.names}."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from hypothesis import given
from hypothesis.strategies import sampled_from, text
from twisted.trial.unittest import SynchronousTestCase

from appproxy.kerberos.names import (
    LookUp,
    LookUpKind,
    account_principal,
    check_sam,
    check_upn,
    is_answer,
    look_up_for,
)
from appproxy.model.principal import Principal
from appproxy.model.service_name import NameRefused
from appproxy.model.sign_on import CLAIM_OF_LOGIN_IDENTITY, KerberosSignOn, LoginIdentity

CHOICES = tuple(CLAIM_OF_LOGIN_IDENTITY)
JOE = Principal(
    issuer="https://id.example.com",
    subject="1",
    session_id="s",
    user_principal_name="joe@contoso.com",
    on_premises_user_principal_name="joed@contoso.local",
    on_premises_sam_account_name="CJoe",
)

HOSTILE = (
    "",
    "joe",
    "@contoso.com",
    "joe@",
    "joe@contoso.com@evil.com",
    "joe/admin@contoso.com",
    "HTTP/dc1@contoso.com",
    "joe\\@contoso.com@x",
    "CONTOSO\\joe",
    "joe\\admin@contoso.com",
    "joe @contoso.com",
    " joe@contoso.com",
    "joe@contoso.com\n",
    "joe\0@contoso.com",
    "joe\x7f@contoso.com",
    "joe\u00a0@contoso.com",
    "joe\u200b@contoso.com",
    "joe\u202e@contoso.com",
    "jo\ufeffe@contoso.com",
    "\uff4aoe@contoso.com",  # a wide j
    "mar\u212a@contoso.com",  # the Kelvin sign is a k in lower case
    "bo\u017fs@contoso.com",  # the long s is an S in capitals
    "adm\u0131n@contoso.com",  # the dotless i is an I in capitals
    "ADM\u0130N@contoso.com",
    "jose\u0301@contoso.com",  # not NFC
    "joe\uff20evil.com@contoso.com",
    "joe\u2215admin@contoso.com",
    "\ud800@contoso.com",
    "j" * 1020 + "@contoso.com",
)


class LookUpTests(SynchronousTestCase):
    """L{look_up_for}."""

    def test_choices(self) -> None:
        """Each of the five choices asks for the name that the original's table has."""
        expected = {
            "user_principal_name": LookUp(LookUpKind.user_principal_name, "joe@contoso.com"),
            "on_premises_user_principal_name": LookUp(
                LookUpKind.on_premises_user_principal_name, "joed@contoso.local"
            ),
            "user_principal_username": LookUp(LookUpKind.sam_account_name, "joe"),
            "on_premises_user_principal_username": LookUp(LookUpKind.sam_account_name, "joed"),
            "on_premises_sam_account_name": LookUp(LookUpKind.sam_account_name, "CJoe"),
        }
        self.assertEqual({each: look_up_for(JOE, each) for each in CHOICES}, expected)

    def test_guests(self) -> None:
        """A guest is asked for by UPN, whatever is chosen."""
        upn = "ada_example.org#EXT#@contoso.onmicrosoft.com"
        for guest in (
            replace(JOE, user_principal_name=upn),
            Principal(issuer="i", subject="2", session_id="s", user_principal_name=upn),
        ):
            for identity in CHOICES:
                self.assertEqual(look_up_for(guest, identity), LookUp(LookUpKind.user_principal_name, upn))

    def test_missing(self) -> None:
        """Who is no guest and lacks the name is refused; no other name takes its place."""
        cloud_only = replace(JOE, on_premises_user_principal_name="", on_premises_sam_account_name="")
        on_premises: tuple[LoginIdentity, ...] = (
            "on_premises_user_principal_name",
            "on_premises_user_principal_username",
            "on_premises_sam_account_name",
        )
        for identity in on_premises:
            with self.assertRaisesRegex(NameRefused, "the user has no on_premises_"):
                look_up_for(cloud_only, identity)

    def test_claims(self) -> None:
        """Security row 43: the claims alone that a choice asks for come to the same, and tell users apart."""
        for identity in CHOICES:
            reduced = JOE.reduced_to(
                KerberosSignOn(
                    mode="kerberos", service_principal_name="HTTP/wiki", login_identity=identity
                ).claims
            )
            self.assertEqual(look_up_for(reduced, identity), look_up_for(JOE, identity))
            self.assertEqual((reduced.issuer, reduced.subject), (JOE.issuer, JOE.subject))

    def test_hostile(self) -> None:
        """
        Security row 17, security row 45: no name with separators, a second @, blanks, control, invisible or
        look-alike characters is asked for, and the refusal does not repeat it.
        """
        for name in HOSTILE:
            user = replace(JOE, user_principal_name=name, on_premises_user_principal_name=name)
            for identity in CHOICES[:4]:
                with self.assertRaises(NameRefused, msg=ascii(name)) as raised:
                    look_up_for(user, identity)
                self.assertNotIn("contoso", str(raised.exception))

    def test_machines(self) -> None:
        """
        Security row 17, security row 45: a user part that is a machine's name, or that Windows cuts, is
        refused.
        """
        for name in ("dc1$", "joe.", "a:b", "a;b", "a*", "a|b", "a,b", "a=b", 'a"b', "a<b", "a[b]"):
            user = replace(JOE, user_principal_name=f"{name}@contoso.com")
            with self.assertRaises(NameRefused, msg=name):
                look_up_for(user, "user_principal_username")

    def test_usual_names(self) -> None:
        """What people are really called passes unchanged."""
        for name in ("o'brien", "joe.d+x", "müller", "straße", "Ångström", "żółć", "иван", "李小龍", "a-b_c"):
            self.assertEqual(check_upn(f"{name}@contoso.com", "it"), f"{name}@contoso.com")
            if "+" not in name:
                self.assertEqual(check_sam(name, "it"), name)

    @given(text(max_size=40))
    def test_any_text(self, value: str) -> None:
        """
        Security row 17, security row 45: whatever passes as a SAM name is one name in Kerberos, and
        to a directory.
        """
        try:
            check_sam(value, "it")
        except NameRefused:
            return
        self.assertFalse(set(value) & set("/\\@ \t\r\n\0$") - {"$"}, ascii(value))
        self.assertEqual(unicodedata.normalize("NFC", value), value)
        self.assertTrue(value.isprintable())
        self.assertEqual(account_principal(value, "CORP.EXAMPLE.COM").count("@"), 1)

    @given(sampled_from("aeiknsAEIKNS"), text(min_size=1, max_size=1))
    def test_look_alikes(self, letter: str, other: str) -> None:
        """
        Security row 17, security row 45: no character beyond ASCII that becomes a plain letter in some
        case passes.
        """
        if other.isascii() or letter.lower() not in (other.lower(), other.upper().lower(), other.casefold()):
            return
        self.assertRaises(NameRefused, check_sam, other, "it")


class AnswerTests(SynchronousTestCase):
    """L{is_answer}, L{account_principal}."""

    def test_answer(self) -> None:
        """
        Security row 17, security row 45: an account that a directory takes for the same, but for case, is
        not it.
        """
        asked = LookUp(LookUpKind.user_principal_name, "josé@contoso.com")
        self.assertTrue(is_answer(asked, "José@Contoso.com"))
        self.assertTrue(is_answer(asked, "Jose\u0301@contoso.com"))
        for other in ("jose@contoso.com", "josé@contoso.com.evil", "", "josè@contoso.com"):
            self.assertFalse(is_answer(asked, other), other)
        self.assertFalse(is_answer(LookUp(LookUpKind.sam_account_name, "straße"), "strasse"))

    def test_principal(self) -> None:
        """Security row 45: an account and a realm make one Kerberos name, or none."""
        self.assertEqual(account_principal("joe", "CORP.EXAMPLE.COM"), "joe@CORP.EXAMPLE.COM")
        for name, realm in (
            ("joe@x", "CORP.EXAMPLE.COM"),
            ("joe/admin", "CORP.EXAMPLE.COM"),
            ("joe", "corp.example.com"),
            ("joe", "A..B"),
            ("joe", ""),
            ("joe", "A@B"),
            ("joe", "A\n"),
        ):
            self.assertRaises(NameRefused, account_principal, name, realm)
