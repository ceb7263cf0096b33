"""
Set-Cookie from an application inside to a browser outside (RFC 6265, section 5.2).
"""

from __future__ import annotations

from typing import Final

from appproxy.model.web_address import WebAddress
from appproxy.translate.urls import UrlMap, path_bytes

_HOST_ONLY_PREFIX: Final = b"__host-"


class SetCookieMap:
    """
    Translates Domain and Path, and adds Secure where the outside is https.
    """

    __slots__ = ("_domain", "_external_path", "_internal_host", "_internal_path", "_secure", "_urls")

    def __init__(self, internal: WebAddress, external: WebAddress) -> None:
        self._urls = UrlMap(internal, external)
        self._internal_host = internal.host.encode("ascii")
        self._internal_path = path_bytes(internal)
        self._external_path = path_bytes(external)
        self._domain = b"Domain=" + external.host.encode("ascii")
        self._secure = external.scheme == "https"

    def translate(self, set_cookie: bytes) -> bytes:
        """
        Translate one value; all else in it (SameSite, Expires, ...) stays.
        """
        pair, *attributes = set_cookie.split(b";")
        parts = [pair]
        secure = False
        for attribute in attributes:
            name, _, value = attribute.partition(b"=")
            name = name.strip(b" \t").lower()
            if name == b"domain":
                parts += self._map_domain(attribute, value.strip(b" \t"))
            elif name == b"path":
                parts.append(self._map_path(attribute, value.strip(b" \t"), pair))
            else:
                secure = secure or name == b"secure"
                parts.append(attribute)
        if self._secure and not secure:
            parts.append(b" Secure")
        return b";".join(parts)

    def _map_domain(self, attribute: bytes, value: bytes) -> list[bytes]:
        """The attribute's new form; none to leave it out."""
        domain = value.lower().removeprefix(b".")
        if domain == self._internal_host:
            return [b" " + self._domain]
        # A domain above the internal host means nothing outside, and none there is as narrow as it was meant:
        # without the attribute the cookie stays with the application's own host.
        if domain and self._internal_host.endswith(b"." + domain):
            return []
        return [attribute]

    def _map_path(self, attribute: bytes, value: bytes, pair: bytes) -> bytes:
        # Browsers take a cookie with this prefix for the path "/" only.
        if not value.startswith(b"/") or pair.strip(b" \t").lower().startswith(_HOST_ONLY_PREFIX):
            return attribute
        mapped = self._urls.path(value)
        if mapped is None:
            # What covers more than is published: outside, the rest of it belongs to others.
            if not self._internal_path.startswith(value.rstrip(b"/") + b"/"):
                return attribute
            mapped = self._external_path
        return attribute if mapped == value else b" Path=" + mapped
