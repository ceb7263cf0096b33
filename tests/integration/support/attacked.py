"""
The installation that all tests of attacks share: made once, attacked many times.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.integration.support.attacker import Answer, Headers, HostileBackend, Wire
from tests.integration.support.browser import Browser
from tests.integration.support.case import IntegrationTestCase, shared
from tests.integration.support.installation import Installation
from tests.integration.support.oidc_provider import ADA, User
from tests.integration.support.processes import Running

SIGN_ON: Final = {
    "mode": "headers",
    "headers": {"X-Remote-User": {"claim": "user_principal_name"}, "X-Tenant": {"value": "ours"}},
}
HEAD_TIMEOUT: Final = "3s"
"""Shorter than usual, for tests of whoever does not keep to it."""


class _Keeper(IntegrationTestCase):
    """Stands for the test in what outlives every test."""

    def runTest(self) -> None:
        """Nothing: it is never run."""

    def __init__(self) -> None:
        super().__init__("runTest")
        self.stack = ExitStack()
        self._started: list[Running] = []
        self.setUp()

    def addCleanup(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """At the end of all."""
        self.stack.callback(function, *args, **kwargs)


@dataclass
class Attacked:
    """
    An edge, a connector, a provider, and an application in an attacker's hands.

    @ivar backend: the application: C{echo} for Ada, C{open} and C{/public/} of C{echo}'s host for
        anybody, C{denied} for nobody.
    @ivar other: a server inside that is not published, and which the connector's own file does not allow.
    @ivar more: applications that tests added; C{groups} are those of connectors.
    """

    site: Installation
    backend: HostileBackend
    other: HostileBackend
    connector: Running
    keeper: IntegrationTestCase
    more: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: list[str] = field(default_factory=lambda: ["hq"])

    def publish_more(self, applications: dict[str, dict[str, Any]], group: str = "") -> None:
        """Some more applications, which stay, and a group of connectors for them."""
        self.more.update(applications)
        if group and group not in self.groups:
            self.groups.append(group)
        self.site.publish({**_applications(self.site, self.backend), **self.more}, self.groups)


def _applications(site: Installation, backend: HostileBackend) -> dict[str, dict[str, Any]]:
    url = backend.internal_url
    return {
        "echo": {"internal_url": url, "users": ["ada@example.com"], "sso": SIGN_ON},
        "public": {
            "external_url": site.url("echo", "/public/"),
            "internal_url": f"{url}public/",
            "pre_authentication": "passthrough",
        },
        "open": {"internal_url": url, "pre_authentication": "passthrough"},
        "denied": {"internal_url": url, "users": ["nobody@example.com"]},
    }


def _make() -> tuple[Attacked, Callable[[], object]]:
    keeper = _Keeper()
    try:
        return _started(keeper), keeper.stack.close
    except BaseException:
        keeper.stack.close()
        raise


def _started(keeper: _Keeper) -> Attacked:
    backend, other = HostileBackend(), HostileBackend()
    keeper.addCleanup(backend.stop)
    keeper.addCleanup(other.stop)
    site = Installation(keeper, settings={"limits": {"head_timeout": HEAD_TIMEOUT}})
    site.start_provider()
    site.start_edge()
    site.publish(_applications(site, backend))
    connector = site.start_connector("hq", [f"127.0.0.1:{backend.port}"])
    return Attacked(site, backend, other, connector, keeper)


attacked: Final = shared(_make)


class AttackTestCase(IntegrationTestCase):
    """A test of one kind of attack on L{Attacked}."""

    def setUp(self) -> None:
        """Get the installation; what the backend saw before is forgotten."""
        super().setUp()
        self.attacked = attacked()
        self.site, self.backend = self.attacked.site, self.attacked.backend
        self.watch(self.site.edge)
        self.watch(self.attacked.connector)
        for told in (self.backend.begun, self.backend.seen, self.backend.broken):
            told.clear()

    def host(self, name: str) -> str:
        """A host below the domain."""
        return f"{name}.{self.site.domain}"

    def wire(self, name: str | None, **how: Any) -> Wire:
        """
        A connection to the edge that asks TLS for a host.

        @param name: a name below the domain; L{None} for none at all.
        """
        server_name = None if name is None else self.host(name)
        made = Wire(self.site.port, self.site.authority.ca_file, server_name, **how)
        self.addCleanup(made.close)
        return made

    def ask(
        self, name: str, target: str = "/", method: str = "GET", headers: Headers = (), body: bytes = b""
    ) -> Answer:
        """One request on a connection of its own."""
        with self.wire(name) as wire:
            return wire.ask(self.host(name), target, method, headers, body)

    def signed_in(self, name: str = "echo", user: User = ADA) -> Browser:
        """A browser of somebody who signed in and came to an application."""
        browser = self.site.browser()
        self.site.sign_in(browser, self.site.url(name), user)
        self.backend.seen.clear()
        return browser

    def cookie(self, browser: Browser, name: str = "echo") -> tuple[bytes, bytes]:
        """The Cookie header that a browser sends to an application."""
        values = browser.jar.of(self.host(name))
        return b"Cookie", "; ".join(f"{key}={value}" for key, value in values.items()).encode()

    def enrol(self, name: str, token: str, kind: str = "connector") -> Path:
        """
        Enrol a connector or relay that is not started.

        @return: the folder of its identity.
        """
        identity = self.site.folder / name / "identity"
        more = {"allowed_backends": ["127.0.0.1:1"]} if kind == "connector" else {}
        config = self.site.write(name, {"identity": identity, **more})
        self.site.appproxy("enroll", "--config", config, "--token-file", "-", stdin=token)
        return identity
