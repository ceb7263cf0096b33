"""Tests of L{appproxy.edge.facts}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.edge.facts import browser_value, header_values, is_navigation, session_cookie
from appproxy.session.cookies import SIGN_IN_COOKIE
from tests.edge.support import cookie, head

HTML = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
ANY = "Accept: */*"
JSON = "Accept: application/json"


class NavigationTests(SynchronousTestCase):
    """Whether a redirect to sign-in makes sense."""

    def test_table(self) -> None:
        """Browsers of today, browsers of yesterday, scripts and tools."""
        for expected, method, headers in (
            # Fetch Metadata
            (True, "GET", ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")),
            (True, "POST", ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Origin: https://x")),
            (True, "GET", ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe")),
            (True, "GET", ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: frame")),
            (True, "GET", ("Sec-Fetch-Mode: navigate",)),
            (False, "GET", ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: embed")),
            (False, "GET", ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: object")),
            (False, "GET", ("Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image", HTML)),
            (False, "GET", ("Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", HTML)),
            (False, "GET", ("Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: empty", HTML)),
            (False, "GET", ("Sec-Fetch-Mode: websocket", "Sec-Fetch-Dest: websocket")),
            (False, "GET", ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: document")),
            # Browsers without it
            (True, "GET", (HTML,)),
            (True, "HEAD", (HTML,)),
            (True, "POST", (HTML, "Origin: https://x")),
            (True, "GET", (HTML, "X-Requested-With: com.example.browser")),
            # Scripts in them
            (False, "GET", (ANY, "Origin: https://x")),
            (False, "GET", (HTML, "X-Requested-With: XMLHttpRequest")),
            (False, "GET", (ANY, "X-Requested-With: xmlhttprequest")),
            (False, "POST", (ANY,)),
            (False, "GET", (JSON,)),
            (False, "GET", ("Accept: image/png",)),
            (False, "GET", ("Accept: text/event-stream",)),
            (False, "OPTIONS", (ANY, "Origin: https://x")),
            # Tools
            (True, "GET", ()),
            (True, "GET", (ANY,)),
            (True, "HEAD", ()),
            (False, "POST", ()),
            (False, "PUT", (ANY,)),
            (False, "PROPFIND", ()),
            (False, "PROPFIND", (ANY,)),
        ):
            with self.subTest(method=method, headers=headers):
                self.assertEqual(is_navigation(head("/", *headers, method=method)), expected)


class CookieTests(SynchronousTestCase):
    """Our cookies in a request."""

    def test_session(self) -> None:
        """The session's cookie counts if it is there once, under its very name."""
        self.assertEqual(session_cookie(head("/", cookie("x") + "; a=b")), b"x")
        self.assertEqual(session_cookie(head("/", "Cookie: a=b", cookie("x"))), b"x")
        for headers in ((), (cookie("x"), cookie("x")), (cookie("x").replace("session", "SESSION"),)):
            self.assertIsNone(session_cookie(head("/", *headers)))

    def test_browser_value(self) -> None:
        """So does the value that ties sign-ins to a browser."""
        self.assertEqual(browser_value(head("/", f"Cookie: {SIGN_IN_COOKIE.decode()}=v")), b"v")

    def test_header_values(self) -> None:
        """All values of a header, in any case."""
        self.assertEqual(header_values(head("/", "X-A: 1", "x-a: 2", "X-AB: 3"), b"x-a"), [b"1", b"2"])
