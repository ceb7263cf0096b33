"""
What an application's answer says of the sign-on that it was sent with.
"""

from __future__ import annotations

import re
from typing import Final

from appproxy.httpwire.authentication import WWW_AUTHENTICATE
from appproxy.httpwire.block import Blocks, fields_of
from appproxy.sso.sign_on import Step

ANSWER: Final = "The application's answer"
"""The name of the step."""

MAXIMUM_SCHEMES: Final = 8
"""Of one answer that are told; the names are the application's words."""

_TOO_LONG: Final = frozenset({400, 413, 431})

_NEGOTIATE: Final = "negotiate"

_scheme: Final = re.compile(rb"(?:^|,)\s*([A-Za-z0-9._-]{1,40})(?=\s*(?:,|$)|\s+[^=\s])").findall


def failed(cause: str, detail: str, milliseconds: float, words: str) -> Step:
    """
    The step, failed.

    @param words: what an administrator does about it.
    """
    return Step(ANSWER, "failed", detail, cause, words, milliseconds)


def verdict(asked: str, status: int, headers: Blocks, proved: bool | None, milliseconds: float) -> Step:
    """
    Whether an answer shows that the user was signed on.

    @param asked: the request, in words.
    @param proved: whether the application proved itself; L{None} where nobody looks for that.
    """
    answered = f"{asked} was answered {status}"
    if status == 401:
        return _asks_again(answered, headers, milliseconds)
    if status in _TOO_LONG:
        return failed(
            "request_refused",
            answered,
            milliseconds,
            "The application's server refuses the request. Is its head too long? A ticket grows with the "
            "groups of the user: MaxFieldLength and MaxRequestBytes of IIS, LimitRequestFieldSize of Apache, "
            "large_client_header_buffers of nginx.",
        )
    if status >= 500:
        return failed(
            "application_error",
            answered,
            milliseconds,
            "The application itself failed: its own log says why.",
        )
    if status == 403:
        answered += ": the application refuses its first page to this user"
    return Step(ANSWER, "ok", answered + _PROOF[proved], milliseconds=milliseconds)


_PROOF: Final = {None: "", True: "; it proved itself", False: "; it did not prove itself"}


def _asks_again(answered: str, headers: Blocks, milliseconds: float) -> Step:
    schemes = _schemes(headers)
    detail = f"{answered}: it still asks for a sign-on, by {', '.join(schemes) or 'no known scheme'}"
    if _NEGOTIATE in map(str.lower, schemes):
        words = (
            "The application did not accept the sign-on. With Kerberos: does the account or keytab that the "
            "application runs with hold the key of service_principal_name, and does its clock agree with the "
            "KDC's? Its own log says why."
        )
    else:
        words = (
            "The application does not ask for Negotiate: switch integrated authentication on there, or set "
            "the sso.mode that it knows."
        )
    return failed("still_asks", detail, milliseconds, words)


def _schemes(headers: Blocks) -> list[str]:
    """The authentication schemes that an answer offers (RFC 9110, section 11.6.1); no token of them."""
    offered = [
        scheme.decode("ascii")
        for each in fields_of(headers)
        if each.kind == WWW_AUTHENTICATE
        for scheme in _scheme(each.value)
    ]
    return list(dict.fromkeys(offered))[:MAXIMUM_SCHEMES]
