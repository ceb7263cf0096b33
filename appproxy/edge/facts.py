"""
What the gate needs to know of a connection and of a request's intent.
"""

from __future__ import annotations

from dataclasses import dataclass

from appproxy.httpwire.cookies import own_cookie
from appproxy.httpwire.heads import RequestHead
from appproxy.session.cookies import SESSION_COOKIE, SIGN_IN_COOKIE


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
    size = len(name)
    return [value for other, value in head.headers if len(other) == size and other.lower() == name]


def session_cookie(head: RequestHead) -> bytes | None:
    """Our session cookie, if the request carries exactly one."""
    return own_cookie(head.cookie, SESSION_COOKIE)


def browser_value(head: RequestHead) -> bytes | None:
    """The random value that ties sign-ins at this host to the browser, if it has one already."""
    return own_cookie(head.cookie, SIGN_IN_COOKIE)


def is_navigation(head: RequestHead) -> bool:
    """
    Whether a person's browser loads a document with this request, so that a
    redirect to sign-in makes sense.

    Browsers say so themselves (Fetch Metadata). What says nothing is an old
    browser or a tool such as curl, which can follow a redirect when it accepts
    anything; a script's request shows by its C{Origin} or C{X-Requested-With}.
    """
    modes = header_values(head, b"sec-fetch-mode")
    if modes:
        return modes[0] == b"navigate" and header_values(head, b"sec-fetch-dest") in (
            [b"document"],
            [b"iframe"],
            [b"frame"],
            [],
        )
    if header_values(head, b"x-requested-with") or header_values(head, b"origin"):
        return any(b"text/html" in value for value in header_values(head, b"accept"))
    accept = header_values(head, b"accept") or [b"*/*"]
    if head.method not in (b"GET", b"HEAD"):
        return any(b"text/html" in value for value in accept)
    return any(b"text/html" in value or b"*/*" in value for value in accept)
