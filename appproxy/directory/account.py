"""
What is known of a user or a service once the directory has answered. Pure.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from appproxy.directory.values import (
    AccountControl,
    EncryptionTypes,
    filetime_seconds,
    number,
    realm_of,
    relative_id,
    sid_text,
)

PROTECTED_USERS: Final = 525
"""The relative id of the group Protected Users."""

_PASSWORD_NEVER_EXPIRES: Final = AccountControl.DONT_EXPIRE_PASSWORD | AccountControl.SMARTCARD_REQUIRED
_COMPUTED: Final = AccountControl.LOCKOUT | AccountControl.PASSWORD_EXPIRED

USER_ATTRIBUTES: Final = (
    "sAMAccountName",
    "userPrincipalName",
    "objectSid",
    "userAccountControl",
    "msDS-User-Account-Control-Computed",
    "accountExpires",
    "pwdLastSet",
)

GROUP_ATTRIBUTE: Final = "tokenGroups"
"""All groups, nested ones too; the directory works it out, and only for a search of one entry."""

SERVICE_ATTRIBUTES: Final = (
    "sAMAccountName",
    "objectSid",
    "userAccountControl",
    "servicePrincipalName",
    "msDS-AllowedToDelegateTo",
    "msDS-AllowedToActOnBehalfOfOtherIdentity",
    "msDS-SupportedEncryptionTypes",
)


class Incomplete(Exception):
    """An entry lacks an attribute; the text names it. Usually the right to read it is missing."""


class Entry:
    """
    One entry of an answer.

    @ivar distinguished_name: where it is.
    """

    def __init__(self, distinguished_name: str, attributes: Mapping[str, Iterable[bytes]]) -> None:
        self.distinguished_name = distinguished_name
        self._attributes = {name.lower(): tuple(values) for name, values in attributes.items()}

    def all(self, name: str) -> tuple[bytes, ...]:
        """Every value of an attribute."""
        return self._attributes.get(name.lower(), ())

    def one(self, name: str) -> bytes:
        """
        The value of an attribute.

        @raise Incomplete: if it has none.
        """
        values = self.all(name)
        if not values:
            raise Incomplete(name)
        return values[0]

    def text(self, name: str) -> str:
        """
        An attribute as text.

        @raise Incomplete: if it has no value, or none in UTF-8.
        """
        try:
            return self.one(name).decode()
        except UnicodeDecodeError:
            raise Incomplete(name) from None

    def number(self, name: str, default: int | None = None) -> int:
        """
        An attribute as a number.

        @raise Incomplete: if there is none, and no default.
        """
        values = self.all(name)
        if not values and default is not None:
            return default
        try:
            return number(self.one(name))
        except ValueError:
            raise Incomplete(name) from None

    def sid(self) -> str:
        """
        The entry's security identifier.

        @raise Incomplete: if it has none.
        """
        try:
            return sid_text(self.one("objectSid"))
        except ValueError:
            raise Incomplete("objectSid") from None

    def texts(self, name: str) -> tuple[str, ...]:
        """Every value of an attribute as text; what is no UTF-8 is shown with replacements."""
        return tuple(value.decode("utf-8", "replace") for value in self.all(name))


@dataclass(frozen=True)
class Account:
    """
    A user.

    @ivar control: userAccountControl, with the computed bits.
    @ivar groups: the security identifiers of all groups, nested ones too.
    @ivar account_expires: seconds since 1970; L{None} for never.
    @ivar must_change_password: at the next sign-in with it.
    @ivar realm: the Kerberos realm of the account's domain.
    """

    distinguished_name: str
    sam_account_name: str
    user_principal_name: str
    sid: str
    control: AccountControl
    groups: frozenset[str]
    account_expires: float | None
    must_change_password: bool
    realm: str

    @classmethod
    def of(cls, entry: Entry, groups: Iterable[bytes]) -> Account:
        """
        Read L{USER_ATTRIBUTES}.

        @param groups: the values of L{GROUP_ATTRIBUTE}.
        @raise Incomplete: if something is missing that decides who may be delegated: without it
            nobody is.
        """
        control = AccountControl(entry.number("userAccountControl"))
        control |= AccountControl(entry.number("msDS-User-Account-Control-Computed", 0)) & _COMPUTED
        must_change = entry.number("pwdLastSet") == 0 and not control & _PASSWORD_NEVER_EXPIRES
        upn = entry.text("userPrincipalName") if entry.all("userPrincipalName") else ""
        return cls(
            entry.distinguished_name,
            entry.text("sAMAccountName"),
            upn,
            entry.sid(),
            control,
            _group_sids(groups),
            filetime_seconds(entry.number("accountExpires", 0)),
            must_change,
            realm_of(entry.distinguished_name),
        )

    @cached_property
    def sids(self) -> frozenset[str]:
        """The account's own and its groups' identifiers: what a rule may name."""
        return self.groups | {self.sid}

    @cached_property
    def disabled(self) -> bool:
        """An administrator has switched it off."""
        return bool(self.control & AccountControl.ACCOUNTDISABLE)

    @property
    def locked(self) -> bool:
        """Too many wrong passwords."""
        return bool(self.control & AccountControl.LOCKOUT)

    @property
    def password_expired(self) -> bool:
        """The password is too old, or has to be changed."""
        return self.must_change_password or bool(self.control & AccountControl.PASSWORD_EXPIRED)

    @cached_property
    def sensitive(self) -> bool:
        """ "Account is sensitive and cannot be delegated"."""
        return bool(self.control & AccountControl.NOT_DELEGATED)

    @cached_property
    def protected(self) -> bool:
        """A member of Protected Users of any domain."""
        return any(relative_id(each) == PROTECTED_USERS for each in self.groups)

    def expired_at(self, now: float) -> bool:
        """
        Whether the account has expired.

        @param now: seconds since 1970.
        """
        return self.account_expires is not None and self.account_expires <= now


@dataclass(frozen=True)
class ServiceAccount:
    """
    The connector's own account, or the one that a service runs as.

    @ivar delegates_to: msDS-AllowedToDelegateTo.
    @ivar has_allowed_to_act: whether the service itself names who may act for others
        (resource-based delegation).
    @ivar encryption_types: of its keys; 0 if the directory says nothing.
    """

    distinguished_name: str
    sam_account_name: str
    sid: str
    control: AccountControl
    spns: tuple[str, ...]
    delegates_to: tuple[str, ...]
    has_allowed_to_act: bool
    encryption_types: EncryptionTypes
    realm: str

    @classmethod
    def of(cls, entry: Entry) -> ServiceAccount:
        """
        Read L{SERVICE_ATTRIBUTES}.

        @raise Incomplete: if something is missing that every account has.
        """
        return cls(
            entry.distinguished_name,
            entry.text("sAMAccountName"),
            entry.sid(),
            AccountControl(entry.number("userAccountControl")),
            entry.texts("servicePrincipalName"),
            entry.texts("msDS-AllowedToDelegateTo"),
            bool(entry.all("msDS-AllowedToActOnBehalfOfOtherIdentity")),
            EncryptionTypes(entry.number("msDS-SupportedEncryptionTypes", 0)),
            realm_of(entry.distinguished_name),
        )

    @property
    def disabled(self) -> bool:
        """An administrator has switched it off."""
        return bool(self.control & AccountControl.ACCOUNTDISABLE)

    @property
    def uses_any_protocol(self) -> bool:
        """Protocol transition: it may delegate for users who did not sign in with Kerberos."""
        return bool(self.control & AccountControl.TRUSTED_TO_AUTH_FOR_DELEGATION)

    def delegates(self, spn: str) -> bool:
        """Whether a service stands in its list; upper and lower case are the same there."""
        return spn.casefold() in {each.casefold() for each in self.delegates_to}


def _group_sids(values: Iterable[bytes]) -> frozenset[str]:
    """
    What L{GROUP_ATTRIBUTE} holds.

    @raise Incomplete: if that is nothing: everybody has a primary group.
    """
    try:
        # Interned: many users are in the same groups.
        groups = frozenset(sys.intern(sid_text(each)) for each in values)
    except ValueError:
        groups = frozenset()
    if not groups:
        raise Incomplete(GROUP_ATTRIBUTE)
    return groups
