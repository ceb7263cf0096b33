"""The contract, over both front ends, with the relay inside of the edge and with one of its own."""

from __future__ import annotations

from tests.contract.proxy_contract import ProxyContract


class ChannelTests(ProxyContract):
    """Applications by the fast lane."""

    front_end = "channel"


class SiteTests(ProxyContract):
    """Applications as resources in the tree of pages."""

    front_end = "site"


class ChannelRelayTests(ProxyContract):
    """The fast lane, and a relay of its own."""

    front_end = "channel"
    relays = 1


class SiteRelayTests(ProxyContract):
    """The tree of pages, and a relay of its own."""

    front_end = "site"
    relays = 1


del ProxyContract
