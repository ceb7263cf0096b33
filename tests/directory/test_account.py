"""Tests of L{appproxy.directory.account}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.directory.account import (
    SERVICE_ATTRIBUTES,
    USER_ATTRIBUTES,
    Account,
    Entry,
    Incomplete,
    ServiceAccount,
)
from appproxy.directory.values import EncryptionTypes, sid_bytes

DOMAIN: Final = "S-1-5-21-1-2-3"
DN: Final = "CN=Alice,CN=Users,DC=corp,DC=example"
ALICE: Final[Mapping[str, list[bytes]]] = {
    "sAMAccountName": [b"alice"],
    "userPrincipalName": [b"alice@corp.example"],
    "objectSid": [sid_bytes(f"{DOMAIN}-1104")],
    "userAccountControl": [b"512"],
    "pwdLastSet": [b"133000000000000000"],
    "accountExpires": [b"9223372036854775807"],
}
USERS: Final = sid_bytes(f"{DOMAIN}-513")


def account(*groups: bytes, **changes: bytes) -> Account:
    """Alice, in these groups, with other values."""
    changed = {name: [value] for name, value in changes.items()}
    return Account.of(Entry(DN, {**ALICE, **changed}), groups or (USERS,))


class AccountTests(SynchronousTestCase):
    """Users."""

    def test_plain(self) -> None:
        """Nothing speaks against somebody of whom nothing is said."""
        alice = account()
        self.assertEqual((alice.sam_account_name, alice.realm), ("alice", "CORP.EXAMPLE"))
        self.assertEqual(alice.sids, {f"{DOMAIN}-513", f"{DOMAIN}-1104"})
        states = (alice.disabled, alice.locked, alice.password_expired, alice.sensitive, alice.protected)
        self.assertEqual((*states, alice.expired_at(1e12)), (False,) * 6)

    def test_flags(self) -> None:
        """Each flag is told by itself."""
        self.assertTrue(account(userAccountControl=b"514").disabled)
        self.assertTrue(account(userAccountControl=b"1049088").sensitive)
        self.assertTrue(account(**{"msDS-User-Account-Control-Computed": b"16"}).locked)
        self.assertTrue(account(**{"msDS-User-Account-Control-Computed": b"8388608"}).password_expired)

    def test_computed_flags_add_no_other(self) -> None:
        """The computed attribute counts for what only it has."""
        self.assertFalse(account(**{"msDS-User-Account-Control-Computed": b"2"}).disabled)

    def test_must_change(self) -> None:
        """A password that was never set has to be changed, unless it never expires."""
        self.assertTrue(account(pwdLastSet=b"0").must_change_password)
        self.assertFalse(account(pwdLastSet=b"0", userAccountControl=b"66048").must_change_password)

    def test_expired(self) -> None:
        """From its very second on."""
        alice = account(accountExpires=b"116444736010000000")
        self.assertFalse(alice.expired_at(0.5))
        self.assertTrue(alice.expired_at(1.0))

    def test_protected(self) -> None:
        """By the group's relative identifier, which is the same in every domain and every language."""
        self.assertTrue(account(USERS, sid_bytes(f"{DOMAIN}-525")).protected)
        self.assertFalse(account(sid_bytes("S-1-5-21-1-2-525-513")).protected)

    def test_incomplete(self) -> None:
        """Without what decides about delegation there is no account: lack of rights lets nobody through."""
        for name in ("sAMAccountName", "objectSid", "userAccountControl", "pwdLastSet"):
            attributes = {key: value for key, value in ALICE.items() if key != name}
            error = self.assertRaises(Incomplete, Account.of, Entry(DN, attributes), (USERS,))
            self.assertEqual(str(error), name)
        for groups in ((), (b"junk",)):
            self.assertRaises(Incomplete, Account.of, Entry(DN, ALICE), groups)

    def test_no_principal_name(self) -> None:
        """A user may have no user principal name."""
        attributes = {key: value for key, value in ALICE.items() if key != "userPrincipalName"}
        self.assertEqual(Account.of(Entry(DN, attributes), (USERS,)).user_principal_name, "")

    @given(st.dictionaries(st.sampled_from(USER_ATTRIBUTES), st.lists(st.binary(max_size=40), max_size=3)))
    def test_anything(self, changes: dict[str, list[bytes]]) -> None:
        """Whatever a server sends becomes an account or is incomplete."""
        try:
            Account.of(Entry(DN, {**ALICE, **changes}), (USERS,))
        except Incomplete:
            pass


class ServiceTests(SynchronousTestCase):
    """Services and connectors."""

    def service(self, **changes: list[bytes]) -> ServiceAccount:
        """One that delegates to one service."""
        names = {"msDS-AllowedToDelegateTo": [b"HTTP/intranet.corp.example"]}
        return ServiceAccount.of(Entry(DN, {**ALICE, **names, **changes}))

    def test_delegation(self) -> None:
        """The list is compared as Active Directory does: case does not matter, everything else does."""
        service = self.service(userAccountControl=[b"16781312"])
        self.assertTrue(service.delegates("http/INTRANET.corp.example"))
        self.assertFalse(service.delegates("HTTP/intranet"))
        self.assertTrue(service.uses_any_protocol)
        self.assertFalse(service.disabled)

    def test_others(self) -> None:
        """What an entry lacks is nothing special here."""
        service = self.service()
        self.assertEqual((service.spns, service.encryption_types), ((), EncryptionTypes(0)))
        self.assertFalse(service.has_allowed_to_act or service.uses_any_protocol)
        self.assertTrue(
            self.service(**{"msDS-AllowedToActOnBehalfOfOtherIdentity": [b"x"]}).has_allowed_to_act
        )

    @given(st.dictionaries(st.sampled_from(SERVICE_ATTRIBUTES), st.lists(st.binary(max_size=40), max_size=3)))
    def test_anything(self, changes: dict[str, list[bytes]]) -> None:
        """Whatever a server sends becomes an account or is incomplete."""
        try:
            self.service(**changes)
        except Incomplete:
            pass
