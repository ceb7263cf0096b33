"""
Keeps a tunnel to every edge or relay that this connector was told of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from appproxy.connector.tunnel_end import TunnelEnd
from appproxy.pki.identity import Identity
from appproxy.pki.tunnel_peer import dial_tunnel, unfit_server
from appproxy.transport.addresses import HostPort
from appproxy.transport.connect_proxy import ConnectProxy
from appproxy.transport.handshaking import TlsLayer
from appproxy.transport.turn import Schedule
from appproxy.tunnel.dialer import Dialling, TunnelDialers
from appproxy.tunnel.settings import TunnelSettings


class Supervisor(TunnelDialers[TunnelEnd]):
    """
    All tunnels of one connector.

    @param addresses: C{host:port}, each dialled once.
    @param proxy: the way out to them.
    """

    def __init__(
        self,
        reactor: Any,
        schedule: Schedule,
        addresses: Sequence[str],
        identity: Callable[[], Identity],
        make_end: Callable[[str], TunnelEnd],
        settings: TunnelSettings,
        tls: TlsLayer,
        proxy: ConnectProxy | None = None,
    ) -> None:
        how = Dialling(
            reactor,
            schedule,
            "acceptor",
            settings,
            lambda address, above: dial_tunnel(reactor, address, identity(), above, tls=tls, proxy=proxy),
            make_end,
            lambda _end, transport: unfit_server(transport),
        )
        TunnelDialers.__init__(self, how, [str(HostPort.parse(address)) for address in addresses])
