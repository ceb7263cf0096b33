"""
What the gate needs to know of a connection and of a request's intent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from appproxy.httpwire.cookies import own_cookie
from appproxy.httpwire.heads import RequestHead
from appproxy.session.cookies import SESSION_COOKIE, SIGN_IN_COOKIE

_DOCUMENTS: Final[tuple[list[bytes], ...]] = ([b"document"], [b"iframe"], [b"frame"], [])


@dataclass(slots=True)
class ConnectionFacts:
    """
    One client connection.

    @ivar client_address: the peer's IP address.
    @ivar server_name: the name of the TLS handshake (lower case), if there was one.
    @ivar scheme: C{b"https"}, or C{b"http"} on a plain listener.
    @ivar port: the port that clients use in URLs.
    """

    client_address: str
    server_name: bytes | None
    scheme: bytes
    port: int


def header_values(head: RequestHead, name: bytes) -> list[bytes]:
    """All values of one header, by its lower-case name."""
    return [each.value for each in head.headers if each.known.lower == name]


def session_cookie(head: RequestHead) -> bytes | None:
    """Our session cookie, if the request carries exactly one."""
    return own_cookie(head.own_cookies, SESSION_COOKIE)


def browser_value(head: RequestHead) -> bytes | None:
    """The random value that ties sign-ins at this host to the browser, if it has one already."""
    return own_cookie(head.own_cookies, SIGN_IN_COOKIE)


def is_navigation(head: RequestHead) -> bool:
    """
    Whether a person's browser loads a document with this request, so that a
    redirect to sign-in makes sense.

    Browsers say so themselves (Fetch Metadata). What says nothing is an old
    browser, which asks for C{text/html}, or a tool such as curl, which can follow
    a redirect of its GET when it accepts anything. A script's request shows by its
    C{Origin} or C{X-Requested-With}.
    """
    modes = header_values(head, b"sec-fetch-mode")
    if modes:
        return modes == [b"navigate"] and header_values(head, b"sec-fetch-dest") in _DOCUMENTS
    if is_script(head):
        return False
    accept = header_values(head, b"accept")
    if any(b"text/html" in value for value in accept):
        return True
    if header_values(head, b"origin") or head.method not in (b"GET", b"HEAD"):
        return False
    return not accept or any(b"*/*" in value for value in accept)


def is_script(head: RequestHead) -> bool:
    """Whether a library for scripts says so (Android's web views put their own name there)."""
    return any(value.lower() == b"xmlhttprequest" for value in header_values(head, b"x-requested-with"))
