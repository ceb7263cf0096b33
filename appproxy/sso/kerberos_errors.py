"""
What the failures of Kerberos and the directory mean for the user who waits. Pure.
"""

from __future__ import annotations

from typing import Final

from appproxy.directory.errors import DirectoryError
from appproxy.kerberos.causes import Cause, KerberosError, Stage
from appproxy.sso.errors import SignOnError

USER_CAUSES: Final = frozenset(
    {
        Cause.user_disabled,
        Cause.account_expired,
        Cause.password_expired,
        Cause.user_sensitive,
        Cause.user_protected,
    }
)
"""The user's own account is what stands in the way; for others it may well work."""

_NOT_DELEGATED: Final = frozenset(
    {
        Cause.not_delegated,
        Cause.no_delegation,
        Cause.no_protocol_transition,
        Cause.spn_not_listed,
        Cause.spn_unknown,
        Cause.spn_ambiguous,
        Cause.resource_based_missing,
    }
)

_UNAVAILABLE: Final = frozenset(
    {
        Cause.kdc_unreachable,
        Cause.kdc_unknown,
        Cause.kdc_error,
        Cause.overloaded,
        Cause.configuration,
        Cause.keytab_stale,
        Cause.keytab_unusable,
        Cause.account_disabled,
        Cause.realm_unknown,
        Cause.no_trust,
        Cause.clock_skew,
    }
)

_DIRECTORY_REASONS: Final = {
    "directory_timeout": "sso_timeout",
    "user_unknown": "sso_user",
    "user_ambiguous": "sso_user",
}


def of_kerberos(error: KerberosError) -> SignOnError:
    """A step of Kerberos failed."""
    text = error.stage.value + (f": {error.detail}" if error.detail else "")
    return SignOnError(text, _reason(error), error.cause.value)


def of_directory(error: DirectoryError) -> SignOnError:
    """A look-up failed."""
    return SignOnError(error.detail, _DIRECTORY_REASONS.get(error.reason, "sso_unavailable"), error.reason)


def _reason(error: KerberosError) -> str:
    if error.cause is Cause.kdc_timeout:
        return "sso_timeout"
    if error.stage is Stage.mutual:
        return "sso_failed"
    if error.stage is Stage.own_ticket:
        # Whatever it is, it is the connector's, not the user's.
        return "sso_unavailable"
    if error.cause in USER_CAUSES or error.cause is Cause.account_unknown:
        return "sso_user"
    if error.cause in _NOT_DELEGATED:
        return "sso_not_delegated"
    return "sso_unavailable" if error.cause in _UNAVAILABLE else "sso_failed"
