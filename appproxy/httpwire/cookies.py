"""
Our own cookies inside of Cookie and Set-Cookie values.
"""

from __future__ import annotations

from typing import Final

OUR_PREFIX: Final = b"__Host-appproxy-"
"""What the names of all our cookies begin with."""

_OURS: Final = b"__host-appproxy"


def own_cookie(cookie: bytes, name: bytes) -> bytes | None:
    """
    The value of one of our cookies.

    @param cookie: all Cookie headers as one value (C{RequestHead.cookie}).
    @param name: the exact name.
    @return: its value; L{None} if it is not there, or more than once: whoever
        planted the second one shall not choose.
    """
    start = name + b"="
    if start not in cookie:
        return None
    found = [pair for part in cookie.split(b";") if (pair := part.strip(b" \t")).startswith(start)]
    if len(found) != 1:
        return None
    return found[0][len(start) :]


def without_own_cookies(cookie: bytes) -> bytes:
    """
    Cut our cookies out of a Cookie value, in every case, quoting and spacing.

    What merely contains our prefix goes as well: it has no business there.
    """
    if _OURS not in cookie.lower():
        return cookie
    return b";".join([part for part in cookie.split(b";") if _OURS not in part.lower()]).strip(b" \t")


def sets_own_cookie(set_cookie: bytes) -> bool:
    """
    Whether a Set-Cookie value could plant a cookie of ours, nameless ones
    (C{=__Host-appproxy-session=...}) included.
    """
    return _OURS in set_cookie.lower()
