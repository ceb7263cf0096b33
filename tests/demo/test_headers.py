"""
Tests of L{appproxy.demo.headers}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.demo.headers import headers_resource, sections
from appproxy.demo.page import DemoPages, site_of
from tests.pages.support import Page, ask_site


class HeadersTests(SynchronousTestCase):
    """L{headers_resource}."""

    def setUp(self) -> None:
        self.site = site_of(headers_resource(DemoPages("https://portal.demo.localhost/")))

    def test_json(self) -> None:
        """A script gets every header line as it came, whatever method and path."""
        answer = ask_site(
            self.site, "/any/path?x=1", method="REPORT", headers=[("Accept", "application/json")]
        )
        self.assertEqual((answer.json()["method"], answer.json()["target"]), ("REPORT", "/any/path?x=1"))
        sent = [("X-Remote-User", "ada"), ("X-Remote-User", "eve")]
        received = ask_site(self.site, "/json", headers=sent).json()["headers"]
        self.assertEqual(
            [value for name, value in received if name.lower() == "x-remote-user"], ["ada", "eve"]
        )

    def test_page(self) -> None:
        """A person gets a page, with the values as text."""
        answer = ask_site(self.site, "/", headers=[("X-Odd", "<b>\"'")])
        page = Page(answer.body)
        self.assertEqual(page.unbalanced, [])
        self.assertIn("<b>\"'", page.text)

    def test_sections(self) -> None:
        """Each header stands in one section."""
        names = ["x-remote-user", "Forwarded", "X-Forwarded-For", "X-Request-Id", "Accept"]
        found = [[name for name, _ in lines] for _, _, lines in sections([(name, "") for name in names])]
        self.assertEqual(found, [names[:1], names[1:4], names[4:]])

    def test_assets(self) -> None:
        """Its page finds its styles on its own host."""
        page = Page(ask_site(self.site, "/").body)
        for each in page.all("link"):
            self.assertEqual(ask_site(self.site, each["href"]).status, 200, each)
