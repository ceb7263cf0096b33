"""What passes on our own TLS passes on Twisted's too: the same tests with C{tls.transport = "stock"}."""

from __future__ import annotations

from tests.integration import (
    test_isolation,
    test_jupyter,
    test_remote_relay,
    test_sign_in,
    test_streams,
)

STOCK = "stock"


class StreamTests(test_streams.StreamTests):
    """Large bodies."""

    transport = STOCK


class IsolationTests(test_isolation.IsolationTests):
    """Many users at once."""

    transport = STOCK


class WebSocketTests(test_jupyter.JupyterTests):
    """WebSockets."""

    transport = STOCK


class RemoteRelayTests(test_remote_relay.RemoteRelayTests):
    """Tunnels to a relay of its own."""

    transport = STOCK


class SignInTests(test_sign_in.SignInTests):
    """Signing in and out."""

    transport = STOCK
