"""
What a refusal is called on its page: one place for every sentence.

The reader is someone who wanted to open an application. A page says what
happened, whether trying again can help, and never what is behind the edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from appproxy.model.refusal import Error, Refusal


@dataclass(frozen=True)
class Words:
    """
    The text of one page.

    @ivar title: what happened, in a few words.
    @ivar text: the same in a sentence or two.
    @ivar advice: what the reader can do; may be empty.
    @ivar retry: whether trying again can help.
    """

    title: str
    text: str
    advice: str = ""
    retry: bool = False


_LATER: Final = "Try again in a minute."
_ASK: Final = "If it stays like this, tell your support what is written at the bottom of this page."
_NEW_SIGN_IN: Final = "Open the application again to start a new sign-in."

_BY_REASON: Final[dict[str, Words]] = {
    "no_session": Words("Please sign in", "You need to sign in to use this application."),
    "session_expired": Words("Your session has ended", "You were signed in for as long as is allowed."),
    "session_ended": Words("You are signed out", "Your session was ended."),
    "cookie_invalid": Words("Please sign in again", "Your browser's sign-in could not be read."),
    "state_unknown": Words(
        "This sign-in is no longer valid",
        "It was started too long ago, in another browser, or it was used already.",
        _NEW_SIGN_IN,
        retry=True,
    ),
    "token_invalid": Words(
        "You could not be signed in",
        "The answer of your organisation's sign-in could not be verified.",
        _ASK,
        retry=True,
    ),
    "provider_error": Words(
        "Your sign-in was not completed",
        "Your organisation's sign-in did not let you through, or it was cancelled.",
        _NEW_SIGN_IN,
        retry=True,
    ),
    "provider_unreachable": Words(
        "Sign-in is not available at the moment",
        "Your organisation's sign-in could not be reached.",
        _LATER,
        retry=True,
    ),
    "too_many_attempts": Words(
        "Too many sign-ins at once",
        "Several sign-ins are under way in this browser. The oldest were dropped.",
        "Close the other sign-in pages and open the application again.",
        retry=True,
    ),
    "throttled": Words(
        "Too many failed sign-ins",
        "Many sign-ins from your network failed within a minute, so none is looked at for now.",
        "Wait a minute, then open the application again.",
    ),
    "not_assigned": Words(
        "You do not have access",
        "You are signed in, but this application is not assigned to you.",
        "If you need it for your work, ask your support for access.",
    ),
    "rule": Words(
        "Access is not allowed right now",
        "You are signed in, but a rule of your organisation does not allow this access.",
        "If you think this is wrong, ask your support.",
    ),
    "foreign_origin": Words(
        "This connection was not allowed",
        "Another web site tried to use the application in your name.",
        "Open the application from your list of applications instead.",
    ),
    "unknown_path": Words("There is nothing here", "This address leads nowhere."),
    "unknown_host": Words("There is nothing here", "This address leads nowhere."),
    "sni_host_mismatch": Words(
        "Wrong connection", "The request was meant for another address.", "Try again.", retry=True
    ),
    "backend_refused": Words(
        "The application does not answer",
        "The application could not be reached. It may be restarting.",
        _LATER,
        retry=True,
    ),
    "backend_name": Words(
        "The application cannot be found", "Its inside address could not be resolved.", _ASK, retry=True
    ),
    "backend_tls": Words(
        "No secure connection to the application",
        "The application's certificate could not be verified, so nothing was sent to it.",
        _ASK,
    ),
    "backend_protocol": Words(
        "The application's answer was not usable",
        "The application answered in a way that cannot be passed on safely.",
        _ASK,
        retry=True,
    ),
    "backend_not_allowed": Words(
        "The application is not set up completely",
        "The connector beside the application does not allow connections to it.",
        _ASK,
    ),
    "sso_failed": Words(
        "You could not be signed on to the application",
        "You are signed in here, but the application could not be told who you are.",
        _ASK,
        retry=True,
    ),
    "sso_user": Words(
        "Your account cannot be used here",
        "You are signed in here, but your account in your organisation's directory cannot be used for this "
        "application: it may be unknown there, disabled, expired, need a new password, or be protected from "
        "this kind of sign-on.",
        "Tell your support what is written at the bottom of this page.",
    ),
    "sso_not_delegated": Words(
        "The application is not set up completely",
        "You are signed in here, but the connector beside the application may not sign users on to it.",
        _ASK,
    ),
    "sso_unavailable": Words(
        "Sign-on is not available at the moment",
        "You are signed in here, but your organisation's directory could not be asked for a ticket to the "
        "application.",
        _LATER,
        retry=True,
    ),
    "sso_timeout": Words(
        "Sign-on took too long",
        "You are signed in here, but your organisation's directory did not answer in time with a ticket to "
        "the application.",
        _LATER,
        retry=True,
    ),
    "tunnel_lost": Words(
        "The connection was interrupted",
        "The connection to the application was lost before it answered.",
        "Try again. If you were sending something, check first whether it arrived.",
        retry=True,
    ),
    "maintenance": Words("Closed for maintenance", "It is being worked on.", _LATER, retry=True),
    "draining": Words("Restarting", "This service is about to restart.", _LATER, retry=True),
    "overloaded": Words("Very busy", "There is more to do than can be done right now.", _LATER, retry=True),
    "stale": Words(
        "Just being changed",
        "A change of the application's settings has not arrived everywhere yet.",
        _LATER,
        retry=True,
    ),
    "store_unreachable": Words(
        "Sign-ins cannot be checked at the moment",
        "Your session is kept, but it cannot be confirmed right now.",
        _LATER,
        retry=True,
    ),
    "no_connector": Words(
        "The application is not connected",
        "No connector that can reach this application is online.",
        _LATER,
        retry=True,
    ),
    "connector_timeout": Words(
        "The connection took too long", "The connector did not answer in time.", _LATER, retry=True
    ),
    "backend_timeout": Words(
        "The application took too long",
        "The application was reached but did not answer in time.",
        "Try again. If you were sending something, check first whether it arrived.",
        retry=True,
    ),
    "bug": Words(
        "Something went wrong here",
        "This is our mistake, not yours. It was written to the log.",
        _ASK,
        retry=True,
    ),
}

_BY_ERROR: Final[dict[Error, Words]] = {
    Error.BadRequest: Words("The request was not understood", "It is not valid, or not safe to pass on."),
    Error.UriTooLong: Words("The address is too long", "Shorten the address and try again."),
    Error.HeadTooLarge: Words(
        "The request is too large",
        "Its headers are larger than allowed.",
        "Deleting this site's cookies often helps.",
    ),
    Error.RequestTimeout: Words("The request took too long", "It did not arrive completely.", "", retry=True),
    Error.MethodNotAllowed: Words("This is not possible here", "The address does not take this method."),
}

_LAST: Final = Words("This did not work", "The request could not be completed.", _ASK)


def explain(refusal: Refusal) -> Words:
    """The words for a refusal: by reason, else by status name."""
    return _BY_REASON.get(refusal.reason) or _BY_ERROR.get(refusal.error) or _LAST
