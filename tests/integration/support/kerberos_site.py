"""
A whole installation whose application knows only Kerberos.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.integration.support.active_directory.accounts import BASE as DIRECTORY_BASE
from tests.integration.support.active_directory.accounts import (
    DOMAIN,
    INTRANET,
    OTHER_SUFFIX,
    REALM,
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
        self.application = self.start_application()
        self.start(self.application.process)
        self.site = Installation(self)
        self.site.environment["KRB5_CONFIG"] = str(self.krb5_config())
        self.site.start_provider(list(PEOPLE.values()))
        self.site.start_edge({"sign_in": {"claims": {"on_premises_sam_account_name": ["name"]}}})
        self.publish({"intranet": {}})
        self.connector = self.site.start_connector(
            "hq", [f"127.0.0.1:{self.application.port}"], self.connector_settings()
        )

    def start_application(self) -> KerberosApplication:
        """What is published."""
        return KerberosApplication(self.controller)

    def krb5_config(self) -> Path:
        """Where the connector finds its KDC."""
        return self.controller.krb5_config

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
