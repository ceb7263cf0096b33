"""
The contract about connectors that come and go, and catalogs that are under way.
"""

from __future__ import annotations

from typing import Final

from tests.contract.rig import DOMAIN, OPEN_TO_ALL, application
from tests.contract.support import ContractCase, Head, request

OK: Final = b"HTTP/1.1 200 OK\r\n"
EMPTY: Final = OK + b"Content-Length: 0\r\n\r\n"
NEW: Final = b"new." + DOMAIN.encode()
TWO: Final = {"one": "main", "two": "main"}


class DeparturesContract(ContractCase):
    """What is under way goes on as long as it can; what begins finds its way."""

    def test_connector_drains(self) -> None:
        """A connector that is about to stop ends what it has; new requests go elsewhere."""
        rig = self.make_rig(connectors=TWO)
        first = rig.client()
        first.send(request(b"GET /long HTTP/1.1"))
        backend, connector = rig.backend, rig.connectors[rig.served[-1]]
        backend.send(OK + b"Content-Length: 4\r\n\r\nab")
        connector.protocol.retire(30)
        rig.network.run()
        for _ in range(3):
            client = rig.client()
            client.send(request())
            rig.backend.send(EMPTY)
            self.assertEqual(Head(client.take()).status, 200)
        self.assertNotIn(connector.id, rig.served[1:])
        backend.send(b"cd")
        self.assertEqual(Head(first.take()).rest, b"abcd")
        self.assertTrue(connector.protocol.lost.called)
        self.assert_quiet(rig)

    def test_upload_meets_a_connector_that_drains(self) -> None:
        """An upload that is on its way when a connector begins to stop, and cannot be repeated, is served."""
        rig = self.make_rig(connectors=TWO)
        client, other = rig.client(), rig.client()
        upload = request(b"POST / HTTP/1.1", b"Content-Length: 6", body=b"abc")
        for each in (client, other):
            each.transport.write(upload)
            each.transport.step()
        # One by each connector, of which one begins to stop now.
        rig.connectors["one"].protocol.retire(30)
        rig.network.run()
        self.assertEqual(sorted(rig.served), ["one", "two"])
        for each in (client, other):
            each.send(b"def")
        for backend in rig.backends:
            self.assertEqual(Head(backend.take()).rest, b"abcdef")
            backend.send(EMPTY)
        self.assertEqual([Head(each.take()).status for each in (client, other)], [200, 200])
        self.assertTrue(rig.connectors["one"].protocol.lost.called)
        self.assert_quiet(rig)

    def test_drained_too_late(self) -> None:
        """What does not end in time is broken off; what was not answered yet is answered by another."""
        rig = self.make_rig(connectors=TWO)
        clients = [rig.client() for _ in range(4)]
        for each in clients:
            each.send(request())
        here = [number for number in range(4) if rig.served[number] == rig.served[0]]
        answered, waiting = clients[here[0]], clients[here[1]]
        rig.backends[here[0]].send(OK + b"Content-Length: 4\r\n\r\nab")
        connector = rig.connectors[rig.served[0]]
        connector.protocol.retire(1)
        rig.pass_time(2)
        self.assertEqual(Head(answered.take()).rest, b"ab")
        self.assertTrue(answered.ended)
        self.assertNotEqual(rig.served[-1], connector.id)
        rig.backend.send(EMPTY)
        self.assertEqual(Head(waiting.take()).status, 200)
        self.assert_quiet(rig)

    def test_last_connector_goes_and_comes(self) -> None:
        """Without any connector there is an answer at once; with the next one it works again."""
        client = self.rig.client()
        connector = self.rig.connectors["hq"]
        for seconds in (0, 5):
            connector.cut()
            self.rig.network.run()
            self.rig.pass_time(seconds)
            client.send(request())
            self.assertEqual(Head(client.take()).status, 504)
            self.assertEqual(self.reasons[-1], (504, "no_connector"))
            connector = self.rig.connect_tunnel("hq")
            self.assert_works(client)

    def judge_by_another(self) -> None:
        """The gate knows an application that nobody else has heard of yet."""
        self.rig.judge_by({**self.applications, "new": application("new", **OPEN_TO_ALL)})

    def test_overtaken_catalog(self) -> None:
        """A request that was judged by a catalog which is still under way waits for it, with its body."""
        rig = self.rig
        self.judge_by_another()
        client = self.send(request(b"POST / HTTP/1.1", b"Content-Length: 6", body=b"abc", host=NEW), NEW)
        client.send(b"def")
        rig.pass_time(1)
        self.assertEqual((rig.backends, client.take()), ([], b""))
        rig.tell()
        head = Head(rig.backend.take())
        self.assertEqual((head.all(b"host"), head.rest), ([b"new.internal.example:8080"], b"abcdef"))
        rig.backend.send(EMPTY)
        self.assertEqual(Head(client.take()).status, 200)
        self.assertEqual(rig.finished[-1].retries, 0)

    def test_client_leaves_meanwhile(self) -> None:
        """Nobody is asked for a client that left while its request waited."""
        self.judge_by_another()
        client = self.send(request(host=NEW), NEW)
        client.leave()
        self.rig.tell()
        self.rig.pass_time(5)
        self.assertEqual((self.rig.backends, self.reasons), ([], [(0, "client_gone")]))

    def test_stale(self) -> None:
        """A catalog that does not come makes a request wait for some seconds, not for ever."""
        self.judge_by_another()
        client = self.send(request(host=NEW), NEW)
        self.rig.pass_time(6)
        status = Head(client.take()).status
        self.assertEqual(self.reasons, [(status, "stale")])
        self.assertEqual(status, 503)
        self.rig.tell()
        self.assert_works(client, NEW)
