"""
Our two cookies: their names, how they are found in a request and set in an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

SESSION_COOKIE: Final = b"__Host-appproxy-session"
"""Every host has its own: a sealed pointer to the session's record."""

SIGN_IN_COOKIE: Final = b"__Host-appproxy-sign-in"
"""
At the sign-in host: the sign-ins under way, sealed. At every other host: the
random value that ties a sign-in to this browser.
"""

_VALUES: Final = {
    name: re.compile(rb"(?:^|;)[ \t]*" + re.escape(name) + rb"=([^;]*)")
    for name in (SESSION_COOKIE, SIGN_IN_COOKIE)
}


def find_cookie(headers: Iterable[bytes], name: bytes) -> bytes | None:
    """
    The value of one of our cookies.

    @param headers: the request's Cookie headers.
    @return: L{None} if it is missing or there twice: a C{__Host-} cookie has no
        twin (RFC 6265bis, section 4.1.3.2), so then somebody made it up.
    """
    found = [value.strip(b" \t") for header in headers for value in _VALUES[name].findall(header)]
    return found[0] if len(found) == 1 else None


def set_cookie(
    name: bytes,
    value: bytes,
    *,
    max_age: float | None = None,
    same_site: Literal["lax", "strict"] = "lax",
    http_only: bool = True,
) -> bytes:
    """
    A Set-Cookie value; C{__Host-} demands Secure and C{Path=/}.

    @param max_age: seconds; L{None} = until the browser closes.
    """
    parts = [name + b"=" + value, b"Path=/", b"Secure"]
    if http_only:
        parts.append(b"HttpOnly")
    parts.append(b"SameSite=" + same_site.capitalize().encode())
    if max_age is not None:
        parts.append(b"Max-Age=%d" % max_age)
    return b"; ".join(parts)


def clear_cookie(name: bytes) -> bytes:
    """A Set-Cookie value that removes a cookie."""
    return set_cookie(name, b"", max_age=0)
