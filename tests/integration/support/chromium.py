"""
Headless Chromium.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By

from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.certificates import key_digest_of
from tests.integration.support.oidc_provider import User

WAIT_SECONDS: Final = 30.0
DESKTOP: Final = (1280, 900)
PHONE: Final = (390, 844)


def open_chromium(
    case: IntegrationTestCase, trusted: Iterable[Path], *, size: tuple[int, int] = DESKTOP, dark: bool = False
) -> Chrome:
    """
    A browser with a new profile, closed after the test.

    @param trusted: PEM files of servers whose certificates count although no public authority made them.
    @raise SkipTest: where Chromium is missing.
    """
    case.need("chromium", "chromedriver")
    profile = case.folder / f"chromium-{len(list(case.folder.glob('chromium-*')))}"
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (
        "--headless=new",
        f"--user-data-dir={profile}",
        f"--window-size={size[0]},{size[1]}",
        f"--ignore-certificate-errors-spki-list={','.join(map(key_digest_of, trusted))}",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-sync",
        "--no-first-run",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
        *(["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = ChromeService(shutil.which("chromedriver"), log_output=str(case.folder / "chromedriver.log"))
    driver = Chrome(options, service)
    case.addCleanup(driver.quit)
    driver.set_page_load_timeout(WAIT_SECONDS)
    driver.implicitly_wait(WAIT_SECONDS)
    return driver


def console_errors(driver: Chrome) -> list[str]:
    """What the console complained of since the last time it was asked."""
    entries = driver.get_log("browser")
    return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]


def sign_in_at_provider(driver: Chrome, user: User) -> None:
    """Fill in the provider's sign-in page."""
    driver.find_element(By.NAME, "name").send_keys(user.name)
    driver.find_element(By.NAME, "password").send_keys(user.password)
    driver.find_element(By.CSS_SELECTOR, "button").click()
