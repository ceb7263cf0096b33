"""
Tests of L{appproxy.pages.pages}.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.refusal import REASONS, Error, Refusal
from appproxy.pages.pages import Pages, by_category, moment, safe_url, support_of
from appproxy.pages.tiles import Tile
from tests.pages.support import Page

TRANSACTION = "01JDBZ5Q8K7M3V9XW2R4T6Y1HC"
NOW = 1_795_423_890.0
HOSTILE = "\"'><script>alert(1)</script>&lt;javascript:x"


def every_page(pages: Pages, text: str) -> list[tuple[str, bytes]]:
    """Each page of ours, with C{text} wherever something from outside may stand."""
    refusal = Refusal(Error.BadGateway, "backend_refused", detail=text)
    tile = Tile(text, text, f"https://x.example/{text}", text, text)
    makers: dict[str, Callable[[], bytes]] = {
        "error": lambda: pages.error(
            refusal, TRANSACTION, NOW, host=text, retry_url=text, user=text, extra={text: text}
        ),
        "odd error": lambda: pages.error(Refusal(Error.BadRequest, text), text, NOW),
        "post": lambda: pages.post_needs_sign_in(TRANSACTION, NOW, host=text, sign_in_url=text),
        "sign out": lambda: pages.sign_out_question(user=text, back_url=text),
        "signed out": lambda: pages.signed_out(sign_in_url=text, provider_too=False),
        "portal": lambda: pages.portal([tile], user=text, display_name=text, query=text, total=2),
        "nothing found": lambda: pages.portal([], user=text, query=text, total=2),
        "nothing there": lambda: pages.portal([], user=text, total=0),
        "neutral": lambda: pages.neutral_not_found(text),
    }
    return [(name, make()) for name, make in makers.items()]


class EveryPageTests(SynchronousTestCase):
    """What holds for all pages."""

    def setUp(self) -> None:
        self.pages = Pages("Example", "help@example.com", portal_url="https://portal.example.com/")

    def test_form(self) -> None:
        """Each page is whole HTML with a language, a title, one main part and one first heading."""
        for name, markup in every_page(self.pages, "plain"):
            page = Page(markup)
            self.assertEqual(page.unbalanced, [], name)
            self.assertEqual(page.all("html"), [{"lang": "en"}], name)
            for tag in ("title", "main", "h1"):
                self.assertEqual(len(page.all(tag)), 1, (name, tag))

    def test_nothing_runs(self) -> None:
        """No page has a script, a frame, an inline style or a handler."""
        for name, markup in every_page(self.pages, "plain"):
            page = Page(markup)
            tags = {tag for tag, _ in page.tags}
            self.assertEqual(tags & {"script", "iframe", "object", "embed", "base"}, set(), name)
            for _, attributes in page.tags:
                self.assertFalse([each for each in attributes if each.startswith("on") or each == "style"])

    def test_escaped(self) -> None:
        """
        Markup in any value from outside stays text, and no page changes its shape for it.

        Security row 22.
        """
        plain = dict(every_page(self.pages, "plain"))
        for name, markup in every_page(self.pages, HOSTILE):
            page = Page(markup)
            self.assertEqual(page.unbalanced, [], name)
            self.assertEqual(page.all("script"), [], name)
            self.assertNotIn(b"<script", markup, name)
            self.assertLessEqual(len(page.tags), len(Page(plain[name]).tags), name)

    @settings(max_examples=50, deadline=None)
    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
    def test_any_text(self, text: str) -> None:
        """No text at all breaks a page."""
        for name, markup in every_page(self.pages, text):
            self.assertEqual(Page(markup).unbalanced, [], name)

    def test_own_links_only(self) -> None:
        """A page loads its stylesheet and pictures from its own host."""
        for name, markup in every_page(self.pages, "plain"):
            loaded = [each["href"] for each in Page(markup).all("link")]
            loaded += [each["src"] for each in Page(markup).all("img")]
            self.assertTrue(all(each.startswith("/.appproxy/assets/") for each in loaded), name)

    def test_controls_have_names(self) -> None:
        """Every input has a label, every picture its alternative text."""
        for name, markup in every_page(self.pages, "plain"):
            page = Page(markup)
            labelled = {each["for"] for each in page.all("label")}
            for each in page.all("input"):
                self.assertIn(each["id"], labelled, name)
            self.assertTrue(all("alt" in each for each in page.all("img")), name)


class ErrorPageTests(SynchronousTestCase):
    """L{Pages.error}."""

    def setUp(self) -> None:
        self.pages = Pages("Example", "help@example.com", portal_url="https://portal.example.com/")

    def page(self, refusal: Refusal, **values: object) -> Page:
        """The page for a refusal."""
        return Page(self.pages.error(refusal, TRANSACTION, NOW, **values))  # type: ignore[arg-type]

    def test_facts(self) -> None:
        """The page names status, reason, transaction and time, and whom to ask."""
        page = self.page(Refusal(Error.Forbidden, "not_assigned"), host="wiki.example.com")
        for each in (
            "403 Forbidden",
            "not_assigned",
            TRANSACTION,
            "UTC",
            "wiki.example.com",
            "help@example.com",
        ):
            self.assertIn(each, page.text)
        self.assertIn("2026-11-23T08:51:30Z", [each["datetime"] for each in page.all("time")])

    def test_every_reason(self) -> None:
        """Every reason has words of its own."""
        seen = set()
        for error, reasons in REASONS.items():
            for reason in reasons - {"unknown_host"}:
                seen.add((self.page(Refusal(error, reason)).text).partition("Status")[0])
        self.assertEqual(len(seen), sum(len(each) for each in REASONS.values()) - 1)

    def test_sign_in_failed_status(self) -> None:
        """A refusal that has a status of its own is shown with that."""
        page = self.page(Refusal(Error.SignInFailed, "provider_unreachable"))
        self.assertIn("503 SignInFailed", page.text)

    def test_retry(self) -> None:
        """ "Try again" is offered where it can help, and only there."""
        can = self.page(Refusal(Error.GatewayTimeout, "no_connector"), retry_url="/x?y=1")
        cannot = self.page(Refusal(Error.Forbidden, "not_assigned"), retry_url="/x?y=1")
        self.assertIn("/x?y=1", can.links())
        self.assertNotIn("/x?y=1", cannot.links())

    def test_sign_out(self) -> None:
        """Whoever is signed in can sign out from here, by a POST to the same host."""
        form = {"method": "post", "action": "/.appproxy/sign-out"}
        refusal = Refusal(Error.Forbidden, "not_assigned")
        self.assertIn(form, self.page(refusal, user="ada@example.com").all("form"))
        self.assertEqual(self.page(refusal).all("form"), [])

    def test_neutral(self) -> None:
        """The page of an unknown host has no name, no link and no asset."""
        page = Page(self.pages.neutral_not_found(TRANSACTION))
        self.assertEqual(page.links(), [])
        self.assertNotIn("Example", page.text)
        self.assertIn(TRANSACTION, page.text)


class ProblemTests(SynchronousTestCase):
    """L{Pages.problem_json}."""

    def test_sign_in_required(self) -> None:
        """A script learns where to sign in."""
        problem = json.loads(
            Pages().problem_json(
                Refusal(Error.SignInRequired, "no_session"), TRANSACTION, sign_in_url="https://auth.x/"
            )
        )
        self.assertEqual(
            problem,
            {
                "type": "urn:appproxy:error:SignInRequired",
                "title": "Please sign in",
                "status": 401,
                "reason": "no_session",
                "sign_in_url": "https://auth.x/",
                "transaction_id": TRANSACTION,
            },
        )

    def test_detail(self) -> None:
        """A rule's own sentence is passed on."""
        problem = json.loads(Pages().problem_json(Refusal(Error.Forbidden, "rule", detail="Not today."), "x"))
        self.assertEqual(problem["detail"], "Not today.")


class SmallPartsTests(SynchronousTestCase):
    """The functions that pages are made of."""

    def test_safe_url(self) -> None:
        """Addresses of the web and paths of this host pass; all else is no link."""
        for good in ("/", "/x?y=%20#z", "https://a.example/", "http://a.example:81/x"):
            self.assertEqual(safe_url(good), good)
        for bad in (
            None,
            "",
            "x",
            "//evil.example",
            "/\\evil.example",
            "javascript:x",
            "https:\n//x",
            " /",
            "data:x",
        ):
            self.assertEqual(safe_url(bad), "", bad)

    def test_support(self) -> None:
        """A mail address becomes a mail with the subject quoted, a web address a link, words stay words."""
        self.assertEqual(support_of("a@b.example", "x & y").url, "mailto:a@b.example?subject=x%20%26%20y")
        self.assertEqual(support_of("https://help.example/").url, "https://help.example/")
        self.assertEqual(support_of("Room 12, or call 34").url, "")
        self.assertEqual(support_of("javascript:x").url, "")

    def test_moment(self) -> None:
        """Times are UTC and say so."""
        self.assertEqual(moment(0).text, "1970-01-01 00:00:00 UTC")
        self.assertEqual(moment(0).machine, "1970-01-01T00:00:00Z")

    def test_by_category(self) -> None:
        """Tiles without a category come first, then the categories by name."""
        tiles = [Tile("1", "a", "", category="b"), Tile("2", "c", ""), Tile("3", "d", "", category="A")]
        self.assertEqual([name for name, _ in by_category(tiles)], ["", "A", "b"])


class LogoTests(SynchronousTestCase):
    """An administrator's own logo."""

    def test_shown(self) -> None:
        """It replaces ours at the top and is served like the other assets."""
        path = Path(self.mktemp())
        path.write_bytes(b"\x89PNG\r\n\x1a\nrest")
        pages = Pages(logo=path)
        sources = [each["src"] for each in Page(pages.signed_out()).all("img")]
        self.assertEqual(sources, [pages.assets["logo"].url])

    def test_refused(self) -> None:
        """What is not a picture, or is too big, is refused at start."""
        path = Path(self.mktemp())
        for content in (b"<html>", b"", b"<svg" + b" " * 600_000):
            path.write_bytes(content)
            self.assertRaises(ValueError, Pages, logo=path)
