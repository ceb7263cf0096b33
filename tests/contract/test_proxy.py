"""The contract, over both front ends."""

from __future__ import annotations

from tests.contract.proxy_contract import ProxyContract


class ChannelTests(ProxyContract):
    """Applications by the fast lane."""

    front_end = "channel"


class SiteTests(ProxyContract):
    """Applications as resources in the tree of pages."""

    front_end = "site"


del ProxyContract
