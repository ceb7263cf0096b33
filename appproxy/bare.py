"""
What Twisted's C{Protocol} is to a transport, and nothing more.

A class can be compiled (see C{compiled.ini}) only if all of its bases are, which Twisted's own is not.
"""

from __future__ import annotations

from typing import Any

from mypy_extensions import mypyc_attr
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import classImplements


@mypyc_attr(allow_interpreted_subclasses=True)
class BareProtocol:
    """
    A protocol that does nothing yet.

    @ivar transport: what it stands on, since C{makeConnection}.
    @ivar connected: whether it ever stood on one.
    @ivar factory: what built it, if somebody noted that.
    """

    transport: Any = None
    connected: int = 0
    factory: Any = None

    def makeConnection(self, transport: Any) -> None:
        """See L{IProtocol}."""
        self.connected = 1
        self.transport = transport
        # Asked of its class: what wraps a transport passes on questions, but has bytes of its own.
        hand_up_to = getattr(type(transport), "hand_up_to", None)
        if hand_up_to is not None:
            hand_up_to(transport, self)
        self.connectionMade()

    def connectionMade(self) -> None:
        """See L{IProtocol}."""

    def dataReceived(self, data: bytes) -> None:
        """See L{IProtocol}."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{IProtocol}."""


# The decorator would keep the class from being compiled.
classImplements(BareProtocol, IProtocol)
