"""Tests of L{appproxy.translate.set_cookie}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.web_address import parse_web_address
from appproxy.translate.set_cookie import SetCookieMap


def cookies(internal: str, external: str) -> SetCookieMap:
    """The translation between two addresses."""
    return SetCookieMap(parse_web_address(internal), parse_web_address(external))


HTTPS = cookies("http://wiki.corp.example/base/", "https://wiki.apps.example.com/app/")
ROOTS = cookies("http://wiki.corp.example/", "http://wiki.apps.example.com/")


class SetCookieTests(SynchronousTestCase):
    """Domain, Path and Secure."""

    def test_domain(self) -> None:
        """The internal host becomes the external one; a domain above it goes; a foreign one stays."""
        for domain, expected in (
            (b"; Domain=wiki.corp.example", b"; Domain=wiki.apps.example.com"),
            (b"; DOMAIN = .Wiki.Corp.Example ", b"; Domain=wiki.apps.example.com"),
            (b"; domain=corp.example", b""),
            (b"; domain=.example", b""),
            (b"; Domain=rp.example", b"; Domain=rp.example"),
            (b"; Domain=other.example", b"; Domain=other.example"),
            (b"; Domain=", b"; Domain="),
            (b"", b""),
        ):
            self.assertEqual(
                ROOTS.translate(b"a=b" + domain + b"; HttpOnly"), b"a=b" + expected + b"; HttpOnly"
            )

    def test_path(self) -> None:
        """Paths below the internal address move; one that covers it covers the external one, no more."""
        for path, expected in (
            (b"; Path=/base/", b"; Path=/app/"),
            (b"; path=/base", b"; Path=/app"),
            (b"; Path = /base/x/ ", b"; Path=/app/x/"),
            (b"; Path=/", b"; Path=/app/"),
            (b"; Path=/other", b"; Path=/other"),
            (b"; Path=/baseline", b"; Path=/baseline"),
            (b"; Path=x", b"; Path=x"),
            (b"; Path", b"; Path"),
            (b"", b""),
        ):
            self.assertEqual(HTTPS.translate(b"a=b; Secure" + path), b"a=b; Secure" + expected)

    def test_host_prefix(self) -> None:
        """A C{__Host-} cookie keeps the path that browsers demand of it."""
        self.assertEqual(HTTPS.translate(b"__Host-a=b; Path=/; Secure"), b"__Host-a=b; Path=/; Secure")

    def test_secure(self) -> None:
        """Secure is added once where the outside is https, and only there."""
        self.assertEqual(HTTPS.translate(b"a=b"), b"a=b; Secure")
        self.assertEqual(HTTPS.translate(b"a=b; SECURE"), b"a=b; SECURE")
        self.assertEqual(ROOTS.translate(b"a=b"), b"a=b")

    def test_all_else_stays(self) -> None:
        """Value and other attributes stay byte for byte."""
        value = b'a="b=;c" ; Expires=Wed, 09 Jun 2031 10:18:14 GMT;SameSite=None;;Partitioned; x=Path=/'
        self.assertEqual(ROOTS.translate(value), value)
