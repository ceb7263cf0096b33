"""Jupyter Server, behind passthrough and behind sign-in: a kernel over its WebSocket."""

from __future__ import annotations

import json
import socket
import ssl
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.integration.support.applications import Jupyter
from tests.integration.support.browser import Browser
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.installation import Installation

ANSWER_SECONDS: Final = 60.0
CODE: Final = "print(6 * 7)"


def execute_request(code: str) -> str:
    """A message of Jupyter's protocol (5.3) on the shell channel."""
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "username": "tests",
        "session": uuid.uuid4().hex,
        "date": datetime.now(UTC).isoformat(),
        "version": "5.3",
    }
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
    return json.dumps({**message, "channel": "shell", "buffers": []})


def printed(channels: ClientConnection) -> str:
    """What the kernel prints next."""
    while True:
        message = json.loads(channels.recv(timeout=ANSWER_SECONDS))
        if message["msg_type"] == "stream":
            return str(message["content"]["text"])


class JupyterTests(IntegrationTestCase):
    """One Jupyter, published twice."""

    def setUp(self) -> None:
        """Publish it for everybody, and for who signed in."""
        super().setUp()
        self.site = Installation(self)
        origins = [self.site.url(name, "") for name in ("open", "closed")]
        self.jupyter = Jupyter(self.folder / "jupyter", origins)
        self.start(self.jupyter.process)
        self.site.start_provider()
        self.site.start_edge()
        self.site.publish(
            {
                "open": {"internal_url": self.jupyter.internal_url, "pre_authentication": "passthrough"},
                "closed": {"internal_url": self.jupyter.internal_url, "everyone": True},
            }
        )
        self.site.start_connector("hq", [f"127.0.0.1:{self.jupyter.port}"])

    def api(self, browser: Browser, name: str, method: str, path: str, body: object = None) -> Any:
        """Jupyter's own interface, with its own token."""
        headers = {"X-Jupyter-Token": self.jupyter.token, "Content-Type": "application/json"}
        headers["Authorization"] = f"token {self.jupyter.token}"
        encoded = json.dumps(body).encode() if body is not None else None
        answer = browser.fetch(self.site.url(name, path), method=method, headers=headers, body=encoded)
        self.assertIn(answer.status, (200, 201, 204), answer.text)
        return json.loads(answer.body) if answer.body else None

    def kernel(self, browser: Browser, name: str) -> str:
        """A new kernel's id."""
        kernel = self.api(browser, name, "POST", "/api/kernels", {"name": "python3"})
        return str(kernel["id"])

    def channels(self, browser: Browser, name: str, kernel: str, origin: str = "") -> ClientConnection:
        """A WebSocket to a kernel, opened as the browser's page would."""
        path = f"/api/kernels/{kernel}/channels?token={self.jupyter.token}"
        host = f"{name}.{self.site.domain}"
        cookies = browser.jar.header(host, "/", secure=True)
        return connect(
            self.site.url(name, path, "wss"),
            sock=socket.create_connection(("127.0.0.1", self.site.port), ANSWER_SECONDS),
            ssl=ssl.create_default_context(cafile=self.site.authority.ca_file),
            server_hostname=host,
            origin=Origin(origin or self.site.url(name, "")),
            additional_headers={"Cookie": cookies} if cookies else None,
            open_timeout=ANSWER_SECONDS,
            max_size=None,
            proxy=None,
        )

    def calculate(self, browser: Browser, name: str) -> str:
        """What a new kernel prints."""
        with self.channels(browser, name, self.kernel(browser, name)) as channels:
            channels.send(execute_request(CODE))
            return printed(channels)

    def test_passthrough(self) -> None:
        """
        Anybody with Jupyter's own token computes.

        Security row 6.
        """
        self.assertEqual(self.calculate(self.site.browser(), "open"), "42\n")

    def test_signed_in(self) -> None:
        """Who signed in computes; the WebSocket carries the session."""
        browser = self.site.browser()
        self.site.sign_in(browser, self.site.url("closed", "/api"))
        self.assertEqual(self.calculate(browser, "closed"), "42\n")

    def test_upgrade_without_session(self) -> None:
        """A WebSocket without a session is refused before Jupyter sees it, whatever token it has."""
        with self.assertRaises(InvalidStatus) as caught:
            self.channels(self.site.browser(), "closed", "none")
        self.assertEqual(caught.exception.response.status_code, 401)

    def test_foreign_origin(self) -> None:
        """Another site's page cannot use the visitor's session on a WebSocket."""
        browser = self.site.browser()
        self.site.sign_in(browser, self.site.url("closed", "/api"))
        with self.assertRaises(InvalidStatus) as caught:
            self.channels(browser, "closed", "none", "https://evil.example")
        self.assertEqual(caught.exception.response.status_code, 403)

    def test_sign_out_closes_the_websocket(self) -> None:
        """A session's end ends its open WebSocket."""
        browser = self.site.browser()
        self.site.sign_in(browser, self.site.url("closed", "/api"))
        with self.channels(browser, "closed", self.kernel(browser, "closed")) as channels:
            channels.send(execute_request(CODE))
            self.assertEqual(printed(channels), "42\n")
            browser.submit(browser.open(self.site.url("closed", "/.appproxy/sign-out")))
            with self.assertRaises(Exception) as closed:
                while True:
                    channels.recv(timeout=ANSWER_SECONDS)
            self.assertNotIsInstance(closed.exception, TimeoutError)
