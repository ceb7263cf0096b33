"""Tests of L{appproxy.httpwire.rules}."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.block import blocks_of, fields_of
from appproxy.httpwire.field import Fields, field, fields
from appproxy.httpwire.heads import RequestHead
from appproxy.httpwire.request_parser import RequestParser
from appproxy.httpwire.rules import (
    RequestRules,
    filter_trailers,
    forwarded,
    rebuild_response,
    request_id_line,
)

RULES = RequestRules([b"X-Remote-User", b"REMOTE_GROUPS"])

PASSES = (
    b"User-Agent",
    b"Accept",
    b"Authorization",
    b"Content-Type",
    b"Upgrade-Insecure-Requests",
    b"X-Custom",
    b"Range",
    b"If-None-Match",
    b"Sec-WebSocket-Key",
    b"Origin",
    b"X-Requested-With",
    b"X-CSRF-Token",
    b"Depth",
    b"Forwarded-Message",
    b"Via",
)
DROPPED = (
    b"Connection",
    b"Keep-Alive",
    b"Proxy-Connection",
    b"Proxy-Authorization",
    b"Proxy",
    b"TE",
    b"Trailer",
    b"Upgrade",
    b"HTTP2-Settings",
    b"Expect",
    b"X-Forwarded-For",
    b"X-Forwarded-Host",
    b"X-Forwarded-Proto",
    b"X-Forwarded-Port",
    b"X-Forwarded-Prefix",
    b"X-Forwarded-User",
    b"X-Forwarded-Uri",
    b"X-Forward-For",
    b"Forwarded-For",
    b"Forwarded",
    b"X-Real-IP",
    b"X-Request-Id",
    b"AppProxy-Transaction-Id",
    b"X-AppProxy-User",
    b"X-Original-URL",
    b"X-Rewrite-URL",
    b"True-Client-IP",
    b"X-Remote-User",
    b"Remote-Groups",
)


def head_of(*lines: bytes) -> RequestHead:
    """The head of a GET with these header lines, as the parser reads it."""
    head = RequestParser().feed(b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", *lines, b"", b""]))[0]
    assert isinstance(head, RequestHead)
    return head


def rebuilt(*lines: bytes) -> Fields:
    """What passes of these header lines."""
    return fields_of(RULES.rebuild(head_of(*lines)))


def answered(headers: Fields, keep_length: bool = False) -> Fields:
    """What passes of these headers of an answer."""
    return fields_of(rebuild_response(blocks_of(headers), keep_length))


def values_of(headers: Fields) -> dict[bytes, bytes]:
    """The headers by name."""
    return {each.name: each.value for each in headers}


def spellings(name: bytes) -> list[bytes]:
    """Ways to write a name that some server takes for the same."""
    cases = [name, name.lower(), name.upper(), name.swapcase()]
    marks = [b"-", b"_", b".", b"__", b"-_", b"", b"~"]
    return [case.replace(b"-", mark) for case, mark in itertools.product(cases, marks)]


class RequestTests(SynchronousTestCase):
    """What reaches an application."""

    def test_end_to_end_headers_pass(self) -> None:
        """Ordinary headers pass in their order, unchanged, duplicates too."""
        lines = [name + b": v" for name in PASSES]
        expected = [(name, b"v") for name in PASSES]
        self.assertEqual(rebuilt(*lines, *lines), expected + expected)

    def test_every_spelling_is_dropped(self) -> None:
        """
        Hop-by-hop, forwarding and identity headers are dropped, however they are written.

        Security row 4.
        """
        for name in DROPPED:
            for spelling in spellings(name):
                for blanks in (b": evil", b":evil", b":\tevil \t"):
                    if spelling.lower() in (b"connection", b"upgrade"):
                        continue
                    self.assertEqual(rebuilt(spelling + blanks, spelling + b": 2"), [], spelling)
        self.assertEqual(rebuilt(b"CONNECTION: close", b"Upgrade: x", b"Con_nection: close"), [])

    def test_look_alikes_of_framing_are_dropped(self) -> None:
        """What a CGI server would take for a length or a coding never passes."""
        for name in (
            b"Content_Length",
            b"Content.Length",
            b"Transfer_Encoding",
            b"TRANSFER_ENCODING",
            b"Ho_st",
        ):
            self.assertEqual(rebuilt(name + b": 3"), [])

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from(DROPPED[10:]), st.data())
    def test_random_spellings_are_dropped(self, name: bytes, data: st.DataObject) -> None:
        """
        Random case and any marks between the letters hide nothing.

        Security row 1.
        """
        letters = []
        for letter in name.decode().replace("-", ""):
            letters.append(data.draw(st.sampled_from([letter.lower(), letter.upper()])))
            letters.append(data.draw(st.sampled_from(["", "", "", "-", "_", ".", "~", "!", "'", "|"])))
        self.assertEqual(rebuilt("".join(letters).encode() + b": evil"), [])

    def test_names_too_long_for_the_memo(self) -> None:
        """A spelling longer than the memo takes is dropped as well."""
        self.assertEqual(rebuilt(b"X" + b"-" * 100 + b"Forwarded-For: evil"), [])

    def test_more_names_than_the_memo_takes(self) -> None:
        """Thousands of invented names change nothing."""
        rules = RequestRules()
        for number in range(5000):
            self.assertEqual(len(fields_of(rules.rebuild(head_of(b"X-%d: y" % number)))), 1)
        self.assertEqual(rules.rebuild(head_of(b"X_Forwarded_For: evil")), [])

    def test_connection_named_headers_go(self) -> None:
        """Headers that Connection names are dropped, in every case."""
        self.assertEqual(
            rebuilt(b"X-Hop: 1", b"x-HOP: 2", b"X-Stay: 3", b"Connection: close, X-Hop"),
            [(b"X-Stay", b"3")],
        )

    def test_connection_cannot_delete_ours(self) -> None:
        """A Connection token deletes what the client sent, never what is added afterwards."""
        head = head_of(b"Connection: close, x-forwarded-for, X-Remote-User, X-Request-Id")
        headers = [*RULES.rebuild(head), RULES.forwarded("192.0.2.1", head.host, b"https", 443)]
        names = [name for name, _ in fields_of(headers)]
        self.assertIn(b"X-Forwarded-For", names)

    def test_other_applications_identity_headers_pass(self) -> None:
        """Identity headers are those of one application."""
        self.assertEqual(len(RequestRules().rebuild(head_of(b"X-Remote-User: x"))), 1)

    def test_our_cookies_are_cut(self) -> None:
        """Our cookies go, the application's stay, as one header."""
        self.assertEqual(
            rebuilt(b"Cookie: a=b; __Host-appproxy-session=x", b"cookie: __HOST-APPPROXY-sign-in=y; c=d"),
            [(b"Cookie", b"a=b; c=d")],
        )
        self.assertEqual(rebuilt(b"Cookie: __Host-appproxy-session=x"), [])
        self.assertEqual(rebuilt(b"Cookie: a=b", b"Connection: cookie"), [])

    def test_cookies_are_well_formed(self) -> None:
        """Whatever stands in Cookie headers, empty ones too, becomes a well-formed header."""
        pieces = (b"", b"a=b", b";", b"; ", b"a=b;", b"__Host-appproxy-session=x", b"c=d; ", b"\t;")
        for values in itertools.product(pieces, repeat=3):
            for header in rebuilt(*(b"Cookie:" + value for value in values)):
                self.assertEqual(header, field(*header.pair), values)
        self.assertEqual(rebuilt(b"Cookie: a=b", b"Cookie:", b"Cookie: c=d"), [(b"Cookie", b"a=b; c=d")])

    def test_look_alikes_of_cookie_are_dropped(self) -> None:
        """A cookie header in another spelling hides nothing."""
        self.assertEqual(rebuilt(b"Coo_kie: __Host-appproxy-session=x", b"COOKIE_: x"), [])


class ForwardedTests(SynchronousTestCase):
    """What the application is told of the request's way."""

    def test_ipv4(self) -> None:
        """Address, host, scheme and port."""
        self.assertEqual(
            forwarded("192.0.2.1", b"wiki.example", b"https", 443).fields,
            [
                (b"X-Forwarded-For", b"192.0.2.1"),
                (b"X-Forwarded-Host", b"wiki.example"),
                (b"X-Forwarded-Proto", b"https"),
                (b"X-Forwarded-Port", b"443"),
                (b"Forwarded", b"for=192.0.2.1;host=wiki.example;proto=https"),
            ],
        )

    def test_request_id(self) -> None:
        """The transaction's id is the request's."""
        self.assertEqual(request_id_line("01JABC"), field(b"X-Request-Id", b"01JABC").line)

    def test_ipv6_and_port(self) -> None:
        """IPv6 addresses are quoted in Forwarded, an unusual port is told (RFC 7239, section 6)."""
        headers = values_of(forwarded("2001:DB8::1%eth0", b"[::1]", b"http", 8080).fields)
        self.assertEqual(headers[b"X-Forwarded-For"], b"2001:db8::1")
        self.assertEqual(headers[b"X-Forwarded-Host"], b"[::1]:8080")
        self.assertEqual(headers[b"Forwarded"], b'for="[2001:db8::1]";host="[::1]:8080";proto=http')

    def test_mapped_address(self) -> None:
        """An IPv4 address that came over an IPv6 socket is an IPv4 address."""
        headers = values_of(forwarded("::ffff:192.0.2.1", b"a", b"https", 443).fields)
        self.assertEqual(headers[b"X-Forwarded-For"], b"192.0.2.1")

    def test_unknown_client(self) -> None:
        """A client without address is unknown, and nothing is made up."""
        for address in ("", "/run/x.sock", "evil, 1.2.3.4"):
            headers = values_of(forwarded(address, b"a", b"https", 443).fields)
            self.assertNotIn(b"X-Forwarded-For", headers)
            self.assertEqual(headers[b"Forwarded"], b"for=unknown;host=a;proto=https")


class ResponseTests(SynchronousTestCase):
    """What reaches a client."""

    def test_end_to_end_headers_pass(self) -> None:
        """Ordinary headers and the application's cookies pass unchanged."""
        headers = fields(
            [
                (b"Content-Type", b"text/html"),
                (b"Set-Cookie", b"a=b"),
                (b"set-cookie", b"c=d"),
                (b"WWW-Authenticate", b"Basic"),
                (b"Server", b"x"),
                (b"Date", b"y"),
                (b"X-Request-Id", b"z"),
            ]
        )
        self.assertEqual(answered(headers), headers)

    def test_dropped(self) -> None:
        """Hop-by-hop headers, framing, and what speaks in our name are dropped in every spelling."""
        for name in (
            b"Connection",
            b"Keep-Alive",
            b"Proxy-Authenticate",
            b"Transfer-Encoding",
            b"Upgrade",
            b"Trailer",
            b"Content-Length",
            b"AppProxy-Transaction-Id",
            b"X-AppProxy-Anything",
            b"Alt-Svc",
            b"Set-Cookie2",
        ):
            for spelling in spellings(name):
                self.assertEqual(answered([field(spelling, b"close")]), [], spelling)

    def test_length_kept_on_demand(self) -> None:
        """The length of an answer to HEAD passes, in its one spelling."""
        headers = fields([(b"content-length", b"3"), (b"Content_Length", b"4")])
        self.assertEqual(answered(headers, keep_length=True), headers[:1])

    def test_connection_named(self) -> None:
        """Headers that Connection names go, before it or behind it."""
        headers = fields([(b"X-A", b"1"), (b"Connection", b"x-a, X-B"), (b"x-b", b"2"), (b"X-C", b"3")])
        self.assertEqual(answered(headers), [(b"X-C", b"3")])

    def test_our_cookies_cannot_be_planted(self) -> None:
        """No backend sets a cookie of ours, also not a nameless one or one for a parent domain."""
        for value in (
            b"__Host-appproxy-session=x; Path=/; Secure",
            b"__HOST-APPPROXY-SESSION=x; Domain=example.com",
            b"=__Host-appproxy-session=x; Domain=example.com",
            b"__Host-appproxy-sign-in =x",
            b"= __Host-appproxy-sign-in =x",
        ):
            self.assertEqual(answered(fields([(b"Set-Cookie", value), (b"SET-COOKIE", value)])), [])


class TrailerTests(SynchronousTestCase):
    """What passes behind a body."""

    def test_pass(self) -> None:
        """Checksums and statuses of calls pass."""
        trailers = fields([(b"Grpc-Status", b"0"), (b"Digest", b"x"), (b"Server-Timing", b"y")])
        self.assertEqual(filter_trailers(trailers), trailers)

    def test_dropped(self) -> None:
        """What decides about framing, routing, identity, cookies or content is dropped in every spelling."""
        for name in (
            *DROPPED[:-2],
            b"Content-Length",
            b"Transfer-Encoding",
            b"Host",
            b"Authorization",
            b"Cookie",
            b"Set-Cookie",
            b"Location",
            b"Content-Type",
            b"Content-Encoding",
            b"Cache-Control",
            b"Access-Control-Allow-Origin",
            b"WWW-Authenticate",
        ):
            for spelling in spellings(name):
                self.assertEqual(filter_trailers([field(spelling, b"evil")]), [], spelling)

    def test_identity(self) -> None:
        """An application's identity headers do not come in trailers either."""
        self.assertEqual(
            RULES.filter_trailers(fields([(b"x_remote_user", b"evil"), (b"Digest", b"x")])),
            [(b"Digest", b"x")],
        )
