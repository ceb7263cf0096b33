"""Kerberos sign-on of a whole installation, with a real Active Directory and an application of its own."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any

from websockets.sync.client import connect
from websockets.typing import Origin

from tests.integration.support.active_directory.accounts import INTRANET, REALM, STALE, UNLISTED
from tests.integration.support.active_directory.application import KerberosApplication
from tests.integration.support.kerberos_site import KerberosTestCase
from tests.integration.support.marked_backend import MarkedBackend


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


class WebSocketTests(KerberosTestCase):
    """An application that asks for a ticket before it upgrades."""

    def start_application(self) -> KerberosApplication:
        """Behind it stands a server that says who came, and echoes."""
        self.behind = MarkedBackend(self.folder / "behind")
        self.start(self.behind.process)
        return KerberosApplication(self.controller, self.behind.port)

    def test_signed_on(self) -> None:
        """An upgrade is signed on like every other request: the server behind sees whose it is."""
        self.publish({"socket": {"part": "socket"}})
        browser = self.site.browser()
        self.arrive("bsmith", "socket", browser)
        host = f"socket.{self.site.domain}"
        context = ssl.create_default_context(cafile=self.site.authority.ca_file)
        headers = {"Cookie": browser.jar.header(host, "/", secure=True), "X-Mark": "m1"}
        with (
            socket.create_connection(("127.0.0.1", self.site.port)) as raw,
            connect(
                f"wss://{host}:{self.site.port}/",
                sock=raw,
                ssl=context,
                origin=Origin(self.site.url("socket", "")),
                additional_headers=headers,
            ) as messages,
        ):
            self.assertEqual(messages.recv(), f"bsmith@{REALM} m1")
            messages.send("hello")
            self.assertEqual(messages.recv(), "hello")
