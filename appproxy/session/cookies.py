"""
Our two cookies: their names, and how they are set in an answer.
"""

from __future__ import annotations

from typing import Final, Literal

SESSION_COOKIE: Final = b"__Host-appproxy-session"
"""Every host has its own: a sealed pointer to the session's record."""

SIGN_IN_COOKIE: Final = b"__Host-appproxy-sign-in"
"""
At the sign-in host: the sign-ins under way, sealed. At every other host: the
random value that ties a sign-in to this browser.
"""


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
