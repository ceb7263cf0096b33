"""Tests of L{appproxy.directory.lookups}: what answers mean that Samba does not give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from appproxy.directory.account import Account, Entry
from appproxy.directory.errors import DirectoryError, most_telling
from appproxy.directory.filters import Identity, IdentityKind
from appproxy.directory.lookups import find_account, find_by_spn, find_service, find_sids
from appproxy.directory.values import sid_bytes

BASE: Final = "DC=corp,DC=example"
SID: Final = "S-1-5-21-1-2-3-1104"


def entry(name: str, **changes: Sequence[bytes]) -> Entry:
    """A user or a group."""
    attributes: Mapping[str, Sequence[bytes]] = {
        "sAMAccountName": [name.encode()],
        "objectSid": [sid_bytes(SID)],
        "userAccountControl": [b"512"],
        "pwdLastSet": [b"1"],
        "tokenGroups": [sid_bytes("S-1-5-21-1-2-3-513")],
        **changes,
    }
    return Entry(f"CN={name},{BASE}", {key: value for key, value in attributes.items() if value})


class Answers:
    """
    Gives one answer after the other.

    @ivar asked: bases and filters.
    """

    def __init__(self, *answers: Sequence[Entry]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, str]] = []

    def __call__(
        self, base: str, query: str, scope: str, attributes: Sequence[str], size_limit: int = 0
    ) -> list[Entry]:
        self.asked.append((base, query))
        return list(self._answers.pop(0))


class AccountTests(SynchronousTestCase):
    """Users."""

    def find(self, name: str, *answers: Sequence[Entry]) -> Account:
        """By SAM name."""
        return find_account(Answers(*answers), BASE, Identity(IdentityKind.SAM_ACCOUNT_NAME, name))

    def reason(self, name: str, *answers: Sequence[Entry]) -> str:
        """Why nobody is found."""
        error = self.assertRaises(DirectoryError, self.find, name, *answers)
        return error.reason  # type: ignore[no-any-return]

    def test_alike(self) -> None:
        """Who is the same to the directory alone, by an accent or a blank, is not the one who is meant."""
        jose, other = entry("jose"), entry("josé")
        self.assertEqual(self.reason("josé", [jose]), "user_unknown")
        self.assertEqual(self.reason("jose ", [jose]), "user_unknown")
        self.assertEqual(self.find("JOSÉ", [jose, other], [other]).sam_account_name, "josé")

    def test_groups_by_identifier(self) -> None:
        """Groups are asked of the entry that was found, not of a name that may have moved."""
        answers = Answers([entry("alice")], [entry("alice")])
        find_account(answers, BASE, Identity(IdentityKind.SAM_ACCOUNT_NAME, "alice"))
        self.assertEqual(answers.asked[1], (f"<SID={SID}>", "(objectClass=*)"))

    def test_gone_meanwhile(self) -> None:
        """A user who is deleted between the two searches is unknown."""
        self.assertEqual(self.reason("alice", [entry("alice")], []), "user_unknown")

    def test_unreadable(self) -> None:
        """Without the right to read what decides, nobody is found, and the missing right is named."""
        alice = entry("alice")
        for answers in (
            ([alice], [entry("alice", tokenGroups=[])]),
            ([entry("alice", userAccountControl=[])], [alice]),
        ):
            self.assertEqual(self.reason("alice", *answers), "directory_refused")


class OtherTests(SynchronousTestCase):
    """Services, groups, errors."""

    def test_two_services(self) -> None:
        """A service's name that two accounts have is an error: a KDC gives no ticket for it."""
        search = Answers([entry("a"), entry("b")])
        error = self.assertRaises(DirectoryError, find_by_spn, search, BASE, "HTTP/x")
        self.assertEqual(error.reason, "user_ambiguous")

    def test_own_name_first(self) -> None:
        """HOST/ stands for a service only where nobody has its own name, and only for services of a host."""
        search = Answers([entry("a")])
        find_by_spn(search, BASE, "HTTP/x")
        self.assertEqual(len(search.asked), 1)
        search = Answers([], [entry("host$")])
        found = find_by_spn(search, BASE, "HTTP/x")
        self.assertEqual(found and found.sam_account_name, "host$")
        self.assertIsNone(find_by_spn(Answers([]), BASE, "MSSQLSvc/x:1433"))

    def test_unreadable_service(self) -> None:
        """A service's entry without its flags is no service's."""
        search = Answers([entry("a", userAccountControl=[])])
        error = self.assertRaises(DirectoryError, find_service, search, BASE, "a")
        self.assertIn("userAccountControl", error.detail)

    def test_other_failures(self) -> None:
        """A server that cannot be asked is not taken for one that knows no such group."""

        def search(*_: object, **__: object) -> list[Entry]:
            raise DirectoryError("directory_unreachable", "dc1: refused")

        error = self.assertRaises(DirectoryError, find_sids, search, BASE, ["Domain Admins"])
        self.assertEqual(error.reason, "directory_unreachable")

    def test_group_without_identifier(self) -> None:
        """An entry that has none is named."""
        error = self.assertRaises(DirectoryError, find_sids, Answers([entry("x", objectSid=[])]), BASE, ["x"])
        self.assertEqual((error.reason, error.detail), ("group_unknown", "'x' has no objectSid"))

    def test_most_telling(self) -> None:
        """Of several servers' failures the most telling reason counts; every detail is kept once."""
        errors = [
            DirectoryError("directory_refused", "dc2: the password is wrong"),
            DirectoryError("directory_unreachable", "dc1: refused"),
            DirectoryError("directory_unreachable", "dc1: refused"),
        ]
        error = most_telling(errors)
        self.assertEqual(error.reason, "directory_refused")
        self.assertEqual(error.detail, "dc2: the password is wrong; dc1: refused")
