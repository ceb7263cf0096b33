"""Sign-in, portal and sign-out in a real browser, whose console has nothing to complain of."""

from __future__ import annotations

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.chromium import (
    WAIT_SECONDS,
    console_errors,
    open_chromium,
    sign_in_at_provider,
)
from tests.integration.support.echo import Echo
from tests.integration.support.installation import Installation
from tests.integration.support.oidc_provider import ADA, GRACE


class ChromiumTests(IntegrationTestCase):
    """A person's way through the pages."""

    def setUp(self) -> None:
        """Publish one application for everybody and one for Ada."""
        super().setUp()
        self.need("chromium", "chromedriver")
        self.echo = Echo(self.folder / "echo")
        self.start(self.echo.process)
        self.site = Installation(self)
        self.site.start_provider()
        self.site.start_edge()
        self.site.publish(
            {
                "wiki": {"internal_url": self.echo.internal_url, "everyone": True, "name": "Team wiki"},
                "payroll": {"internal_url": self.echo.internal_url, "users": ["ada@example.com"]},
            }
        )
        self.site.start_connector("hq", [f"127.0.0.1:{self.echo.port}"])
        certificates = self.site.folder / "certificates" / "public.pem"
        self.browser = open_chromium(self, [certificates, self.site.folder / "provider" / "provider.pem"])

    def wait_for(self, url: str) -> None:
        """Wait until the browser shows this address."""
        waiting: WebDriverWait[Chrome] = WebDriverWait(self.browser, WAIT_SECONDS)
        waiting.until(lambda driver: driver.current_url.startswith(url), url)

    def tiles(self) -> list[str]:
        """The texts of the portal's links to applications."""
        here = self.browser.find_elements(By.CSS_SELECTOR, "main a")
        return [each.text for each in here]

    def test_portal(self) -> None:
        """The portal has a tile for each application, a tile leads there, and sign-out ends it."""
        portal = self.site.url("portal")
        self.browser.get(portal)
        sign_in_at_provider(self.browser, ADA)
        self.wait_for(portal)
        self.assertEqual(len([text for text in self.tiles() if "wiki" in text or "Payroll" in text]), 2)
        next(
            each for each in self.browser.find_elements(By.CSS_SELECTOR, "main a") if "wiki" in each.text
        ).click()
        self.wait_for(self.site.url("wiki"))
        self.assertIn('"method": "GET"', self.browser.page_source)
        self.browser.get(self.site.url("portal", "/.appproxy/sign-out"))
        self.browser.find_element(By.CSS_SELECTOR, "form button").click()
        self.wait_for(self.site.provider.issuer)
        self.browser.find_element(By.NAME, "logout").click()
        self.wait_for(self.site.url("auth", "/.appproxy/signed-out"))
        self.browser.get(portal)
        self.wait_for(self.site.provider.issuer)
        self.assertEqual(console_errors(self.browser), [])

    def test_only_what_may_be_opened(self) -> None:
        """Somebody else's portal shows less, and the address itself is refused with a page."""
        self.browser.get(self.site.url("portal"))
        sign_in_at_provider(self.browser, GRACE)
        self.wait_for(self.site.url("portal"))
        self.assertFalse([text for text in self.tiles() if "Payroll" in text])
        self.assertEqual(console_errors(self.browser), [])
        self.browser.get(self.site.url("payroll"))
        self.wait_for(self.site.url("payroll"))
        self.assertIn("Forbidden", self.browser.page_source)
