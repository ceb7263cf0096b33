"""L{appproxy.connector.request_head}."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from appproxy.connector.request_head import UnfitHead, request_head
from appproxy.connector.served import Served
from appproxy.httpwire.block import Block, blocks_of
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import Fields, field, fields
from appproxy.httpwire.heads import NO_BODY, UNTIL_END
from appproxy.sso.modes import NoMode, SignOns
from appproxy.transport.wheel import TimerWheel
from tests.connector.support import Backends, backend

FRAMING = (
    b"Host",
    b"Connection",
    b"Content-Length",
    b"Transfer-Encoding",
    b"TE",
    b"Trailer",
    b"Keep-Alive",
    b"Proxy-Connection",
    b"Proxy-Authorization",
    b"HTTP2-Settings",
)
SSO: dict[str, Any] = {"mode": "headers", "headers": {"X-Remote-User": {"claim": "subject"}}}


def served(**options: Any) -> Served:
    """One application."""
    clock = Clock()
    described = backend(**options)
    pool = Backends(clock, TimerWheel(clock)).pool(described)
    return Served(described, "", pool, SignOns(["none", "headers"]).of(described))


def made(
    application: Served | None = None,
    method: bytes = b"GET",
    target: bytes = b"/",
    headers: Fields | None = None,
    signed_on: Fields | None = None,
    body: int = NO_BODY,
    upgrade: bool = False,
) -> tuple[bytes | None, bytes]:
    """The upgrade's token and the head's bytes."""
    return request_head(
        application or served(), method, target, blocks_of(headers or []), signed_on or [], body, upgrade
    )


class RequestHeadTests(SynchronousTestCase):
    """L{request_head}."""

    def test_host(self) -> None:
        """The backend gets its own name, or the outer one where the application wants that."""
        self.assertIn(
            b"\r\nHost: wiki.corp.example:8080\r\n",
            made(served(internal="http://wiki.corp.example:8080/"))[1],
        )
        plain = backend().model_copy(update={"translate_host_header": False})
        outer = Served(plain, "", served().pool, NoMode())
        self.assertIn(b"\r\nHost: wiki.apps.example.com\r\n", made(outer)[1])

    def test_framing(self) -> None:
        """The framing is this hop's own."""
        self.assertIn(b"\r\nContent-Length: 7\r\n", made(method=b"POST", body=7)[1])
        self.assertIn(b"\r\nContent-Length: 0\r\n", made(method=b"POST", body=0)[1])
        self.assertIn(b"\r\nTransfer-Encoding: chunked\r\n", made(method=b"POST", body=UNTIL_END)[1])
        self.assertNotIn(b"ength", made()[1])

    def test_hostile_framing(self) -> None:
        """An edge that sends framing or routing of its own, however spelt, gets nowhere."""
        for name in FRAMING:
            for spelt in (
                name,
                name.lower(),
                name.upper(),
                name.replace(b"-", b"_"),
                name.replace(b"-", b"."),
                b"-" + name + b"_",
            ):
                self.assertRaises(UnfitHead, made, headers=[field(spelt, b"1")])

    @settings(max_examples=100)
    @given(st.data())
    def test_owned_headers(self, data: st.DataObject) -> None:
        """
        No spelling of a header that sign-on sends passes from outside.

        Security row 1.
        """
        spelt = b"".join(
            data.draw(st.sampled_from([bytes([each]).lower(), bytes([each]).upper()]))
            + data.draw(st.sampled_from([b"", b"", b"", b"-", b"_", b"."]))
            for each in b"xremoteuser"
        )
        head = made(
            served(sso=SSO, passthrough=False),
            headers=[field(spelt, b"eve")],
            signed_on=[field(b"X-Remote-User", b"ada")],
        )
        self.assertNotIn(b"eve", head[1])
        self.assertEqual(head[1].count(b"X-Remote-User: ada"), 1)

    def test_other_headers_pass(self) -> None:
        """Everything else passes as it came, in its order."""
        headers = fields([(b"A", b"1"), (b"b", b""), (b"A", b"2"), (b"Authorization", b"Basic eA==")])
        head = made(headers=headers)[1]
        self.assertTrue(head.endswith(b"\r\nA: 1\r\nb: \r\nA: 2\r\nAuthorization: Basic eA==\r\n\r\n"))

    def test_no_host_in_the_target(self) -> None:
        """
        What an edge asks for below the application's path names no other host at its server.

        Security row 7.
        """
        below = served(external="https://apps.example.com/wiki/")
        self.assertTrue(made(below, target=b"/wiki/x//y")[1].startswith(b"GET /x//y HTTP/1.1\r\n"))
        for target in (b"/wiki//evil.example/x", b"/wiki//", b"/%77iki//evil.example/x"):
            self.assertRaises(BadMessage, made, below, target=target)

    def test_request_id(self) -> None:
        """The request's id comes behind the client's headers, before those of sign-on."""
        application = served()
        head = request_head(
            application,
            b"GET",
            b"/",
            [Block([field(b"A", b"1")])],
            [field(b"B", b"2")],
            NO_BODY,
            False,
            "01JABC",
        )[1]
        self.assertTrue(head.endswith(b"\r\nA: 1\r\nX-Request-Id: 01JABC\r\nB: 2\r\n\r\n"))

    def test_same_block_again(self) -> None:
        """Headers that come again pass alike, to each application what it may see and as it knows it."""
        block = Block(
            fields(
                [
                    (b"Accept", b"a"),
                    (b"x_remote_user", b"evil"),
                    (b"Origin", b"https://wiki.example"),
                    (b"B", b"b"),
                ]
            )
        )
        harmless = Block(fields([(b"C", b"c"), (b"D", b"d")]))
        plain, with_users = served(), served(sso=SSO)
        first = [
            request_head(each, b"GET", b"/", [block, harmless], [], NO_BODY, False)
            for each in (plain, with_users)
        ]
        for _ in range(2):
            for application, expected in zip((plain, with_users), first, strict=True):
                again = request_head(application, b"GET", b"/", [block, harmless], [], NO_BODY, False)
                self.assertEqual(again, expected)
        self.assertIn(b"evil", first[0][1])
        self.assertNotIn(b"evil", first[1][1])
        for _, head in first:
            self.assertIn(b"Accept: a\r\n", head)
            self.assertTrue(head.endswith(b"\r\nB: b\r\nC: c\r\nD: d\r\n\r\n"))

    def test_upgrade(self) -> None:
        """An upgrade that the application allows is asked for."""
        token, head = made(headers=fields([(b"Upgrade", b"WebSocket"), (b"A", b"1")]), upgrade=True)
        self.assertEqual(token, b"websocket")
        self.assertTrue(head.endswith(b"\r\nA: 1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"))

    def test_bad_upgrade(self) -> None:
        """One that it does not, or that two places say differently, is not."""
        websocket = field(b"Upgrade", b"websocket")
        for method, headers, upgrade in (
            (b"GET", [field(b"Upgrade", b"h2c")], True),
            (b"GET", [], True),
            (b"GET", [websocket], False),
            (b"GET", [websocket, field(b"upgrade", b"h2c")], True),
            (b"GET", [field(b"Upgrade", b"\xff")], True),
            (b"POST", [websocket], True),
        ):
            self.assertRaises(UnfitHead, made, method=method, headers=headers, upgrade=upgrade)

    def test_target(self) -> None:
        """The client's bytes of the path, below the application's own."""
        below = served(internal="http://wiki.corp.example/inner/", external="https://x.example.com/outer/")
        self.assertTrue(
            made(below, target=b"/outer/a%20b?q=/outer/")[1].startswith(b"GET /inner/a%20b?q=/outer/ HTTP")
        )
        self.assertTrue(made(target=b"/a%2Fb//c;d?x")[1].startswith(b"GET /a%2Fb//c;d?x HTTP"))

    def test_hostile_target(self) -> None:
        """An edge can ask for nothing beside the application: no other host, no other path."""
        below = served(internal="http://wiki.corp.example/inner/", external="https://x.example.com/outer/")
        for target in (b"http://evil.example/", b"evil.example:80", b"*", b"x"):
            self.assertRaises(UnfitHead, made, target=target)
        for target in (
            b"/other/",
            b"/outer/../admin",
            b"/outer/%2e%2e/admin",
            b"/outer/..%2fadmin",
            b"/outer/..;/x",
        ):
            self.assertRaises(BadMessage, made, below, target=target)
        self.assertRaises(UnfitHead, made, method=b"CONNECT", target=b"/")
        self.assertTrue(made(method=b"OPTIONS", target=b"*")[1].startswith(b"OPTIONS * HTTP"))

    def test_line_ends(self) -> None:
        """Nothing becomes a second line."""
        for name, value in ((b"A", b"1\r\nB: 2"), (b"A\r\nB", b"1"), (b"A", b"\0"), (b"A b", b"1")):
            self.assertRaises(BadMessage, field, name, value)
        self.assertRaises(BadMessage, made, target=b"/a b")
        self.assertRaises(BadMessage, made, method=b"GET /x")
