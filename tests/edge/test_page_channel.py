"""
Tests of L{appproxy.edge.page_channel}, L{appproxy.edge.site} and
L{appproxy.edge.published}: pages of ours over a client connection.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from appproxy.edge.page_channel import MAXIMUM_FORM_BYTES
from tests.contract.rig import DOMAIN, Client
from tests.contract.support import HR, WIKI, ContractCase, Head, request

AUTH = b"auth." + DOMAIN.encode()
PORTAL = b"portal." + DOMAIN.encode()
FORM = b"Content-Type: application/x-www-form-urlencoded"


class Page(Resource):
    """A page that a test scripts."""

    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)
        self.requests: list[Any] = []
        self.gone: list[object] = []
        self.answer: Any = b"page"

    def render(self, request: Request) -> Any:
        """Note it, and answer as scripted."""
        self.requests.append(request)
        request.notifyFinish().addErrback(self.gone.append)
        return self.answer(request) if callable(self.answer) else self.answer


class PageCase(ContractCase):
    """Has a page at C{/.appproxy/test} of every host."""

    def setUp(self) -> None:
        super().setUp()
        self.page = Page()
        self.rig.web._site._reserved.putChild(b"test", self.page)

    def open(
        self, line: bytes = b"GET /.appproxy/test HTTP/1.1", *headers: bytes, body: bytes = b""
    ) -> Client:
        """A client that asks for the page."""
        return self.send(request(line, *headers, body=body))


class PageTests(PageCase):
    """Requests and answers."""

    def test_get(self) -> None:
        """The page knows who asks, how and from where; its answer is framed by the channel."""
        connection: list[object] = []

        def answer(asked: Any) -> bytes:
            connection.extend((asked.isSecure(), asked.getClientAddress().host, asked.getHost().port))
            return b"page"

        self.page.answer = answer
        client = self.open(b"GET /.appproxy/test?a=b%20c HTTP/1.1", b"X-Y: z")
        self.assertEqual(connection, [True, "192.0.2.7", 443])
        head = Head(client.take())
        self.assertEqual((head.status, head.rest), (200, b"page"))
        self.assertEqual(head.all(b"content-length"), [b"4"])
        (asked,) = self.page.requests
        self.assertEqual(asked.args, {b"a": [b"b c"]})
        self.assertEqual(asked.getHeader(b"x-y"), b"z")
        self.assertEqual((asked.client_address, asked.host_name), ("192.0.2.7", WIKI))
        self.assertEqual(asked.origin, "https://" + WIKI.decode())
        self.assertEqual(asked.transaction_id, self.rig.finished[0].id)
        self.assertEqual(self.reasons, [(200, "")])

    def test_tells_nothing(self) -> None:
        """No page says what software makes it."""
        self.assertNotIn(b"server", Head(self.open().take()).names)

    def test_not_compressed(self) -> None:
        """
        No page of ours is compressed: its length would tell of secrets in it (BREACH).

        Security row 32.
        """
        self.page.answer = lambda asked: b"a" * 50_000
        head = Head(self.open(b"GET /.appproxy/test HTTP/1.1", b"Accept-Encoding: gzip, br, zstd").take())
        self.assertEqual((head.all(b"content-encoding"), len(head.rest)), ([], 50_000))

    def test_head(self) -> None:
        """HEAD gets the head alone."""
        head = Head(self.open(b"HEAD /.appproxy/test HTTP/1.1").take())
        self.assertEqual((head.all(b"content-length"), head.rest), ([b"4"], b""))

    def test_pipelined(self) -> None:
        """Pages and applications are answered in their order on one connection."""
        client = self.open(body=request(b"GET /x HTTP/1.1") + request(b"GET /.appproxy/test HTTP/1.1"))
        self.assertTrue(client.take().endswith(b"page"))
        self.rig.backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
        self.assertEqual(client.take().count(b"HTTP/1.1 200"), 2)
        self.assertEqual(len(self.page.requests), 2)

    def test_http_1_0(self) -> None:
        """A client of 1.0 gets a page too."""
        client = self.open(b"GET /.appproxy/test HTTP/1.0")
        self.assertTrue(client.take().endswith(b"\r\n\r\npage"))
        self.assertTrue(client.ended)

    def test_later(self) -> None:
        """A page that takes its time, and comes in pieces, is chunked."""
        self.page.answer = NOT_DONE_YET
        client = self.open()
        (asked,) = self.page.requests
        asked.write(b"one")
        self.rig.network.run()
        self.assertEqual(Head(client.take()).rest, b"3\r\none\r\n")
        asked.finish()
        self.rig.network.run()
        self.assertEqual(client.take(), b"0\r\n\r\n")
        self.assert_works(client)

    def test_client_leaves(self) -> None:
        """A page that is still at work is told that nobody waits."""
        self.page.answer = NOT_DONE_YET
        self.open().leave()
        self.assertEqual(len(self.page.gone), 1)
        self.assertEqual(self.reasons, [(0, "client_gone")])

    def test_slow_reader(self) -> None:
        """A page that produces its body follows the client's pace."""
        told: list[str] = []

        @implementer(IPushProducer)
        class Producer:
            """Notes what it is told."""

            def pauseProducing(self) -> None:
                told.append("pause")

            def resumeProducing(self) -> None:
                told.append("resume")

            def stopProducing(self) -> None:
                told.append("stop")

        self.page.answer = NOT_DONE_YET
        client = self.open()
        (asked,) = self.page.requests
        asked.registerProducer(Producer(), True)
        client.stop_reading()
        asked.write(b"x" * 100_000)
        self.rig.network.run()
        self.assertEqual(told, ["pause"])
        client.go_on_reading()
        self.assertEqual(told, ["pause", "resume"])
        asked.unregisterProducer()
        asked.finish()

    def test_gives_up(self) -> None:
        """A page that drops the connection has its line in the log."""
        self.page.answer = NOT_DONE_YET
        client = self.open()
        self.page.requests[0].loseConnection()
        self.rig.network.run()
        self.assertTrue(client.ended)
        self.assertEqual(len(self.rig.finished), 1)


class FormTests(PageCase):
    """Bodies for pages."""

    def test_form(self) -> None:
        """A form is read, whole or in pieces."""
        client = self.open(b"POST /.appproxy/test HTTP/1.1", FORM, b"Content-Length: 7", body=b"a=1&")
        self.assertEqual(self.page.requests, [])
        client.send(b"b=2")
        self.assertEqual(self.page.requests[0].args, {b"a": [b"1"], b"b": [b"2"]})
        self.assertEqual(Head(client.take()).rest, b"page")
        self.assertEqual(self.rig.finished[0].bytes_in, 7)

    def test_chunked(self) -> None:
        """So is one without a length."""
        self.open(
            b"POST /.appproxy/test HTTP/1.1",
            FORM,
            b"Transfer-Encoding: chunked",
            body=b"3\r\na=1\r\n0\r\n\r\n",
        )
        self.assertEqual(self.page.requests[0].args, {b"a": [b"1"]})

    def test_too_large(self) -> None:
        """A form that is none of ours is refused at once where its length is known, else as it grows."""
        size = MAXIMUM_FORM_BYTES + 1
        client = self.open(b"POST /.appproxy/test HTTP/1.1", FORM, b"Content-Length: %d" % size)
        self.assertEqual(Head(client.take()).status, 400)
        client.send(b"x" * size)
        self.assert_works(client)
        client.leave()
        client = self.open(
            b"POST /.appproxy/test HTTP/1.1",
            FORM,
            b"Transfer-Encoding: chunked",
            body=b"%x\r\n" % size + b"x" * size,
        )
        self.assertEqual(Head(client.take()).status, 400)
        self.assertEqual(self.page.requests, [])
        self.assertEqual([reason for status, reason in self.reasons if status == 400], ["form_too_large"] * 2)

    def test_unreadable(self) -> None:
        """A form that nobody can read is refused."""
        client = self.open(
            b"POST /.appproxy/test HTTP/1.1",
            b"Content-Type: multipart/form-data",
            b"Content-Length: 3",
            body=b"abc",
        )
        self.assertEqual(Head(client.take()).status, 400)
        self.assertEqual(self.reasons, [(400, "form")])

    def test_client_leaves(self) -> None:
        """A form that does not come to its end is no form."""
        client = self.open(b"POST /.appproxy/test HTTP/1.1", FORM, b"Content-Length: 7", body=b"a=1")
        client.leave()
        self.assertEqual(self.page.requests, [])
        self.assertEqual(self.reasons, [(0, "client_gone")])

    def test_slow(self) -> None:
        """Nor does one that never ends keep its connection."""
        client = self.open(b"POST /.appproxy/test HTTP/1.1", FORM, b"Content-Length: 7", body=b"a=1")
        self.rig.pass_time(35)
        self.assertEqual(Head(client.take()).status, 408)
        self.assertEqual(self.reasons, [(408, "body_too_slow")])


class BugTests(PageCase):
    """Pages that raise."""

    def test_raises(self) -> None:
        """A page of ours says so, with the transaction's id; the traceback is in the log."""

        def fail(_request: Request) -> bytes:
            raise ZeroDivisionError

        self.page.answer = fail
        client = self.open()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        head = Head(client.take())
        self.assertEqual(head.status, 500)
        self.assertIn(self.rig.finished[0].id.encode(), head.rest)
        self.assertEqual(self.reasons, [(500, "bug")])
        self.assert_works(client)

    def test_raises_in_the_answer(self) -> None:
        """One that has begun is broken off."""

        def fail(asked: Request) -> bytes:
            asked.write(b"half a pa")
            raise ZeroDivisionError

        self.page.answer = fail
        client = self.open()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(client.ended)
        self.assertFalse(client.take().endswith(b"0\r\n\r\n"))

    def test_pull_producer(self) -> None:
        """A kind of page that would never end is a mistake that shows."""
        self.page.answer = lambda asked: asked.registerProducer(object(), False)
        client = self.open()
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertEqual(Head(client.take()).status, 500)


class SiteTests(ContractCase):
    """Which page stands where."""

    def test_portal(self) -> None:
        """The portal shows who signed in what they may open, and sends others to sign in."""
        cookie = self.rig.cookie(self.rig.sign_in(), PORTAL.decode()).rstrip()
        client = self.send(request(b"GET / HTTP/1.1", cookie, host=PORTAL), PORTAL)
        head = Head(client.take())
        self.assertEqual(head.status, 200)
        self.assertIn(b"https://" + HR, head.rest)
        client.send(request(b"GET / HTTP/1.1", host=PORTAL))
        head = Head(client.take())
        self.assertEqual(head.status, 302)
        self.assertTrue(head.all(b"location")[0].startswith(b"https://" + AUTH + b"/.appproxy/sign-in?"))

    def test_auth_host(self) -> None:
        """The sign-in host's root leads to the portal; nothing else is there."""
        client = self.send(request(b"GET / HTTP/1.1", host=AUTH), AUTH)
        head = Head(client.take())
        self.assertEqual((head.status, head.all(b"location")), (303, [b"https://" + PORTAL + b"/"]))
        for target in (b"/x", b"//", b"/x/"):
            client.send(request(b"GET " + target + b" HTTP/1.1", host=AUTH))
            self.assertIn(Head(client.take()).status, (400, 404), target)

    def test_reserved(self) -> None:
        """Pages of ours are on every host, those of the sign-in host on no other."""
        for host in (WIKI, HR, PORTAL, AUTH):
            client = self.send(request(b"GET /.appproxy/session HTTP/1.1", host=host), host)
            self.assertEqual(Head(client.take()).status, 401, host)
            client.send(request(b"GET /.appproxy/callback HTTP/1.1", host=host))
            status = Head(client.take()).status
            self.assertEqual(status == 404, host != AUTH, (host, status))
        self.assertEqual(self.rig.backends, [])

    def test_assets(self) -> None:
        """What the pages are made of is there for everybody, and never the application's."""
        client = self.send(request())
        self.rig.backend.transport.loseConnection()
        self.rig.network.run()
        page = Head(client.take()).rest.decode()
        end = page.index('.css"') + 4
        target = page[page.rindex('"', 0, end) + 1 : end].encode()
        client.send(request(b"GET " + target + b" HTTP/1.1"))
        head = Head(client.take())
        self.assertEqual((head.status, head.all(b"content-type")), (200, [b"text/css; charset=utf-8"]))
