"""Kerberos sign-on of a whole installation, with a real Active Directory and an application of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tests.integration.support.active_directory.accounts import BASE as DIRECTORY_BASE
from tests.integration.support.active_directory.accounts import (
    DOMAIN,
    INTRANET,
    OTHER_SUFFIX,
    REALM,
    STALE,
    UNLISTED,
)
from tests.integration.support.active_directory.application import KerberosApplication, need_application
from tests.integration.support.active_directory.controller import DomainController, active_directory
from tests.integration.support.browser import Browser, Page
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.installation import Installation
from tests.integration.support.oidc_provider import User
from tests.integration.support.processes import wait_until

NAMES: Final = (
    "alice",
    "carol",
    "sensitive",
    "protected",
    "disabled",
    "mustchange",
    "expired",
    "boss",
    "deputy",
)


def person(name: str, upn: str = "") -> User:
    """Somebody with an account in the directory."""
    upn = upn or f"{name}@{DOMAIN}"
    claims = {"preferred_username": upn, "email": upn, "email_verified": True, "name": name.title()}
    return User(name, f"{name}'s password", claims)


PEOPLE: Final = {
    **{name: person(name) for name in NAMES},
    "bsmith": person("bsmith", f"bob.smith@{OTHER_SUFFIX}"),
    "nobody": person("nobody", f"nobody@{OTHER_SUFFIX}"),
}


class KerberosTestCase(IntegrationTestCase):
    """
    One application in several parts, published once for each way of signing on.

    @ivar controller: of the domain.
    """

    controller: DomainController

    def setUp(self) -> None:
        """Everything, with a connector whose account may delegate."""
        super().setUp()
        need_application()
        self.controller = active_directory()
        self.application = KerberosApplication(self.controller)
        self.start(self.application.process)
        self.site = Installation(self)
        self.site.environment.update(self.controller.environment)
        self.site.start_provider(list(PEOPLE.values()))
        self.site.start_edge({"sign_in": {"claims": {"on_premises_sam_account_name": ["name"]}}})
        self.publish({"intranet": {}})
        self.connector = self.site.start_connector(
            "hq", [f"127.0.0.1:{self.application.port}"], self.connector_settings()
        )

    def connector_settings(self, account: str = "connector", **kerberos: Any) -> dict[str, Any]:
        """What Kerberos needs in connector.toml."""
        return {
            "allowed_sso": ["none", "kerberos"],
            "allowed_spns": [f"HTTP/*.{DOMAIN}"],
            "directory": {
                "servers": [self.controller.ldaps_url],
                "base": DIRECTORY_BASE,
                "ca_file": self.controller.ca_file,
            },
            "kerberos": {
                "keytab_file": self.controller.keytab(account),
                "principal": f"{account}$@{REALM}",
                **kerberos,
            },
        }

    def publish(self, applications: Mapping[str, Mapping[str, Any]]) -> None:
        """
        Applications by id, with what is special about their sign-on; C{part} is the path inside.
        """
        self.site.publish(
            {
                name: {
                    "internal_url": self.application.internal_url + f"{special.get('part', 'app')}/",
                    "everyone": True,
                    "sso": {
                        "mode": "kerberos",
                        "service_principal_name": INTRANET,
                        **{key: value for key, value in special.items() if key != "part"},
                    },
                }
                for name, special in applications.items()
            }
        )

    def arrive(self, name: str, application: str = "intranet", browser: Browser | None = None) -> Page:
        """Sign in, and open the application."""
        return self.site.sign_in(browser or self.site.browser(), self.site.url(application), PEOPLE[name])

    def assert_user(self, page: Page, user: str) -> None:
        """The application saw this user."""
        self.assertEqual(page.status, 200, page.text)
        self.assertIn(f"user={user} ", page.text)

    def assert_refused(self, page: Page, status: int, cause: str) -> None:
        """The page has a transaction id, under which the connector's log has the cause."""
        self.assertEqual(page.status, status, page.text)
        found = re.search(r"\b[0-9A-HJKMNP-TV-Z]{26}\b", page.text)
        assert found is not None, page.text
        wait_until(lambda: found[0] in self.connector.text, "the connector logs the refusal")
        lines = [line for line in self.connector.text.splitlines() if found[0] in line and cause in line]
        self.assertTrue(lines, f"{cause} is not what the connector said:\n{self.connector.text[-3000:]}")


class SignOnTests(KerberosTestCase):
    """Users who get where they want to be."""

    def test_users(self) -> None:
        """The application sees the account of the user who signed in, whatever their user principal name."""
        self.assert_user(self.arrive("alice"), f"alice@{REALM}")
        self.assert_user(self.arrive("bsmith"), f"bsmith@{REALM}")

    def test_ways(self) -> None:
        """Every way to send a ticket works: wrapped or not, at once or when asked, with proof or without."""
        ways: Mapping[str, Mapping[str, Any]] = {
            "bare": {"token": "kerberos"},
            "asked": {"send": "after_401"},
            "proof": {"mutual_authentication": "required"},
            "asked-proof": {"mutual_authentication": "required", "send": "after_401", "token": "kerberos"},
            "session": {"part": "session"},
            "bound": {"part": "bound"},
            "wildcard": {"service_principal_name": INTRANET},
            "sam": {"login_identity": "user_principal_username"},
        }
        self.publish(ways)
        browser = self.site.browser()
        for name in ways:
            self.assert_user(self.arrive("alice", name, browser), f"alice@{REALM}")
            self.assert_user(browser.open(self.site.url(name, "/again")), f"alice@{REALM}")

    def test_nothing_of_it_outside(self) -> None:
        """Neither challenge nor proof reaches the browser; what it sends does not reach the application."""
        browser = self.site.browser()
        page = self.arrive("alice", browser=browser)
        self.assertEqual(page.header("WWW-Authenticate"), "")
        headers = {"Authorization": "Negotiate YII="}
        page = browser.request("GET", self.site.url("intranet", "/x"), headers)
        self.assert_user(page, f"alice@{REALM}")

    def test_connections_bound_to_users(self) -> None:
        """Security row 27. Security row 45: a connection that a ticket binds is no other user's."""
        self.publish({"bound": {"part": "bound"}})
        browsers = {name: self.site.browser() for name in ("alice", "bsmith", "carol")}
        for name, browser in browsers.items():
            self.assert_user(self.arrive(name, "bound", browser), f"{name}@{REALM}")
        for _ in range(20):
            for name, browser in browsers.items():
                self.assert_user(browser.open(self.site.url("bound")), f"{name}@{REALM}")


class RefusedTests(KerberosTestCase):
    """Users and services that are refused, each with its cause."""

    def test_users(self) -> None:
        """Security row 45: who may not be delegated is refused, by name of the reason."""
        for name, cause in (
            ("sensitive", "user_sensitive"),
            ("protected", "user_protected"),
            ("disabled", "user_disabled"),
            ("expired", "account_expired"),
            ("mustchange", "password_expired"),
            ("boss", "never_impersonated"),
            ("deputy", "never_impersonated"),
            ("nobody", "user_unknown"),
        ):
            self.assert_refused(self.arrive(name), 403, cause)

    def test_services(self) -> None:
        """A service that the connector's account may not delegate to, and one that is not allowed, say so."""
        self.publish(
            {
                "hr": {"service_principal_name": UNLISTED},
                "stale": {"service_principal_name": STALE, "part": "stale"},
            }
        )
        self.assert_refused(self.arrive("alice", "hr"), 502, "spn_not_listed")
        self.assert_refused(self.arrive("alice", "stale"), 502, "wrong_key")
