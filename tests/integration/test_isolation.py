"""Two users on two applications at once: no byte of one reaches the other."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from http.client import HTTPSConnection
from typing import Final

from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.echo import Echo
from tests.integration.support.installation import Installation
from tests.integration.support.oidc_provider import ADA, GRACE, User

REQUESTS: Final = 1000
CONNECTIONS: Final = 4
"""For each user: their requests interleave on the tunnels and on the backends' pools."""


class Visitor(threading.Thread):
    """
    Sends requests with bodies of its own over one connection.

    @ivar problems: what came back that should not have.
    """

    def __init__(self, site: Installation, name: str, cookie: str, user: str, number: int) -> None:
        super().__init__(daemon=True)
        self.problems: list[str] = []
        self.answered = 0
        self._site = site
        self._host = f"{name}.{site.domain}"
        self._cookie = cookie
        self._user = user
        self._number = number

    def run(self) -> None:
        """Send all, and look at each answer."""
        context = ssl.create_default_context(cafile=self._site.authority.ca_file)
        connection = _Loopback(self._host, self._site.port, context=context, timeout=60)
        try:
            for turn in range(REQUESTS // CONNECTIONS):
                self._ask(connection, turn)
        except Exception as error:
            self.problems.append(repr(error))
        finally:
            connection.close()

    def _ask(self, connection: HTTPSConnection, turn: int) -> None:
        mark = f"{self._user}/{self._host}/{self._number}/{turn}"
        body = (mark + "|").encode() * (1 + turn % 400)
        connection.request("POST", f"/{mark}", body, {"Cookie": self._cookie, "X-Mark": mark})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            self.problems.append(f"{mark}: {answer.status} {text[:200]!r}")
            return
        seen = json.loads(text)
        headers = {name.lower(): value for name, value in seen["headers"]}
        expected = (f"/{mark}", hashlib.sha256(body).hexdigest(), self._user, mark)
        got = (seen["target"], seen["body_sha256"], headers.get("x-remote-user"), headers.get("x-mark"))
        if got != expected or "cookie" in headers:
            self.problems.append(f"expected {expected}, got {got}")
        self.answered += 1


class _Loopback(HTTPSConnection):
    """To a name below C{localhost}, which not every system resolves."""

    def connect(self) -> None:
        """Dial this machine; the name is for TLS and Host."""
        import socket

        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)  # type: ignore[attr-defined]


class IsolationTests(IntegrationTestCase):
    """Shared tunnels, shared pools, separate people."""

    def setUp(self) -> None:
        """Publish two applications on two connectors of one group."""
        super().setUp()
        self.site = Installation(self)
        self.site.start_provider()
        self.site.start_edge()
        echoes = {name: Echo(self.folder / name) for name in ("one", "two")}
        for echo in echoes.values():
            self.start(echo.process)
        sso = {"mode": "headers", "headers": {"X-Remote-User": {"claim": "user_principal_name"}}}
        self.site.publish(
            {
                name: {"internal_url": echo.internal_url, "everyone": True, "sso": sso}
                for name, echo in echoes.items()
            }
        )
        allowed = [f"127.0.0.1:{echo.port}" for echo in echoes.values()]
        self.site.start_connector("hq", allowed)
        self.site.start_connector("hq", allowed)

    def visitors(self, user: User) -> list[Visitor]:
        """Somebody who signed in, on both applications."""
        browser = self.site.browser()
        made = []
        for name in ("one", "two"):
            self.site.sign_in(browser, self.site.url(name), user)
            cookies = browser.jar.of(f"{name}.{self.site.domain}")
            cookie = "; ".join(f"{key}={value}" for key, value in cookies.items())
            made += [
                Visitor(self.site, name, cookie, f"{user.name}@example.com", number)
                for number in range(CONNECTIONS)
            ]
        return made

    def test_nothing_crosses(self) -> None:
        """
        Two users send 1,000 requests each to two applications; every answer is the asker's own.

        Security row 27.
        """
        visitors = self.visitors(ADA) + self.visitors(GRACE)
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join(240)
        self.assertEqual([problem for visitor in visitors for problem in visitor.problems][:5], [])
        self.assertEqual(sum(visitor.answered for visitor in visitors), 4 * REQUESTS)
