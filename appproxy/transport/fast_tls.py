"""
The layer of TLS that stands on the standard library: what it makes of a context,
and the sessions that it resumes.
"""

from __future__ import annotations

import ssl
from typing import Final
from weakref import WeakKeyDictionary

from twisted.internet.interfaces import IProtocol, IReactorTime

from appproxy.transport.addresses import is_address
from appproxy.transport.contexts import ClientContext, ServerContext
from appproxy.transport.handshaking import Handshaking
from appproxy.transport.secured import TUNNEL_SIZES, USUAL_SIZES, SecuredConnection
from appproxy.transport.stdlib_forms import form_of

SESSION_SECONDS: Final = 3600.0
"""How long a session is resumed: its server's chain is not looked at again."""


class FastTls:
    """The layer, with the sessions of the servers that it dialled."""

    immediate = True

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._sessions = Sessions(clock)

    def prepare(self, context: ServerContext | ClientContext) -> None:
        """See L{TlsLayer.prepare}."""
        form_of(context)

    def server(self, context: ServerContext, above: Handshaking) -> IProtocol:
        """See L{TlsLayer.server}."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = form_of(context).wrap_bio(incoming, outgoing, server_side=True)
        sizes = TUNNEL_SIZES if context.client_roles else USUAL_SIZES
        return SecuredConnection(tls, incoming, outgoing, sizes, above, self._clock)

    def client(self, context: ClientContext, above: Handshaking) -> IProtocol:
        """See L{TlsLayer.client}."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        # An address is no server name (RFC 6066, section 3).
        name = None if is_address(context.host) else context.host
        session = self._sessions.of(context)
        tls = form_of(context).wrap_bio(incoming, outgoing, server_hostname=name, session=session)
        sizes = TUNNEL_SIZES if context.server_roles else USUAL_SIZES
        layer = SecuredConnection(tls, incoming, outgoing, sizes, above, self._clock)
        if context.resume:
            layer.ended = lambda ended: self._sessions.keep(context, ended)
        return layer


class Sessions:
    """The last session with each kind of server."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._kept: WeakKeyDictionary[ClientContext, tuple[ssl.SSLSession, float]] = WeakKeyDictionary()

    def of(self, context: ClientContext) -> ssl.SSLSession | None:
        """A session to resume, if there is one that is young enough."""
        session, since = self._kept.get(context, (None, 0.0))
        return session if self._clock.seconds() - since < SESSION_SECONDS else None

    def keep(self, context: ClientContext, tls: ssl.SSLObject) -> None:
        """Note the session of a connection that ends; one that was resumed itself makes none younger."""
        session = tls.session
        if session is not None and session.has_ticket and not tls.session_reused:
            self._kept[context] = session, self._clock.seconds()
