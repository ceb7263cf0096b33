"""
Tests of L{appproxy.edge.site}.
"""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from appproxy.edge.site import NotFoundPage, ToPortal
from appproxy.pages.pages import Pages
from tests.pages.support import ask, refuses_other_methods

PORTAL: Final = "https://portal.example.com/"


class ToPortalTests(SynchronousTestCase):
    """L{ToPortal}."""

    def setUp(self) -> None:
        self.root = ToPortal(PORTAL, NotFoundPage(Pages()))

    def test_redirect(self) -> None:
        """The root leads to the portal; the answer is protected like a page, and traced."""
        for method in ("GET", "HEAD"):
            answer = ask(self.root, "/", method=method, transaction_id="01AB")
            self.assertEqual((answer.status, answer.headers["Location"]), (303, PORTAL))
            self.assertEqual((answer.headers["Content-Length"], answer.body), ("0", b""))
            self.assertIn("default-src 'none'", answer.headers["Content-Security-Policy"])
            self.assertEqual(answer.headers["AppProxy-Transaction-Id"], "01AB")

    def test_other_methods(self) -> None:
        """Any other method is refused with an answer of ours."""
        refuses_other_methods(self, self.root, "/")

    def test_other_paths(self) -> None:
        """Nothing else is there."""
        for path in ("/a", "/a/", "//"):
            self.assertEqual(ask(self.root, path).status, 404, path)
