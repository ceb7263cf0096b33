"""Attacks on the edge with HTTP itself: identity headers, smuggling, paths."""

from __future__ import annotations

from typing import Final

from tests.integration.support.attacked import AttackTestCase
from tests.integration.support.attacker import Pairs
from tests.integration.support.spellings import EVIL, FORWARDING, IDENTITY, spoofed

SECRET_PAGE: Final = b"the payroll of everybody"


class IdentityHeaderTests(AttackTestCase):
    """What the application is told about the user comes from nobody but us."""

    def seen_with(self, headers: Pairs, name: str, target: str) -> dict[str, list[bytes]]:
        """The variables that the application gets, with headers in portions that the edge takes."""
        variables: dict[str, list[bytes]] = {}
        with self.wire(name) as wire:
            for start in range(0, len(headers), 100):
                answer = wire.ask(self.host(name), target, headers=headers[start : start + 100])
                self.assertEqual(answer.status, 200, answer.body)
                for variable, values in answer.seen.cgi.items():
                    variables.setdefault(variable, []).extend(values)
                self.assertNotIn(EVIL, answer.body)
        return variables

    def test_signed_in(self) -> None:
        """
        Whatever a user sends, the application sees one value of each header: ours.

        Security row 1.
        """
        cookie = self.cookie(self.signed_in())
        headers = spoofed((*IDENTITY, *FORWARDING))
        for start in range(0, len(headers), 100):
            answer = self.ask("echo", headers=[cookie, *headers[start : start + 100], (b"X-Mine", b"kept")])
            cgi = answer.seen.cgi
            self.assertNotIn(EVIL, answer.body)
            self.assertEqual(cgi["X_REMOTE_USER"], [b"ada@example.com"])
            self.assertEqual((cgi["X_TENANT"], cgi["X_MINE"]), ([b"ours"], [b"kept"]))
            self.assertEqual(cgi["X_FORWARDED_FOR"], [b"127.0.0.1"])
            self.assertEqual(cgi["X_FORWARDED_PROTO"], [b"https"])
            self.assertEqual(len(cgi["FORWARDED"]) + len(cgi["X_REQUEST_ID"]), 2)

    def test_without_sign_in(self) -> None:
        """
        The same where nobody signs in, of an application that believes such headers elsewhere.

        Security row 2.
        """
        for name, target in (("open", "/"), ("echo", "/public/"), ("open", "/a?b"), ("echo", "/public/x")):
            cgi = self.seen_with(spoofed((*IDENTITY, *FORWARDING)), name, target)
            self.assertNotIn("X_REMOTE_USER", cgi, (name, target))
            self.assertNotIn("X_TENANT", cgi, (name, target))

    def test_other_methods_and_forms(self) -> None:
        """
        Nor do they pass with another method, version or form of target, in trailers, with an upgrade.

        Security row 2.
        """
        host = self.host("open").encode()
        spoof = b"X-Remote-User: " + EVIL + b"\r\nX_Forwarded.For: " + EVIL + b"\r\n"
        chunked = b"Transfer-Encoding: chunked\r\nTrailer: X-Remote-User\r\n\r\n1\r\na\r\n0\r\n"
        for request in (
            b"OPTIONS / HTTP/1.1\r\nHost: " + host + b"\r\nOrigin: https://x\r\n" + spoof + b"\r\n",
            b"POST / HTTP/1.1\r\nHost: " + host + b"\r\n" + spoof + b"Content-Length: 1\r\n\r\na",
            b"POST / HTTP/1.1\r\nHost: " + host + b"\r\n" + chunked + spoof + b"\r\n",
            b"GET / HTTP/1.0\r\nHost: " + host + b"\r\n" + spoof + b"\r\n",
            b"GET https://" + host + b"/ HTTP/1.1\r\nHost: " + host + b"\r\n" + spoof + b"\r\n",
            b"GET / HTTP/1.1\r\nHost: "
            + host
            + b"\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
            + spoof
            + b"\r\n",
        ):
            with self.wire("open") as wire:
                wire.send(request)
                answer = wire.answer()
            assert answer is not None
            self.assertEqual(answer.status, 200, (request, answer.body))
            self.assertNotIn(EVIL, answer.body)

    def test_connection_cannot_name_them_away(self) -> None:
        """
        No token of Connection takes away what we tell the application.

        Security row 3.
        """
        cookie = self.cookie(self.signed_in())
        tokens = b", ".join([*IDENTITY, *FORWARDING, b"Host", b"Content-Length"])
        for value in (
            b"close, " + tokens,
            tokens.lower(),
            tokens.upper(),
            b"keep-alive," + tokens.replace(b" ", b"\t"),
        ):
            cgi = self.ask("echo", headers=[cookie, (b"Connection", value)]).seen.cgi
            self.assertEqual(cgi["X_REMOTE_USER"], [b"ada@example.com"], value)
            self.assertEqual(cgi["X_FORWARDED_FOR"], [b"127.0.0.1"], value)
            self.assertEqual(len(cgi["HOST"]), 1, value)

    def test_denied_reach_nobody(self) -> None:
        """
        Refused requests never reach the application, and no byte of it is in their answers.

        Security row 21.
        """
        self.backend.answers[b"/payroll"] = b"HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n" + SECRET_PAGE
        self.addCleanup(self.backend.answers.clear)
        ada = self.cookie(self.signed_in())
        grace = self.signed_in("denied")
        requests: list[tuple[str, str, Pairs]] = [
            ("echo", "GET", []),
            ("echo", "GET", [(b"Sec-Fetch-Mode", b"navigate")]),
            ("echo", "POST", [(b"Accept", b"text/html")]),
            ("echo", "OPTIONS", [(b"Origin", b"https://x"), (b"Access-Control-Request-Method", b"GET")]),
            ("echo", "HEAD", []),
            ("echo", "GET", [(b"Connection", b"upgrade"), (b"Upgrade", b"websocket")]),
            ("echo", "GET", [(b"Cookie", b"__Host-appproxy-session=AAAA")]),
            ("echo", "GET", [(b"User-Agent", b"kube-probe/1.29"), (b"X-Health-Check", b"1")]),
            ("echo", "PROPFIND", [(b"Authorization", b"Bearer x.y.z")]),
            ("denied", "GET", [self.cookie(grace, "denied")]),
            ("denied", "GET", [ada]),
            ("denied", "POST", [self.cookie(grace, "denied")]),
        ]
        for name, method, headers in requests:
            answer = self.ask(name, "/payroll", method, [*headers, *spoofed(IDENTITY)[:20]])
            self.assertIn(answer.status, (302, 401, 403), (name, method, headers))
            self.assertNotIn(SECRET_PAGE, answer.body)
        self.assertEqual(self.backend.seen, [])


class SmugglingTests(AttackTestCase):
    """Two readings of one stream of bytes do not exist here."""

    def test_rewritten(self) -> None:
        """
        A body that is sent in chunks reaches the application without any byte of the client's framing.

        Security row 26.
        """
        host = self.host("open").encode()
        inner = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        chunks = b'%x;a=b;c="d"\r\n%b\r\n000\r\nX-Sum: 1\r\nX-Remote-User: x\r\n\r\n' % (len(inner), inner)
        with self.wire("open") as wire:
            head = b"POST /up HTTP/1.1\r\nHost: " + host + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
            wire.send(head + chunks + b"GET /next HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            first, second = wire.answer(), wire.answer()
        assert first is not None and second is not None
        self.assertEqual((first.seen.body, second.seen.target), (inner, b"/next"))
        self.assertEqual([seen.target for seen in self.backend.seen], [b"/up", b"/next"])

    def test_body_of_a_get_and_of_an_upgrade(self) -> None:
        """A body behind a GET, or behind an upgrade that asks for one, is a body and no request."""
        host = self.host("open").encode()
        inner = b"GET /smuggled HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
        length = b"Content-Length: %d\r\n\r\n" % len(inner)
        for extra in (
            b"",
            b"Connection: upgrade\r\nUpgrade: websocket\r\n",
            b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        ):
            self.backend.seen.clear()
            with self.wire("open") as wire:
                wire.send(b"GET /x HTTP/1.1\r\nHost: " + host + b"\r\n" + extra + length + inner)
                answer = wire.answer()
                wire.send(b"GET /last HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
                wire.answer()
            assert answer is not None
            self.assertEqual(answer.seen.body, inner, extra)
            self.assertEqual([seen.target for seen in self.backend.seen], [b"/x", b"/last"], extra)


class PathTests(AttackTestCase):
    """The path that was judged is the path that the application gets."""

    def test_no_way_out_of_the_public_part(self) -> None:
        """
        No spelling of a path leads from what is open to what needs sign-in.

        Security row 7.
        """
        for path in (
            *(
                "../private",
                "%2e%2e/private",
                "%2E%2e/private",
                ".%2e/private",
                "..%2fprivate",
                "..%5cprivate",
            ),
            *("..\\private", "x/../../private", "..;/private", "..;a=b/private", "%252e%252e/private"),
            *(
                "%c0%ae%c0%ae/private",
                "%00/../private",
                "..%00/private",
                "%2e%2e%2fprivate",
                "..%252fprivate",
            ),
            *(
                "./../private",
                "%09../private",
                "..%20/private",
                "%ff/../private",
                "%u002e%u002e/private",
                "..%c0%afprivate",
            ),
            *("/../private", "%2f..%2fprivate", "a%2f..%2f..%2fprivate", "x;/../../private"),
        ):
            answer = self.ask("echo", f"/public/{path}")
            self.assertIn(answer.status, (400, 302), path)
        for target in (
            "//public/",
            "/public%2fx",
            "/%70ublic%2f",
            "/x/..;/public/",
            "/public;/x",
            "/PUBLIC/",
            "/public/;x",
        ):
            self.assertIn(self.ask("echo", target).status, (400, 302), target)
        self.assertEqual(self.backend.seen, [])

    def test_query_is_no_path(self) -> None:
        """
        What stands in a query opens nothing.

        Security row 8.
        """
        for target in (
            "/private?x=/public/",
            "/?/public/",
            "/private?/../public/",
            "/private%3f/public/",
            "/private%23/public/",
        ):
            self.assertEqual(self.ask("echo", target).status, 302, target)
        self.assertEqual(self.ask("echo", "/private#/public/").status, 400)
        self.assertEqual(self.backend.seen, [])

    def test_bytes_pass_as_they_came(self) -> None:
        """
        What is let through reaches the application byte for byte.

        Security row 7.
        """
        for target in (
            "/a%20b?c=%2f&d=//e;f",
            "/%C3%A4?%ff",
            "/a+b/%7euser/",
            "/.well-known/x",
            "/...",
            "/a.?b|c{d}",
        ):
            answer = self.ask("open", target)
            self.assertEqual((answer.status, answer.seen.target), (200, target.encode()), target)
            public = self.ask("echo", "/public" + target)
            self.assertEqual((public.status, public.seen.target), (200, b"/public" + target.encode()), target)
