"""
What went through a daemon's tunnels, those that are gone included.
"""

from __future__ import annotations

from appproxy.tunnel.protocol import TunnelProtocol


class Traffic:
    """
    Sums over tunnels that only ever grow.
    """

    def __init__(self) -> None:
        self._live: set[TunnelProtocol] = set()
        self._received = self._sent = 0
        self._paused_seconds = 0.0

    def follow(self, tunnel: TunnelProtocol) -> None:
        """Count what goes through one more tunnel, until it is lost."""
        self._live.add(tunnel)
        tunnel.lost.addCallback(self._lost, tunnel)

    @property
    def received_bytes(self) -> int:
        """Plain bytes that came."""
        return self._received + sum(tunnel.bytes_received for tunnel in self._live)

    @property
    def sent_bytes(self) -> int:
        """Plain bytes that left."""
        return self._sent + sum(tunnel.bytes_sent for tunnel in self._live)

    @property
    def paused_seconds(self) -> float:
        """For how long tunnels waited for their peers to read."""
        return self._paused_seconds + sum(tunnel.paused_total for tunnel in self._live)

    def _lost(self, why: str, tunnel: TunnelProtocol) -> str:
        self._live.discard(tunnel)
        self._received += tunnel.bytes_received
        self._sent += tunnel.bytes_sent
        self._paused_seconds += tunnel.paused_total
        return why
