"""
Every way in which a request can be turned away: names, statuses and reasons
that pages, logs and metrics share.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

Fault = Literal["peer", "ours", "operator"]


class Error(Enum):
    """
    The status names that users and logs see; the value is the HTTP status.

    L{Error.SignInFailed} is answered with 400, 403, 429 or 503 by its reason.
    """

    BadRequest = "400 BadRequest"
    UriTooLong = "414 UriTooLong"
    HeadTooLarge = "431 HeadTooLarge"
    RequestTimeout = "408 RequestTimeout"
    MethodNotAllowed = "405 MethodNotAllowed"
    SignInRequired = "401 SignInRequired"
    SignInFailed = "400 SignInFailed"
    Forbidden = "403 Forbidden"
    NotFound = "404 NotFound"
    MisdirectedRequest = "421 MisdirectedRequest"
    BadGateway = "502 BadGateway"
    ServiceUnavailable = "503 ServiceUnavailable"
    GatewayTimeout = "504 GatewayTimeout"
    InternalServerError = "500 InternalServerError"

    @property
    def status(self) -> int:
        """The HTTP status that usually goes with this name."""
        return int(self.value[:3])


REASONS: Final[dict[Error, frozenset[str]]] = {
    Error.SignInRequired: frozenset({"no_session", "session_expired", "session_ended", "cookie_invalid"}),
    Error.SignInFailed: frozenset(
        {
            "state_unknown",
            "token_invalid",
            "provider_error",
            "provider_unreachable",
            "too_many_attempts",
            "throttled",
        }
    ),
    Error.Forbidden: frozenset({"not_assigned", "rule", "foreign_origin", "sso_user"}),
    Error.NotFound: frozenset({"unknown_host", "unknown_path"}),
    Error.MisdirectedRequest: frozenset({"sni_host_mismatch"}),
    Error.BadGateway: frozenset(
        {
            "backend_refused",
            "backend_name",
            "backend_tls",
            "backend_protocol",
            "backend_not_allowed",
            "sso_failed",
            "sso_not_delegated",
            "sso_unavailable",
            "tunnel_lost",
        }
    ),
    Error.ServiceUnavailable: frozenset(
        {"maintenance", "draining", "overloaded", "stale", "store_unreachable"}
    ),
    Error.GatewayTimeout: frozenset({"no_connector", "connector_timeout", "backend_timeout", "sso_timeout"}),
    Error.InternalServerError: frozenset({"bug"}),
}
"""The reasons of each name. L{Error.BadRequest} and its like carry the broken rule's own name."""

ERROR_OF_REASON: Final[dict[str, Error]] = {
    reason: error for error, reasons in REASONS.items() for reason in reasons
}

SIGN_ON_REASONS: Final = frozenset(
    {"sso_failed", "sso_not_delegated", "sso_unavailable", "sso_timeout", "sso_user"}
)
"""Those of them that say why a user could not be signed on to an application."""

_SIGN_IN_FAILED_STATUS: Final = {
    "state_unknown": 400,
    "token_invalid": 403,
    "provider_error": 403,
    "provider_unreachable": 503,
    "too_many_attempts": 400,
    "throttled": 429,
}


@dataclass(frozen=True)
class Refusal:
    """
    One request turned away.

    @ivar error: the status name.
    @ivar reason: the machine-readable reason.
    @ivar fault: whose fault it is, for the log.
    @ivar detail: a sentence for the page; never a secret, may be empty.
    """

    error: Error
    reason: str
    fault: Fault = "peer"
    detail: str = ""

    @property
    def status(self) -> int:
        """The HTTP status to answer with."""
        if self.error is Error.SignInFailed:
            return _SIGN_IN_FAILED_STATUS.get(self.reason, 400)
        return self.error.status


def refusal_of_reason(reason: str, detail: str = "") -> Refusal:
    """
    The refusal that belongs to a reason that came through the tunnel.

    An unknown reason of a newer peer counts as a lost tunnel.
    """
    error = ERROR_OF_REASON.get(reason)
    if error is None:
        return Refusal(Error.BadGateway, "tunnel_lost", "peer", detail)
    fault: Fault = "ours" if error is Error.InternalServerError else "operator"
    return Refusal(error, reason, fault, detail)
