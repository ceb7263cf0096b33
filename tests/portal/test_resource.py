"""
Tests of L{appproxy.portal.resource}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.principal import Principal
from appproxy.pages.pages import Pages
from appproxy.pages.tiles import Tile
from appproxy.portal.resource import MAXIMUM_QUERY_LENGTH, Portal
from tests.pages.support import Answer, Page, ask, refuses_other_methods

ADA = Principal(
    issuer="https://login.example.com",
    subject="1",
    session_id="0" * 32,
    user_principal_name="ada@example.com",
    display_name="Ada Lovelace",
)
ALAN = Principal(issuer="https://login.example.com", subject="2", session_id="1" * 32)


def visible(principal: Principal) -> list[Tile]:
    """Two applications for Ada, none for anybody else."""
    if principal.subject != "1":
        return []
    return [
        Tile("wiki", "Team wiki", "https://wiki.example.com/", "Notes"),
        Tile("git", "GitLab", "https://git.example.com/", category="Engineering"),
    ]


class PortalTests(SynchronousTestCase):
    """L{Portal}."""

    def get(self, target: str = "/", principal: Principal | None = ADA, method: str = "GET") -> Answer:
        """What the portal answers."""
        portal = Portal(Pages("Example", "help@example.com"), visible, lambda: 0.0)
        return ask(
            portal, target, method=method, principal=principal, transaction_id="01AB", host_name=b"p.x"
        )

    def tiles(self, answer: Answer) -> list[str]:
        """Where the tiles lead."""
        page = Page(answer.body)
        return [each["href"] for each in page.all("a") if each.get("class") == "tile"]

    def test_own_applications(self) -> None:
        """Each user sees the applications that are theirs, and nobody else's."""
        self.assertEqual(self.tiles(self.get()), ["https://wiki.example.com/", "https://git.example.com/"])
        answer = self.get(principal=ALAN)
        self.assertEqual((answer.status, self.tiles(answer)), (200, []))
        self.assertIn("help@example.com", answer.text)

    def test_other_methods(self) -> None:
        """The portal is read, and nothing else."""
        refuses_other_methods(self, Portal(Pages(), visible, lambda: 0.0), "/")

    def test_who(self) -> None:
        """The page says who is signed in and lets them sign out."""
        page = Page(self.get().body)
        self.assertIn("Ada Lovelace", page.text)
        self.assertIn({"method": "post", "action": "/.appproxy/sign-out"}, page.all("form"))

    def test_search(self) -> None:
        """A search narrows the tiles, works by GET and keeps what was typed."""
        answer = self.get("/?q=%20NOTES%20wiki")
        self.assertEqual(self.tiles(answer), ["https://wiki.example.com/"])
        self.assertIn("NOTES wiki", [each.get("value") for each in Page(answer.body).all("input")])
        self.assertEqual(self.tiles(self.get("/?q=zzz")), [])

    def test_odd_searches(self) -> None:
        """Bad UTF-8, several values and endless text are searches like any other."""
        for query in ("q=%ff%fe", "q=a&q=b", "q", "q=" + "x" * 5000):
            self.assertEqual(self.get(f"/?{query}").status, 200, query[:20])
        self.assertNotIn("x" * (MAXIMUM_QUERY_LENGTH + 1), self.get("/?q=" + "x" * 5000).text)

    def test_other_paths(self) -> None:
        """There is nothing else at this host."""
        for target in ("/x", "/index.html", "//", "/x/y"):
            answer = self.get(target)
            self.assertEqual(answer.status, 404, target)
            self.assertIn("404 NotFound", Page(answer.body).text)

    def test_methods(self) -> None:
        """HEAD is answered, a POST is not taken."""
        self.assertEqual((self.get(method="HEAD").status, self.get(method="HEAD").body), (200, b""))
        self.assertEqual(self.get(method="POST").status, 405)

    def test_nobody(self) -> None:
        """Should the edge ever let somebody in without a session, no application is shown."""
        answer = self.get(principal=None)
        self.assertEqual((answer.status, self.tiles(answer)), (401, []))
