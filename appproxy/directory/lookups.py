"""
What is looked up, and how: which searches, and what their answers mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from appproxy.directory.account import (
    GROUP_ATTRIBUTE,
    SERVICE_ATTRIBUTES,
    USER_ATTRIBUTES,
    Account,
    Entry,
    Incomplete,
    ServiceAccount,
)
from appproxy.directory.errors import DirectoryError
from appproxy.directory.filters import Identity, IdentityKind, name_filter, spn_filter, user_filter
from appproxy.directory.session import Scope
from appproxy.directory.values import generalized_seconds, is_security_group, is_sid

_ANY: Final = "(objectClass=*)"
_TWO: Final = 2
"""Entries are enough to know that there are several."""

_ALIKE: Final = 10
"""Names that a directory takes for the same one: only one of them is meant."""

_NAMES: Final = frozenset({IdentityKind.USER_PRINCIPAL_NAME, IdentityKind.SAM_ACCOUNT_NAME})

_SHARED_CLASSES: Final = frozenset({"http", "www", "cifs", "ldap"})
"""Services that a HOST/ name stands for as well, by Active Directory's sPNMappings, as far as it matters."""

_GROUP_CLASS: Final = b"group"


class Searches(Protocol):
    """What asks the directory."""

    def __call__(
        self, base: str, query: str, scope: Scope, attributes: Sequence[str], size_limit: int = 0
    ) -> list[Entry]:
        """As L{Session.search}."""


def find_account(search: Searches, base: str, identity: Identity) -> Account:
    """
    The one user of an identity.

    @raise DirectoryError: if there is none, or there are several.
    """
    try:
        query = user_filter(identity)
    except ValueError as error:
        raise DirectoryError("user_unknown", f"{identity}: {error}") from error
    found = search(base, query, "SUBTREE", USER_ATTRIBUTES, _ALIKE)
    entry = _only([each for each in found if _is_named(each, identity)], str(identity))
    try:
        # By its identifier: names may change between the two, and need other escapes here.
        groups = search(f"<SID={entry.sid()}>", _ANY, "BASE", (GROUP_ATTRIBUTE,))
        if not groups:
            raise _unknown(str(identity))
        return Account.of(entry, groups[0].all(GROUP_ATTRIBUTE))
    except Incomplete as missing:
        raise _unreadable(entry, missing) from missing


def find_service(search: Searches, base: str, sam_account_name: str) -> ServiceAccount:
    """
    A user or a computer by its SAM name.

    @raise DirectoryError: if there is none.
    """
    found = search(base, name_filter(sam_account_name), "SUBTREE", SERVICE_ATTRIBUTES, _TWO)
    return _service(_only(found, sam_account_name))


def find_by_spn(search: Searches, base: str, spn: str) -> ServiceAccount | None:
    """
    Whoever has a service principal name, or the HOST/ name that stands for it; or nobody.

    @raise DirectoryError: if several accounts have it: then there are no tickets for it either.
    """
    service_class, _, rest = spn.partition("/")
    names = [spn, *([f"HOST/{rest}"] if service_class.lower() in _SHARED_CLASSES else [])]
    for name in names:
        found = search(base, spn_filter(name), "SUBTREE", SERVICE_ATTRIBUTES, _TWO)
        if found:
            return _service(_only(found, name))
    return None


def find_sids(search: Searches, base: str, names: Iterable[str]) -> frozenset[str]:
    """
    The security identifiers of groups, users and computers.

    @param names: SAM names, distinguished names or identifiers.
    @raise DirectoryError: if one is unknown, or a group that no token has: a rule that names it
        would never hold.
    """
    found, problems = set(), []
    for name in names:
        try:
            found.add(_sid_of(search, base, name))
        except DirectoryError as error:
            if error.reason != "group_unknown":
                raise
            problems.append(error.detail)
    if problems:
        raise DirectoryError("group_unknown", "; ".join(problems))
    return frozenset(found)


def find_time(search: Searches) -> float:
    """
    The directory's own time, seconds since 1970: C{currentTime} of the root of its tree.

    @raise DirectoryError: if it does not tell.
    """
    found = search("", _ANY, "BASE", ("currentTime",))
    try:
        return generalized_seconds(found[0].text("currentTime"))
    except (IndexError, Incomplete, ValueError) as error:
        raise DirectoryError("directory_refused", "the directory does not tell its time") from error


def _sid_of(search: Searches, base: str, name: str) -> str:
    if is_sid(name):
        return name.upper()
    attributes = ("objectSid", "objectClass", "groupType")
    if "=" in name:
        found = search(name, _ANY, "BASE", attributes)
    else:
        found = search(base, name_filter(name), "SUBTREE", attributes, _TWO)
    if len(found) != 1:
        raise DirectoryError("group_unknown", f"there is no group or account {name!r}")
    entry = found[0]
    if _GROUP_CLASS in entry.all("objectClass") and not is_security_group(entry.number("groupType", 0)):
        raise DirectoryError("group_unknown", f"{name!r} is a distribution group, which nobody's token has")
    try:
        return entry.sid()
    except Incomplete as missing:
        raise DirectoryError("group_unknown", f"{name!r} has no {missing}") from missing


def _is_named(entry: Entry, identity: Identity) -> bool:
    """
    Whether an entry has this very name.

    A directory does not only ignore case: blanks at the end, accents, what follows a NUL. Whoever may
    choose a name could make one that is somebody else's to the directory alone.
    """
    if identity.kind not in _NAMES:
        return True
    try:
        return entry.text(identity.kind.value).lower() == identity.value.lower()
    except Incomplete:
        return False


def _service(entry: Entry) -> ServiceAccount:
    try:
        return ServiceAccount.of(entry)
    except Incomplete as missing:
        raise _unreadable(entry, missing) from missing


def _only(found: Sequence[Entry], name: str) -> Entry:
    if not found:
        raise _unknown(name)
    if len(found) > 1:
        places = " and ".join(each.distinguished_name for each in found)
        raise DirectoryError("user_ambiguous", f"{name} is {places}")
    return found[0]


def _unknown(name: str) -> DirectoryError:
    return DirectoryError("user_unknown", f"{name}: no such account below the directory's base")


def _unreadable(entry: Entry, missing: Incomplete) -> DirectoryError:
    text = f"{missing} of {entry.distinguished_name} cannot be read"
    return DirectoryError("directory_refused", f"{text}: the connector's account lacks the right to")
