"""
The TLS layers that there are, by the names that settings give them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from twisted.internet.interfaces import IReactorTime

from appproxy.transport.fast_tls import FastTls
from appproxy.transport.handshaking import TlsLayer
from appproxy.transport.stock_tls import StockTls

LAYERS: Final[Mapping[str, Callable[[IReactorTime], TlsLayer]]] = {"fast": FastTls, "stock": StockTls}


def tls_layer(name: str, clock: IReactorTime) -> TlsLayer:
    """
    The layer that the setting C{tls.transport} names.

    @raise KeyError: if there is none of this name.
    """
    return LAYERS[name](clock)
