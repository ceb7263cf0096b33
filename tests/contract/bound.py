"""
The contract about sign-ons that belong to a connection: NTLM and its like.
"""

from __future__ import annotations

from typing import Any, Final

from tests.contract.rig import DOMAIN, EVE, BackendEnd, Client, ConnectorEnd, Rig, application
from tests.contract.support import HR, WIKI, ContractCase, Head, request

OK: Final = b"HTTP/1.1 200 OK\r\n"
EMPTY: Final = OK + b"Content-Length: 0\r\n\r\n"
NTLM: Final = b"Authorization: NTLM TlRM"


class BoundContract(ContractCase):
    """A client, a connector and a backend connection that stay together."""

    def bound(self, **settings: Any) -> tuple[Rig, Client]:
        """A client with such a sign-on."""
        rig = self.make_rig(**settings)
        client = rig.client()
        self.sign_on(rig, client)
        return rig, client

    def sign_on(self, rig: Rig, client: Client) -> None:
        """A request of this client is answered."""
        client.send(request(b"GET / HTTP/1.1", NTLM))
        rig.backend.send(EMPTY)
        self.assertEqual(Head(client.take()).status, 200)

    def busy(self, rig: Rig, connector: ConnectorEnd) -> tuple[Client, BackendEnd]:
        """Another client, which waits for an answer by this connector."""
        while True:
            client = rig.client()
            client.send(request())
            if rig.served[-1] == connector.id:
                return client, rig.backend
            rig.backend.send(OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n")

    def test_ntlm_is_private(self) -> None:
        """A backend connection that is authenticated serves one client's connection, and dies with it."""
        client, backend, _ = self.forward(request())
        backend.send(b"HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(Head(client.take()).all(b"www-authenticate"), [b"NTLM"])
        for _ in range(2):
            client.send(request(b"GET / HTTP/1.1", b"Authorization: NTLM TlRM"))
            self.assertIs(self.rig.backend, backend)
            backend.take()
            backend.send(OK + b"Content-Length: 0\r\n\r\n")
            client.take()
        _, other, _ = self.forward(request())
        self.assertIsNot(other, backend)
        other.send(OK + b"Content-Length: 0\r\n\r\n")
        client.leave()
        self.assertTrue(backend.ended)
        self.assertFalse(other.ended)

    def test_ntlm_from_the_start(self) -> None:
        """Likewise when the client begins with it, before any challenge."""
        client, backend, _ = self.forward(request(b"GET / HTTP/1.1", b"Authorization: Negotiate YII"))
        backend.send(OK + b"Content-Length: 0\r\n\r\n")
        client.take()
        _, other, _ = self.forward(request())
        self.assertIsNot(other, backend)

    def test_ntlm_stays_on_its_tunnel(self) -> None:
        """With several connectors, the client stays with the one that has its connection."""
        rig, client = self.bound(connectors={"one": "main", "two": "main", "three": "main"})
        for _ in range(7):
            self.sign_on(rig, client)
        self.assertEqual(len(rig.backends), 1)
        self.assert_quiet(rig)

    def test_ntlm_after_its_tunnel_broke(self) -> None:
        """When that connector goes, another one begins anew; the client is not stuck."""
        rig, client = self.bound(connectors={"one": "main", "two": "main"})
        rig.connectors[rig.served[-1]].cut()
        rig.network.run()
        for _ in range(3):
            self.sign_on(rig, client)
        self.assertEqual((len(set(rig.served)), len(rig.backends)), (2, 2))
        self.assert_quiet(rig)

    def test_ntlm_tunnel_breaks_under_way(self) -> None:
        """A safe request under way goes to another connector, and begins anew there."""
        rig, client = self.bound(connectors={"one": "main", "two": "main"})
        for method, status in ((b"GET", 200), (b"DELETE", 502)):
            client.send(request(method + b" / HTTP/1.1", NTLM))
            tunnel = rig.connectors[rig.served[-1]]
            tunnel.cut()
            rig.network.run()
            if status == 200:
                rig.backend.send(EMPTY)
            self.assertEqual(Head(client.take()).status, status)
            rig.connect_tunnel(tunnel.id)
        self.sign_on(rig, client)
        self.assert_quiet(rig)

    def test_ntlm_connector_drains(self) -> None:
        """A connector that is about to stop signs nobody on any more; what was bound there is closed."""
        rig, client = self.bound(connectors={"one": "main", "two": "main"})
        old, connector = rig.backend, rig.connectors[rig.served[-1]]
        _, other = self.busy(rig, connector)
        connector.protocol.drain(30)
        rig.network.run()
        for _ in range(3):
            self.sign_on(rig, client)
            self.assertNotEqual(rig.served[-1], connector.id)
        self.assertTrue(old.ended)
        self.assertFalse(connector.protocol.lost.called)
        other.send(EMPTY)
        self.assertTrue(connector.protocol.lost.called)
        self.assert_quiet(rig)

    def test_ntlm_session_ends(self) -> None:
        """Signing out closes what was signed on for that session, and nothing else."""
        session_id, cookie = self.signed_in()
        other = self.rig.cookie(self.rig.sign_in(EVE), HR.decode()).rstrip()
        backends = []
        for each in (cookie, other):
            client = self.send(request(b"GET / HTTP/1.1", each, NTLM, host=HR), HR)
            backends.append(self.rig.backend)
            self.rig.backend.send(EMPTY)
            client.take()
        self.rig.end_session(session_id)
        self.assertEqual([each.ended for each in backends], [True, False])

    def test_ntlm_binds_its_own_group_only(self) -> None:
        """Another group's application on the same client connection goes to its own group's connector."""
        rig = self.make_rig(
            {
                "wiki": application("wiki", pre_authentication="passthrough"),
                "docs": application(
                    "docs",
                    pre_authentication="passthrough",
                    connector_group="other",
                    external_url=f"https://wiki.{DOMAIN}/docs/",
                ),
            },
            connectors={"one": "main", "two": "other"},
        )
        client = rig.client()
        for path, host in ((b"/", "wiki"), (b"/docs/", "docs"), (b"/", "wiki"), (b"/docs/", "docs")):
            client.send(request(b"GET " + path + b" HTTP/1.1", b"Authorization: NTLM TlRM", host=WIKI))
            self.assertTrue(rig.behind.dialled, host)
            backend = next(each for name, each in rig.behind.dialled if name == f"{host}.internal.example")
            self.assertTrue(backend.take())
            backend.send(OK + b"Content-Length: 0\r\n\r\n")
            self.assertEqual(Head(client.take()).status, 200)
        self.assertEqual(len(rig.backends), 2)
        self.assert_quiet(rig)
