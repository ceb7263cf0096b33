"""Sign-in at a real provider, to an application that only the connector reaches."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.support.browser import Browser, Page
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.echo import Echo
from tests.integration.support.installation import Installation
from tests.integration.support.oidc_provider import ADA, GRACE
from tests.integration.support.processes import wait_until


def seen_by_backend(page: Page) -> dict[str, Any]:
    """What the echo application received."""
    seen: dict[str, Any] = json.loads(page.text)
    return seen


class SignInTests(IntegrationTestCase):
    """Edge, connector, provider and a backend, each a process of its own."""

    def setUp(self) -> None:
        """Publish one application for Ada, with her name in a header."""
        super().setUp()
        self.echo = Echo(self.folder / "echo")
        self.start(self.echo.process)
        self.site = Installation(self)
        self.site.start_provider()
        self.site.start_edge()
        self.site.publish(
            {
                "echo": {
                    "internal_url": self.echo.internal_url,
                    "users": ["ada@example.com"],
                    "sso": {
                        "mode": "headers",
                        "headers": {"X-Remote-User": {"claim": "user_principal_name"}},
                    },
                },
                "open": {"internal_url": self.echo.internal_url, "pre_authentication": "passthrough"},
            }
        )
        self.site.start_connector("hq", [f"127.0.0.1:{self.echo.port}"])

    def arrive(self, browser: Browser, path: str = "/") -> Page:
        """Open the application as Ada."""
        return self.site.sign_in(browser, self.site.url("echo", path), ADA)

    def test_arrives_where_it_wanted(self) -> None:
        """After sign-in the browser is where it wanted to be, and the application knows the user."""
        browser = self.site.browser()
        page = self.arrive(browser, "/some/page?a=b")
        self.assertEqual((page.status, page.url), (200, self.site.url("echo", "/some/page?a=b")), page.text)
        seen = seen_by_backend(page)
        headers = {name.lower(): value for name, value in seen["headers"]}
        self.assertEqual(seen["target"], "/some/page?a=b")
        self.assertEqual(headers["x-remote-user"], "ada@example.com")
        self.assertNotIn("cookie", headers)

    def test_signs_in_once(self) -> None:
        """A second page asks nobody."""
        browser = self.site.browser()
        self.arrive(browser)
        before = len(browser.history)
        self.assertEqual(browser.open(self.site.url("echo", "/again")).status, 200)
        self.assertEqual(len(browser.history), before + 1)

    def test_not_assigned(self) -> None:
        """Somebody else is signed in too, and refused with a page that says so."""
        page = self.site.sign_in(self.site.browser(), self.site.url("echo"), GRACE)
        self.assertEqual(page.status, 403)
        self.assertIn("Forbidden", page.text)

        def refused() -> list[str]:
            return [line["user"] for line in self.site.access_lines() if line["reason"] == "not_assigned"]

        wait_until(lambda: refused() == ["grace@example.com"], "the line of who was refused")
        traced = self.site.appproxy_json("trace", page.header("AppProxy-Transaction-Id"))
        self.assertEqual(traced["request"]["user"], "grace@example.com")

    def test_https_only(self) -> None:
        """Pages of ours tell browsers to come by https only; the application's answers are its own affair."""
        browser = self.site.browser()
        self.assertEqual(self.arrive(browser).header("Strict-Transport-Security"), "")
        for url in (
            self.site.url("portal"),
            self.site.url("echo", "/.appproxy/sign-out"),
            self.site.url("auth", "/.appproxy/signed-out"),
        ):
            page = browser.open(url)
            self.assertEqual(page.status, 200, url)
            self.assertEqual(page.header("Strict-Transport-Security"), "max-age=31536000", url)
        refused = self.site.sign_in(self.site.browser(), self.site.url("echo"), GRACE)
        self.assertEqual(refused.header("Strict-Transport-Security"), "max-age=31536000")

    def test_passthrough(self) -> None:
        """A passthrough application is there for anybody."""
        page = self.site.browser().open(self.site.url("open"))
        self.assertEqual((page.status, seen_by_backend(page)["target"]), (200, "/"))

    def test_sign_out(self) -> None:
        """After sign-out the application asks for sign-in again."""
        browser = self.site.browser()
        self.arrive(browser)
        question = browser.open(self.site.url("echo", "/.appproxy/sign-out"))
        page = browser.submit(question)
        if page.url.startswith(self.site.provider.issuer):
            page = browser.submit(page, press="logout")
        self.assertEqual(page.url.partition("?")[0], self.site.url("auth", "/.appproxy/signed-out"))
        self.assertEqual(browser.fetch(self.site.url("echo")).status, 401)

    def test_access_log(self) -> None:
        """Each request has one line, with user and transaction, and without secrets."""
        browser = self.site.browser()
        page = self.arrive(browser, "/logged?secret=hunter2")
        transaction = dict(seen_by_backend(page)["headers"])["X-Request-Id"]

        def its_lines() -> list[dict[str, Any]]:
            return [line for line in self.site.access_lines() if line.get("transaction_id") == transaction]

        # Lines are written by a thread: the answer may be here first.
        wait_until(lambda: bool(its_lines()), "the request is logged")
        lines = its_lines()
        self.assertEqual(len(lines), 1)
        self.assertEqual((lines[0]["user"], lines[0]["path"]), ("ada@example.com", "/logged"))
        self.assertNotIn("hunter2", self.site.edge.text)
