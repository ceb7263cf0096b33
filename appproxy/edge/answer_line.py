"""
Answers on a client's line, framed for the request that they belong to.
"""

from __future__ import annotations

from typing import Final

from appproxy.edge.channel_services import ChannelServices
from appproxy.edge.client_writer import RequestSink
from appproxy.edge.line import Line
from appproxy.httpwire.block import Blocks
from appproxy.httpwire.field import field
from appproxy.httpwire.heads import RequestHead
from appproxy.httpwire.writer import Framer, write_response

_CLOSE: Final = field(b"Connection", b"close")
_KEEP_ALIVE: Final = field(b"Connection", b"keep-alive")


class AnswerLine(Line):
    """
    Most of an L{appproxy.edge.client_writer.ClientWriter}; what an answer's end
    means for the connection is the channel's business.

    @ivar _head: the request that is being answered; L{None} between requests.
    @ivar _sink: who answers it.
    @ivar _framer: there while an answer's body is.
    @ivar _raw: the connection was upgraded.
    """

    def __init__(self, services: ChannelServices, half_close: bool) -> None:
        Line.__init__(self, services.wheel, services.schedule, half_close)
        self._services = services
        self._head: RequestHead | None = None
        self._sink: RequestSink | None = None
        self._framer: Framer | None = None
        self._keep_alive = True
        self._raw = False

    def interim(self, status: int, headers: Blocks) -> None:
        """Write a 1xx; HTTP/1.0 has none."""
        if self._head is not None and self._head.version[1] > 0 and not self._closing:
            self.write(write_response(status, None, headers))

    def head(self, status: int, body: int, headers: Blocks) -> None:
        """Write an answer's head with the framing that this client understands."""
        head = self._head
        if head is None or self._closing:
            return
        version = head.version
        framer = self._framer = Framer(body, version)
        keep = head.keep_alive and head.upgrade is None and not self._services.draining
        self._keep_alive = keep and not framer.closes
        framing = framer.headers
        if not framer.closes and (not keep or version[1] == 0):
            framing = [*framing, _KEEP_ALIVE if keep else _CLOSE]
        self.write(write_response(status, None, headers, framing))

    def data(self, data: bytes) -> None:
        """Write some of the answer's body."""
        if self._raw:
            self.write(data)
        elif self._framer is not None:
            self.write(self._framer.data(data))

    def break_off(self) -> None:
        """
        End before the answer does, in a way that the client notices. By the framing
        it does; only a body that ends with the connection needs a sudden end.
        """
        self._sink = None
        if self._framer is not None and self._framer.closes:
            self._cut()
        else:
            self._hang_up()

    def abort(self) -> None:
        """Cut the connection: not a byte more reaches the client."""
        self._sink = None
        self._cut()
