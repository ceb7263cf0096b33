"""
Why a KDC says C{KDC_ERR_BADOPTION}: six reasons, one code, and only the directory knows which. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from appproxy.kerberos.causes import Cause


class ServiceAccountFacts(Protocol):
    """What the directory says of the connector's account."""

    @property
    def uses_any_protocol(self) -> bool:
        """
        C{TRUSTED_TO_AUTH_FOR_DELEGATION} (0x1000000) in C{userAccountControl}: protocol
        transition, "Use any authentication protocol".
        """

    @property
    def delegates_to(self) -> Collection[str]:
        """C{msDS-AllowedToDelegateTo}."""

    @property
    def realm(self) -> str:
        """Of its domain."""


class TargetFacts(Protocol):
    """What the directory says of the account that the application runs as."""

    @property
    def has_allowed_to_act(self) -> bool:
        """Whether it itself names who may sign users on (C{msDS-AllowedToActOnBehalfOfOtherIdentity})."""

    @property
    def realm(self) -> str:
        """Of its domain."""


class UserFacts(Protocol):
    """What the directory says of the user."""

    @property
    def sensitive(self) -> bool:
        """C{NOT_DELEGATED} (0x100000) in C{userAccountControl}: "sensitive and cannot be delegated"."""

    @property
    def protected(self) -> bool:
        """Whether the user is in Protected Users (RID 525), directly or through groups."""


def explain_bad_option(
    service_account: ServiceAccountFacts, user: UserFacts, spn: str, target: TargetFacts | None = None
) -> Cause:
    """
    Which of them it is. What concerns the user comes first: for other users it may well work.

    @param spn: as it was asked for; its realm, if any, does not count.
    @param target: whose name that is, if it was looked up.
    @return: L{Cause.not_delegated} if the directory shows no reason.
    """
    if user.sensitive:
        return Cause.user_sensitive
    if user.protected:
        return Cause.user_protected
    return explain_accounts(service_account, spn, target)


def explain_accounts(
    service_account: ServiceAccountFacts, spn: str, target: TargetFacts | None = None
) -> Cause:
    """
    The same, whoever the user is: what the accounts of connector and application lack.

    @return: L{Cause.not_delegated} if that is nothing.
    """
    wanted = spn.partition("@")[0].casefold()
    listed = wanted in {each.casefold() for each in service_account.delegates_to}
    if target is not None and target.realm != service_account.realm:
        # The connector's own list has no say across domains.
        return Cause.resource_based_missing
    if not listed:
        return _explain_missing(service_account, target)
    return Cause.not_delegated if service_account.uses_any_protocol else Cause.no_protocol_transition


def _explain_missing(service_account: ServiceAccountFacts, target: TargetFacts | None) -> Cause:
    if target is not None and target.has_allowed_to_act:
        return Cause.resource_based_missing
    return Cause.spn_not_listed if service_account.delegates_to else Cause.no_delegation
