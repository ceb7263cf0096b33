"""
Our own cookies inside of Cookie and Set-Cookie values.
"""

from __future__ import annotations

from typing import Final

OUR_PREFIX: Final = b"__Host-appproxy-"
"""What the names of all our cookies begin with."""

_OURS: Final = b"__host-appproxy"
_SEMICOLON: Final = ord(";")


def divide(cookie: bytes) -> tuple[bytes, bytes]:
    """
    Part our cookies, in every case, quoting and spacing, from the application's.

    What merely contains our prefix counts as ours: it has no business there.

    @param cookie: all Cookie headers as one value.
    @return: ours, for L{own_cookie} to read; and all others.
    """
    lowered = cookie.lower()
    before, found, after = lowered.partition(_OURS)
    if not found:
        return b"", cookie
    if after.partition(_OURS)[1]:
        return _divide_many(cookie, lowered)
    at = len(before)
    others, last, start = cookie[:at].rpartition(b";")
    own, end, rest = cookie[at:].partition(b";")
    return start + own + end, (others + last + rest).strip(b" \t;")


def _divide_many(cookie: bytes, lowered: bytes) -> tuple[bytes, bytes]:
    ours: list[bytes] = []
    others: list[bytes] = []
    begin, size = 0, len(cookie)
    at = lowered.find(_OURS)
    while at >= 0:
        own = cookie.rfind(b";", begin, at) + 1
        if own > begin:
            others.append(cookie[begin:own])
            begin = own
        end = cookie.find(b";", at) + 1 or size
        ours.append(cookie[begin:end])
        begin = end
        at = lowered.find(_OURS, begin) if begin < size else -1
    if begin < size:
        others.append(cookie[begin:])
    return b"".join(ours), b"".join(others).strip(b" \t;")


def own_cookie(cookie: bytes, name: bytes) -> bytes | None:
    """
    The value of one of our cookies.

    @param cookie: our cookies (C{RequestHead.own_cookies}), or all of them.
    @param name: the exact name.
    @return: its value; L{None} if it is not there, or more than once: a C{__Host-}
        cookie has no twin (RFC 6265bis, section 4.1.3.2), and whoever planted the
        second one shall not choose.
    """
    start = name + b"="
    only = cookie.strip(b" \t;")
    # To look for a byte by its number costs a tenth of looking for it as bytes.
    if only.startswith(start) and _SEMICOLON not in only:
        return only[len(start) :]
    found = [pair for part in cookie.split(b";") if (pair := part.strip(b" \t")).startswith(start)]
    return found[0][len(start) :] if len(found) == 1 else None


def for_host_only(set_cookie: bytes, host: bytes) -> bytes:
    """
    A Set-Cookie value without a Domain that names more than one host: with it, one
    application would set the cookies of its neighbours, and of ours.

    @param host: that the answer comes from: lower-case, without port.
    """
    if b"domain" not in set_cookie.lower():
        return set_cookie
    pair, *attributes = set_cookie.split(b";")
    return b";".join([pair, *[each for each in attributes if not _is_wider(each, host)]])


def _is_wider(attribute: bytes, host: bytes) -> bool:
    name, _, value = attribute.lower().partition(b"=")
    return name.strip() == b"domain" and value.strip().removeprefix(b".") != host


def sets_own_cookie(set_cookie: bytes) -> bool:
    """
    Whether a Set-Cookie value could plant a cookie of ours, nameless ones
    (C{=__Host-appproxy-session=...}) included.
    """
    return _OURS in set_cookie.lower()
