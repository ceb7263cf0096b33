"""
URL references mapped from one published address to another.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.values import parse_host
from appproxy.model.web_address import WebAddress

# RFC 3986, appendix B, with query and fragment in one piece.
_parts: Final = re.compile(
    rb"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(.*)", re.DOTALL
).fullmatch
# What a browser takes for the beginning of a host: it drops tabs, and reads a backslash as a slash.
_like_a_host: Final = re.compile(rb"/\t*[/\\]").match
_DEFAULT_PORTS: Final = {b"http": 80, b"https": 443}
_SAFE_IN_PATH: Final = "/!$&'()*+,=:@~"


def path_bytes(address: WebAddress) -> bytes:
    """
    The address's path as it stands in a request.
    """
    return quote(address.path, safe=_SAFE_IN_PATH).encode("ascii")


class UrlMap:
    """
    Maps references that point below one address to the same place below
    another one; all others stay as they are.
    """

    __slots__ = (
        "_from_host",
        "_from_path",
        "_from_port",
        "_from_scheme",
        "_same_path",
        "_source",
        "_target",
        "_to",
        "_to_path",
    )

    def __init__(self, source: WebAddress, destination: WebAddress) -> None:
        self._from_scheme = source.scheme.encode("ascii")
        self._from_host = source.host_text.encode("ascii")
        self._from_port = source.port
        self._from_path = path_bytes(source)
        self._to = destination
        self._to_path = path_bytes(destination)
        self._same_path = self._from_path == self._to_path
        # Both addresses in their usual spelling, which is nearly always the one that is met.
        self._source = source.origin.encode("ascii") + self._from_path
        self._target = destination.origin.encode("ascii") + self._to_path

    def reference(self, url: bytes) -> bytes:
        """
        Map a URL reference: absolute, scheme-relative or an absolute path.

        @return: the mapped one, or C{url} if it points elsewhere, is relative
            to where it stands, or cannot be read.
        """
        if url.startswith(self._source):
            return self._target + url[len(self._source) :]
        match = _parts(url)
        if match is None:
            return url
        scheme, authority, path, rest = match.groups()
        if authority is None:
            if scheme is not None or self._same_path:
                return url
            mapped = self.path(path)
            if mapped is None:
                return url
            # Where a part of the path before a second slash goes, the rest must not become a host.
            start = self._to.origin.encode("ascii") if _like_a_host(mapped) else b""
            return start + mapped + rest
        if not self._is_source(scheme, authority):
            return url
        mapped = self.path(path or b"/")
        if mapped is None:
            return url
        start = b"" if scheme is None else self._to.scheme.encode("ascii") + b":"
        return b"%b//%b%b%b" % (start, self._to.authority.encode("ascii"), mapped, rest)

    def path(self, path: bytes) -> bytes | None:
        """
        Map an absolute path without query.

        @return: L{None} if it is not below the source.
        """
        if path.startswith(self._from_path):
            return self._to_path + path[len(self._from_path) :]
        if path and path == self._from_path[:-1]:
            return self._to_path[:-1] or b"/"
        return None

    def origin(self, origin: bytes) -> bytes:
        """
        Map a serialised origin (RFC 6454, section 6.2).
        """
        match = _parts(origin)
        if match is None or match[1] is None or match[2] is None or match[3] or match[4]:
            return origin
        return self._to.origin.encode("ascii") if self._is_source(match[1], match[2]) else origin

    def _is_source(self, scheme: bytes | None, authority: bytes) -> bool:
        scheme = self._from_scheme if scheme is None else scheme.lower()
        if scheme != self._from_scheme:
            return False
        try:
            host, port = parse_host(authority)
        except BadMessage:
            return False
        return host == self._from_host and (port or _DEFAULT_PORTS[scheme]) == self._from_port
