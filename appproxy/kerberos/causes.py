"""
At which step Kerberos refused, and why. Pure.

The numbers are those of RFC 4120, section 7.5.9, and of MIT's library beyond 127. One number
means different things at different steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Stage(Enum):
    """The steps from a keytab to a signed-on user."""

    own_ticket = "the connector's own ticket"
    s4u2self = "the user's ticket to the connector (S4U2Self)"
    s4u2proxy = "the user's ticket to the application (S4U2Proxy)"
    mutual = "the application's answer"
    outbound_proxy = "the connector's ticket to the HTTP proxy on its way out"


class Cause(Enum):
    """Why; the values are names for logs, metrics and commands, and never change."""

    kdc_unreachable = "kdc_unreachable"
    kdc_timeout = "kdc_timeout"
    kdc_unknown = "kdc_unknown"
    kdc_error = "kdc_error"
    overloaded = "overloaded"
    configuration = "configuration"
    keytab_stale = "keytab_stale"
    keytab_unusable = "keytab_unusable"
    account_unknown = "account_unknown"
    account_disabled = "account_disabled"
    account_expired = "account_expired"
    password_expired = "password_expired"
    user_disabled = "user_disabled"
    realm_unknown = "realm_unknown"
    no_trust = "no_trust"
    encryption_unsupported = "encryption_unsupported"
    clock_skew = "clock_skew"
    ticket_expired = "ticket_expired"
    ticket_revoked = "ticket_revoked"
    spn_unknown = "spn_unknown"
    spn_ambiguous = "spn_ambiguous"
    not_delegated = "not_delegated"
    user_sensitive = "user_sensitive"
    user_protected = "user_protected"
    no_delegation = "no_delegation"
    no_protocol_transition = "no_protocol_transition"
    spn_not_listed = "spn_not_listed"
    resource_based_missing = "resource_based_missing"
    wrong_service = "wrong_service"
    wrong_key = "wrong_key"
    replayed = "replayed"
    reply_missing = "reply_missing"
    reply_malformed = "reply_malformed"
    rejected = "rejected"
    wrong_mechanism = "wrong_mechanism"
    other = "other"


@dataclass(slots=True)
class Progress:
    """How far a call in another thread has come, for whoever stops waiting for it."""

    stage: Stage = Stage.own_ticket


class KerberosError(Exception):
    """
    A step failed.

    @ivar detail: the library's or our own words, for the log. It may name accounts and
        services, never a key or a token.
    """

    def __init__(self, stage: Stage, cause: Cause, detail: str = "") -> None:
        super().__init__(f"{stage.value}: {cause.value}" + (f" ({detail})" if detail else ""))
        self.stage = stage
        self.cause = cause
        self.detail = detail


class KerberosUnavailable(Exception):
    """There is no Kerberos library; the text says how to install it."""


_BASE: Final = -1765328384
"""C{ERROR_TABLE_BASE_krb5}: the minor code of error 0."""

_ANY_STAGE: Final = {
    1: Cause.account_expired,
    6: Cause.account_unknown,
    7: Cause.spn_unknown,
    8: Cause.spn_ambiguous,
    9: Cause.encryption_unsupported,  # an account without any key
    12: Cause.user_disabled,  # Samba; on Windows also logon hours and authentication policies
    13: Cause.not_delegated,
    14: Cause.encryption_unsupported,
    18: Cause.user_disabled,  # Windows: disabled or locked
    20: Cause.ticket_revoked,
    21: Cause.account_expired,  # not valid yet
    23: Cause.password_expired,
    24: Cause.keytab_stale,
    28: Cause.no_trust,
    29: Cause.kdc_error,
    32: Cause.ticket_expired,
    33: Cause.clock_skew,
    34: Cause.replayed,
    35: Cause.wrong_service,
    37: Cause.clock_skew,
    44: Cause.wrong_key,
    45: Cause.wrong_key,
    60: Cause.kdc_error,
    68: Cause.realm_unknown,
    135: Cause.configuration,
    136: Cause.configuration,
    144: Cause.wrong_service,
    147: Cause.kdc_error,
    148: Cause.clock_skew,
    154: Cause.kdc_unknown,
    156: Cause.kdc_unreachable,
    179: Cause.keytab_unusable,
    181: Cause.keytab_unusable,
    184: Cause.keytab_unusable,
    195: Cause.keytab_unusable,  # what is said of a keytab that is missing, or another account's
    210: Cause.keytab_stale,
    220: Cause.kdc_unknown,
    221: Cause.not_delegated,
    224: Cause.configuration,
    230: Cause.keytab_stale,
    235: Cause.keytab_unusable,
    237: Cause.encryption_unsupported,
}

_AT_STAGE: Final = {
    (Stage.own_ticket, 7): Cause.realm_unknown,  # the realm has no such ticket-granting service
    (Stage.own_ticket, 12): Cause.account_disabled,
    (Stage.own_ticket, 18): Cause.account_disabled,
    (Stage.own_ticket, 31): Cause.keytab_stale,
    (Stage.own_ticket, 41): Cause.keytab_stale,
    (Stage.s4u2self, 7): Cause.realm_unknown,  # the realm in the user's name
    # The KDC no longer knows the key of its own ticket: the domain's krbtgt was reset twice, or restored.
    (Stage.s4u2self, 31): Cause.ticket_revoked,
    (Stage.s4u2self, 41): Cause.ticket_revoked,
    (Stage.s4u2proxy, 31): Cause.ticket_revoked,
    (Stage.s4u2proxy, 41): Cause.ticket_revoked,
    (Stage.outbound_proxy, 12): Cause.account_disabled,
    (Stage.outbound_proxy, 18): Cause.account_disabled,
    (Stage.outbound_proxy, 31): Cause.ticket_revoked,
    (Stage.outbound_proxy, 41): Cause.ticket_revoked,
    (Stage.mutual, 31): Cause.wrong_key,
    (Stage.mutual, 41): Cause.wrong_key,
    (Stage.mutual, 46): Cause.wrong_key,
}

_ROUTINE_ERRORS: Final = {6: Cause.reply_malformed, 9: Cause.reply_malformed}
"""GSSAPI's own codes (RFC 2743): a bad signature, a token that is none."""


def cause_of(stage: Stage, major: int, minor: int) -> Cause:
    """
    What an error of the library means.

    @param minor: the mechanism's code, with or without its sign (32 bits).
    """
    number = (minor - _BASE) & 0xFFFFFFFF
    known = _AT_STAGE.get((stage, number)) or _ANY_STAGE.get(number)
    if known is None and stage is Stage.mutual:
        known = _ROUTINE_ERRORS.get(major >> 16 & 0xFF)
    return known or Cause.other


STALE_OWN_TICKET: Final = frozenset({Cause.ticket_expired, Cause.ticket_revoked, Cause.clock_skew})
"""What may be the fault of the connector's own ticket, which a new one would mend."""

KDC_SILENT: Final = frozenset({Cause.kdc_unreachable, Cause.kdc_timeout, Cause.kdc_unknown})
"""No KDC has answered; any other cause shows that one does."""
