"""
Tests of L{appproxy.demo.chat}.
"""

from __future__ import annotations

import json
from typing import Any, cast

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

from appproxy.demo.chat import MAXIMUM_MESSAGE_LENGTH, MAXIMUM_PEOPLE, Person, Room, chat_resource
from appproxy.demo.page import DemoPages, site_of
from tests.pages.support import Page, ask_site, connect


class FakeTransport:
    """Remembers what it was told to do (provides C{WebSocketTransport})."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.echoed: list[bytes] = []
        self.closed: int | None = None

    def sendTextMessage(self, text: str) -> None:
        self.lines.append(json.loads(text))

    def sendBytesMessage(self, data: bytes) -> None:
        self.echoed.append(data)

    def loseConnection(self, code: int = 1000) -> None:
        self.closed = code


class RoomTests(SynchronousTestCase):
    """L{Room} and L{Person}."""

    def setUp(self) -> None:
        self.room = Room(Clock().seconds)

    def join(self, name: str) -> tuple[Person, FakeTransport]:
        """Somebody comes in."""
        person, transport = Person(self.room, name), FakeTransport()
        person.negotiationStarted(cast(Any, transport))
        person.negotiationFinished()
        return person, transport

    def test_talk(self) -> None:
        """Everybody hears what one says, under the name that came with the connection."""
        ada, ada_hears = self.join("Ada Lovelace")
        _, alan_hears = self.join("Alan")
        ada.textMessageReceived(" hello ")
        for heard in (ada_hears, alan_hears):
            last = heard.lines[-1]
            self.assertEqual((last["kind"], last["name"], last["text"]), ("message", "Ada Lovelace", "hello"))
            self.assertEqual(last["initials"], "AL")

    def test_late(self) -> None:
        """Whoever comes later sees the last lines; who has left is not written to."""
        ada, ada_hears = self.join("Ada")
        ada.textMessageReceived("first")
        ada.connectionLost(Failure(ConnectionDone()))
        before = len(ada_hears.lines)
        _, heard = self.join("Alan")
        self.assertEqual(heard.lines[0]["text"], "first")
        self.assertEqual(len(ada_hears.lines), before)

    def test_limits(self) -> None:
        """A message that is too long ends its connection; a full room lets nobody in."""
        ada, heard = self.join("Ada")
        ada.textMessageReceived("x" * (MAXIMUM_MESSAGE_LENGTH + 1))
        self.assertEqual(heard.closed, 1009)
        for number in range(MAXIMUM_PEOPLE):
            self.join(str(number))
        self.assertEqual(self.join("late")[1].closed, 1013)

    def test_echo(self) -> None:
        """Bytes come back to their sender alone."""
        ada, heard = self.join("Ada")
        _, other = self.join("Alan")
        ada.bytesMessageReceived(b"\0\xff")
        self.assertEqual((heard.echoed, other.echoed), ([b"\0\xff"], []))


class ChatSiteTests(SynchronousTestCase):
    """L{chat_resource}."""

    def setUp(self) -> None:
        self.site = site_of(chat_resource(DemoPages("https://portal.demo.localhost/"), Clock().seconds))

    def test_page(self) -> None:
        """The page and its one script are there; nothing is inline."""
        answer = ask_site(self.site, "/")
        page = Page(answer.body)
        self.assertEqual(page.unbalanced, [])
        (script,) = page.all("script")
        self.assertEqual(ask_site(self.site, script["src"]).headers.get_content_type(), "text/javascript")
        self.assertNotIn("unsafe", answer.headers["Content-Security-Policy"])

    def test_socket(self) -> None:
        """A WebSocket client is accepted and hears itself."""
        client = WSConnection(ConnectionType.CLIENT)
        protocol, transport = connect(self.site)
        protocol.dataReceived(
            client.send(Request(host="chat", target="/socket", extra_headers=[(b"X-Remote-Name", b"Ada")]))
        )
        heard = self._events(client, transport.value())
        self.assertIsInstance(heard[0], AcceptConnection)
        transport.clear()
        protocol.dataReceived(client.send(TextMessage("hello")))
        (message,) = self._events(client, transport.value())
        self.assertEqual(json.loads(message.data)["text"], "hello")

    def test_not_a_socket(self) -> None:
        """A plain request for the socket is refused."""
        self.assertEqual(ask_site(self.site, "/socket").status, 400)
        self.flushLoggedErrors()

    def _events(self, client: WSConnection, data: bytes) -> list[Any]:
        client.receive_data(data)
        return list(client.events())
