"""
Sample application: a small chat over WebSockets.

Every message goes to everybody in the room, under the name that the proxy
vouches for. Nothing is kept but the last few lines.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Request
from twisted.web.websocket import WebSocketResource, WebSocketTransport

from appproxy.demo.page import DemoPages
from appproxy.pages.tiles import Tile

MAXIMUM_MESSAGE_LENGTH: Final = 2000
"""Characters; a longer message ends its sender's connection (close code 1009)."""

REMEMBERED_LINES: Final = 50
"""What somebody who comes later still sees."""

MAXIMUM_PEOPLE: Final = 200
"""Connections at a time; this is a sample."""

_TOO_BIG: Final = 1009
_TRY_LATER: Final = 1013


class Room:
    """
    Everybody who is connected.

    @param now: seconds since the epoch, for the lines' times.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._people: set[Person] = set()
        self._lines: deque[str] = deque(maxlen=REMEMBERED_LINES)

    @property
    def is_full(self) -> bool:
        """Whether nobody else may come in."""
        return len(self._people) >= MAXIMUM_PEOPLE

    def buildProtocol(self, request: Request) -> Person:
        """For L{WebSocketResource}: one person per connection."""
        name = request.getHeader(b"x-remote-name") or request.getHeader(b"x-remote-user") or b"guest"
        return Person(self, name.decode("utf-8", "replace"))

    def join(self, person: Person) -> None:
        """Somebody came: they get the last lines, everybody hears of it."""
        for line in self._lines:
            person.send(line)
        self._people.add(person)
        self._tell(kind="note", name=person.name, text="joined", people=len(self._people))

    def leave(self, person: Person) -> None:
        """Somebody went."""
        if person in self._people:
            self._people.discard(person)
            self._tell(kind="note", name=person.name, text="left", people=len(self._people))

    def say(self, person: Person, text: str) -> None:
        """One message, to everybody, kept for a while."""
        self._lines.append(self._tell(kind="message", name=person.name, text=text, **_look(person.name)))

    def _tell(self, **values: object) -> str:
        line = json.dumps({"time": int(self._now()), **values})
        for each in tuple(self._people):
            each.send(line)
        return line


class Person:
    """One WebSocket connection (provides C{WebSocketProtocol})."""

    _transport: WebSocketTransport

    def __init__(self, room: Room, name: str) -> None:
        self._room = room
        self.name = name

    def send(self, line: str) -> None:
        """One line to this connection."""
        self._transport.sendTextMessage(line)

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self._transport = transport

    def negotiationFinished(self) -> None:
        if self._room.is_full:
            self._transport.loseConnection(_TRY_LATER)
        else:
            self._room.join(self)

    def textMessageReceived(self, message: str) -> None:
        if len(message) > MAXIMUM_MESSAGE_LENGTH:
            self._transport.loseConnection(_TOO_BIG)
        elif message.strip():
            self._room.say(self, message.strip())

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        """Bytes come back as they are: a handy echo for measuring."""
        self._transport.sendBytesMessage(bytes(data))

    def pongReceived(self, payload: bytes) -> None:
        """Nothing waits for it."""

    def connectionLost(self, reason: Failure) -> None:
        self._room.leave(self)


def chat_resource(pages: DemoPages, now: Callable[[], float]) -> Resource:
    """The root of the application; the WebSocket is at C{/socket}."""
    root = pages.mount(Resource())
    root.putChild(b"", _Chat(pages))
    root.putChild(b"socket", WebSocketResource(Room(now)))
    return root


def _look(name: str) -> dict[str, object]:
    tile = Tile(name, name, "")
    return {"initials": tile.initials, "colour": tile.colour}


class _Chat(Resource):
    isLeaf = True

    def __init__(self, pages: DemoPages) -> None:
        Resource.__init__(self)
        self._pages = pages

    def render_GET(self, request: Request) -> bytes:
        return self._pages.respond(
            request, "chat.html", title="Team chat", maximum_length=MAXIMUM_MESSAGE_LENGTH
        )
