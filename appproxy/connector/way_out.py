"""
The HTTP proxy on the way out, from the connector's settings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from appproxy.config.connector import ConnectorSettings
from appproxy.config.secrets import SecretUnavailable, only_in_unit
from appproxy.connector.own_account import NoAccount, own_account
from appproxy.transport.connect_proxy import ConnectProxy
from appproxy.transport.dialer import CONNECT_SECONDS

if TYPE_CHECKING:
    from appproxy.kerberos.outbound import OutboundProxy
    from appproxy.threads.pool import FairPool

TICKET_THREADS: Final = 2
"""Of which one realm gets one: tunnels are dialled rarely, and share the ticket that this thread has."""

WAITING_TUNNELS: Final = 1024
"""Far more than there are edges and relays."""

LONGEST_TICKET_SECONDS: Final = CONNECT_SECONDS / 2
"""The proxy and the edge have to answer within what is left of dialling a tunnel."""


class NoWayOut(Exception):
    """The proxy cannot be used as it is set; the text names the setting."""


class WayOut:
    """
    A daemon's.

    @ivar proxy: L{None} where edges and relays are dialled directly.
    """

    def __init__(self, settings: ConnectorSettings, reactor: Any) -> None:
        """
        @raise NoWayOut: if what the settings name is not there, or not safe. No server is asked yet.
        """
        self._pool: FairPool | None = None
        self.proxy = _proxy(settings)
        if self.proxy is not None and settings.proxy.negotiate:
            self.proxy = self._negotiating(self.proxy, settings, reactor)

    def _negotiating(self, proxy: ConnectProxy, settings: ConnectorSettings, reactor: Any) -> ConnectProxy:
        # Most connectors have no use for threads.
        from appproxy.threads.pool import FairPool

        outbound = _outbound(proxy, settings)
        pool = self._pool = FairPool("proxy tickets", TICKET_THREADS, reactor, user_waiting=WAITING_TUNNELS)
        seconds = min(settings.kerberos.deadline, LONGEST_TICKET_SECONDS)
        return replace(proxy, authorize=lambda: outbound.in_thread(pool, reactor, seconds))

    def close(self) -> None:
        """Ask for no more tickets."""
        if self._pool is not None:
            self._pool.stop()


def blocking_way_out(settings: ConnectorSettings, owner: int | None) -> ConnectProxy | None:
    """
    The proxy for a command line, which waits for tickets where it is.

    @param owner: the daemon's user, to whom the keytab may belong besides root and whoever runs this.
    @raise NoWayOut: if what the settings name is not there, or not safe.
    """
    proxy = _proxy(settings)
    if proxy is None or not settings.proxy.negotiate:
        return proxy
    return replace(proxy, authorize=_outbound(proxy, settings, owner).wait)


def _proxy(settings: ConnectorSettings) -> ConnectProxy | None:
    try:
        return settings.proxy.connect_proxy()
    except SecretUnavailable as error:
        raise NoWayOut(f"proxy.password_file: {error}") from error


def _outbound(proxy: ConnectProxy, settings: ConnectorSettings, owner: int | None = None) -> OutboundProxy:
    # Most connectors have no use for Kerberos.
    from appproxy.kerberos.outbound import OutboundProxy

    own = settings.kerberos
    assert own.keytab_file is not None, "the settings were checked"
    if elsewhere := only_in_unit(own.keytab_file):
        raise NoWayOut(f"kerberos.keytab_file: {elsewhere}")
    try:
        delegator = own_account(own, "proxy.negotiate", owner)
    except NoAccount as error:
        raise NoWayOut(str(error)) from error
    return OutboundProxy(delegator, proxy.address, str(own.keytab_file))
