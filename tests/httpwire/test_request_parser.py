"""Tests of L{appproxy.httpwire.request_parser}."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.block import Block
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import field
from appproxy.httpwire.heads import END, NO_BODY, UNTIL_END, End, RequestHead
from appproxy.httpwire.request_parser import (
    UPGRADE_WAITING_LIMIT,
    WAITING_LIMIT,
    HeadLimits,
    RequestParser,
)
from tests.corpus.cases import BAD_REQUESTS, REQUESTS, Got, RequestCase
from tests.httpwire.support import (
    complete_requests,
    one_by_one,
    read_all,
    read_until_refused,
    splits,
    verdict,
)

GET: Final = b"GET /x?y HTTP/1.1\r\nHost: a.example\r\n\r\n"
WEBSOCKET: Final = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
CHUNKED: Final = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

GOOD_STREAM: Final = (
    GET
    + b"PUT /a%20b HTTP/1.1\r\nhost: B:8443\r\ncontent-length: 5 \r\nExpect: 100-continue\r\n\r\nhello"
    + b"VERSION-CONTROL / HTTP/1.1\r\nHost: c\r\n\r\n"
    + b"POST / HTTP/1.1\r\nHost: [2001:DB8::1]\r\nTransfer-Encoding: Chunked\r\n\r\n"
    + b'5;ext="v"\r\nhello\r\n00a\r\n0123456789\r\n0\r\nX-Sum:  1 \r\nX-Empty:\r\n\r\n'
    + WEBSOCKET
    + b"OPTIONS * HTTP/1.1\r\nHost: d.\r\n\r\n"
    + b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    + b"GET http://E.example:80/p?q HTTP/1.1\r\nHost: e.example:80\r\nConnection: close\r\n\r\n"
)


def head_of(data: bytes) -> RequestHead:
    """The head of one request."""
    head = RequestParser().feed(data)[0]
    assert isinstance(head, RequestHead)
    return head


def request(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> RequestHead:
    """The head of a request with these header lines."""
    return head_of(b"\r\n".join([start, host, *lines, b"", b""]))


class HeadTests(SynchronousTestCase):
    """What a head says."""

    def test_plain_get(self) -> None:
        """A GET in one segment is a head and an end at once."""
        self.assertEqual(
            RequestParser().feed(GET),
            [
                RequestHead(
                    b"GET",
                    b"/x?y",
                    (1, 1),
                    [Block([field(b"Host", b"a.example")])],
                    b"a.example",
                    None,
                    NO_BODY,
                    keep_alive=True,
                ),
                END,
            ],
        )

    def test_values_lose_outer_blanks_only(self) -> None:
        """Blanks and tabs around a value go, those inside stay, and so do names and high bytes."""
        head = request(b"x-A: \t a  b\xe4 \t", b"X-Empty:", b"X-Blank: \t ")
        self.assertEqual(head.headers[1:], [(b"x-A", b"a  b\xe4"), (b"X-Empty", b""), (b"X-Blank", b"")])

    def test_host_forms(self) -> None:
        """Hosts are lower-case, without trailing dot, apart from their port."""
        for value, host, port in (
            (b"Wiki.Example", b"wiki.example", None),
            (b"wiki.example.", b"wiki.example", None),
            (b"wiki.example.:8443", b"wiki.example", 8443),
            (b"127.0.0.1:80", b"127.0.0.1", 80),
            (b"[::1]:1", b"[::1]", 1),
            (b"a_b-c.x", b"a_b-c.x", None),
        ):
            head = request(host=b"Host: " + value)
            self.assertEqual((head.host, head.port), (host, port))

    def test_absolute_form(self) -> None:
        """Of an absolute target the path remains, for a host equal to the Host header."""
        for target, expected in (
            (b"http://A/x?y", b"/x?y"),
            (b"HTTPS://a", b"/"),
            (b"http://a?y", b"/?y"),
        ):
            self.assertEqual(request(start=b"GET " + target + b" HTTP/1.1").target, expected)
        self.assertEqual(request(start=b"OPTIONS http://a HTTP/1.1").target, b"*")

    def test_any_method(self) -> None:
        """Every token is a method, whether llhttp knows it or not, and none means a body."""
        for method in (
            b"RDG_IN_DATA",
            b"RDG_OUT_DATA",
            b"RPC_IN_DATA",
            b"VERSION-CONTROL",
            b"BASELINE-CONTROL",
            b"X-MS-ENUMATTS",
            b"PROPFIND",
            b"REPORT",
            b"SOURCE",
            b"PRI",
            b"get",
            b"!",
        ):
            head = request(start=method + b" / HTTP/1.1")
            self.assertEqual((head.method, head.body), (method, NO_BODY))

    def test_keep_alive(self) -> None:
        """HTTP/1.1 lives on unless told to close, HTTP/1.0 only if told so."""
        for version, value, expected in (
            (b"1", b"", True),
            (b"1", b"Close", False),
            (b"1", b"foo, close", False),
            (b"0", b"", False),
            (b"0", b"Keep-Alive", True),
            (b"0", b"keep-alive, close", False),
        ):
            head = request(b"Connection: " + value, start=b"GET / HTTP/1." + version)
            self.assertEqual((head.version, head.keep_alive), ((1, int(version)), expected))

    def test_all_connection_headers_count(self) -> None:
        """Tokens of several Connection headers are one set."""
        head = request(b"Connection: X-A, x-b", b"connection: CLOSE,,")
        self.assertEqual(head.connection, frozenset({b"x-a", b"x-b", b"close"}))
        self.assertFalse(head.keep_alive)

    def test_cookies_are_one_value(self) -> None:
        """Several Cookie headers are joined."""
        self.assertEqual(request(b"Cookie: a=b", b"COOKIE: c=d").cookie, b"a=b; c=d")

    def test_expectation(self) -> None:
        """Only a HTTP/1.1 request with a body can expect a 100."""
        post = b"POST / HTTP/1.%d"
        for lines, version, expected in (
            ((b"Expect: 100-Continue", b"Content-Length: 3"), 1, True),
            ((b"Expect: 100-continue", b"Transfer-Encoding: chunked"), 1, True),
            ((b"Expect: 100-continue", b"Content-Length: 0"), 1, False),
            ((b"Expect: 100-continue",), 1, False),
            ((b"Expect: 100-continue", b"Content-Length: 3"), 0, False),
            ((b"Expect: something", b"Content-Length: 3"), 1, False),
        ):
            self.assertEqual(request(*lines, start=post % version).expects_continue, expected)

    def test_upgrade(self) -> None:
        """An upgrade counts only on a HTTP/1.1 GET without body whose Connection names it, for one token."""
        get = b"GET / HTTP/1.1"
        for start, lines, expected in (
            (get, (b"Upgrade: WebSocket", b"Connection: keep-alive, Upgrade"), b"websocket"),
            (get, (b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings"), b"h2c"),
            (get, (b"Upgrade: websocket",), None),
            (get, (b"Upgrade: websocket, h2c", b"Connection: upgrade"), None),
            (get, (b"Upgrade: websocket", b"Upgrade: h2c", b"Connection: upgrade"), None),
            (get, (b"Upgrade:", b"Connection: upgrade"), None),
            (get, (b"Upgrade: websocket", b"Connection: upgrade", b"Content-Length: 0"), None),
            (get, (b"Upgrade: websocket", b"Connection: upgrade", b"Transfer-Encoding: chunked"), None),
            (b"POST / HTTP/1.1", (b"Upgrade: websocket", b"Connection: upgrade"), None),
            (b"FOO / HTTP/1.1", (b"Upgrade: websocket", b"Connection: upgrade"), None),
            (b"GET / HTTP/1.0", (b"Upgrade: websocket", b"Connection: upgrade"), None),
        ):
            self.assertEqual(request(*lines, start=start).upgrade, expected)


class LimitTests(SynchronousTestCase):
    """What is too much."""

    def refused(self, parser: RequestParser, data: bytes) -> tuple[int, str]:
        """How C{parser} refuses C{data}."""
        error = self.assertRaises(BadMessage, parser.feed, data)
        return error.status, error.rule

    def test_just_within(self) -> None:
        """A head exactly at the limits passes."""
        limits = HeadLimits(head_size=len(GET), header_count=1, target_size=4)
        self.assertEqual(len(RequestParser(limits).feed(GET)), 2)

    def test_just_beyond(self) -> None:
        """A head a byte or a header beyond a limit does not."""
        for limits, expected in (
            (HeadLimits(head_size=len(GET) - 1), (431, "head_too_large")),
            (HeadLimits(target_size=3), (414, "target_too_long")),
        ):
            self.assertEqual(self.refused(RequestParser(limits), GET), expected)
        endless = b"GET /" + b"a" * 100_000
        for size in (20_000, 100_000):
            self.assertEqual(self.refused(RequestParser(), endless[:size]), (414, "target_too_long"), size)
        many = GET[:-2] + b"X:\r\n" * 2 + b"\r\n"
        self.assertEqual(
            self.refused(RequestParser(HeadLimits(header_count=2)), many), (431, "too_many_headers")
        )

    def test_unfinished_heads_are_bounded(self) -> None:
        """
        A head that never ends is refused when it is too large, a line when it is too long.

        Security row 30.
        """
        parser = RequestParser()
        parser.feed(b"GET / HTTP/1.1\r\nX: ")
        self.assertEqual(self.refused(parser, b"y" * 65536), (431, "head_too_large"))
        self.assertEqual(self.refused(RequestParser(), b"GET /" + b"y" * 17000), (414, "target_too_long"))

    def test_hopeless_heads_are_refused_early(self) -> None:
        """What can never become a head is refused before its end is there."""
        for data in (
            b"\x16",
            b" ",
            b"\r",
            b"GET / HTTP/1.1\n",
            b"GET / HTTP/1.1\rx",
            b"GET /\r\n",
            b"GET / HTTP/2.0\r\n",
            b"GET / HTTP/1.1\r\nX: \0",
        ):
            self.assertEqual(self.refused(RequestParser(), data)[0], 400)

    def test_two_flaws(self) -> None:
        """Of a head with two flaws the same is said, in whole and in pieces."""
        nul = b"X: a\0\r\n"
        for data in (
            GET[:-2] + nul + b"X: y\r\n" * 200 + b"\r\n",
            b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n" + nul + b"\r\n",
            b"GET /" + b"x" * 16384 + b" HTTP/1.1\r\nHost: a\r\n" + nul + b"\r\n",
        ):
            self.assertEqual(self.refused(RequestParser(), data), (400, "line_end"))
            self.assertEqual(verdict(one_by_one(data)), 400)

    def test_pipelining_is_bounded(self) -> None:
        """What waits behind a message may be as much as one read and one head."""
        parser = RequestParser()
        parser.feed(GET)
        room = WAITING_LIMIT + 65536
        parser.feed(b"x" * room)
        self.assertEqual(parser.buffered, room)
        self.assertEqual(self.refused(parser, b"x"), (400, "too_much_pipelined"))

    def test_nothing_after_a_refusal(self) -> None:
        """After a refusal all bytes are ignored, and there is no next message."""
        parser = RequestParser()
        self.refused(parser, b"\n")
        self.assertEqual(parser.feed(GET), [])
        self.assertRaises(RuntimeError, parser.next)


class CorpusTests(SynchronousTestCase):
    """What clients send: C{tests/corpus/requests}."""

    def check(self, case: RequestCase, pieces: list[bytes], *rules: str) -> None:
        """These pieces give the requests that they should, then the refusal, by one of the rules."""
        events, refusal = read_until_refused(pieces)
        complete = complete_requests(events)
        if case.closes and refusal is None:
            # What stands behind an announced end the edge does not ask for.
            complete = complete[: len(case.gets)]
        self.assertEqual(complete, [(each.method, each.target, each.body) for each in case.gets], case.name)
        if refusal is not None:
            self.assertEqual(refusal.status, case.status, case.name)
            self.assertIn(refusal.rule, rules, case.name)
        else:
            # One that stalls is refused by the clock, which no parser has.
            self.assertTrue(not case.status or case.ends, case.name)

    def test_in_one_piece(self) -> None:
        """
        Each is refused by its rule, or read as it should be.

        Security row 26, security row 28.
        """
        for case in REQUESTS:
            self.check(case, [case.message()], *case.rules[:1])

    def test_refused_as_a_whole(self) -> None:
        """Nothing of a request that came in one piece with its flaw is acted upon."""
        for case in BAD_REQUESTS:
            self.assertEqual(read_until_refused([case.message()])[0], [], case.name)

    def test_byte_by_byte(self) -> None:
        """A byte at a time changes no verdict."""
        for case in REQUESTS:
            self.check(case, one_by_one(case.message()), *case.rules)

    @settings(max_examples=200, deadline=None)
    @given(st.data())
    def test_in_any_split(self, data: st.DataObject) -> None:
        """Nor does any other split, also behind a request that is sound."""
        case = data.draw(st.sampled_from(REQUESTS))
        behind = replace(case, template=GET + case.template, gets=(Got(target=b"/x?y"), *case.gets))
        self.check(behind, data.draw(splits(behind.message())), *case.rules)

    def test_good_stream(self) -> None:
        """A stream of sound requests of every kind is read to its end."""
        heads = [event for event in read_all([GOOD_STREAM]) if isinstance(event, RequestHead)]
        self.assertEqual(
            [(head.method, head.target, head.host, head.port, head.body) for head in heads],
            [
                (b"GET", b"/x?y", b"a.example", None, NO_BODY),
                (b"PUT", b"/a%20b", b"b", 8443, 5),
                (b"VERSION-CONTROL", b"/", b"c", None, NO_BODY),
                (b"POST", b"/", b"[2001:db8::1]", None, UNTIL_END),
                (b"GET", b"/ws", b"a", None, NO_BODY),
                (b"OPTIONS", b"*", b"d", None, NO_BODY),
                (b"POST", b"/", b"a", None, 0),
                (b"GET", b"/p?q", b"e.example", 80, NO_BODY),
            ],
        )

    def test_smuggling_stays_a_body(self) -> None:
        """What looks like a request inside of a body is a body."""
        inner = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
        data = (
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: %d\r\n\r\n%b"
        )
        events = read_all([data % (len(inner), inner) + GET])
        self.assertEqual([type(event) for event in events], [RequestHead, bytes, End, RequestHead, End])
        self.assertEqual(events[1], inner)


class SplitTests(SynchronousTestCase):
    """The way in which bytes arrive has no influence."""

    @settings(max_examples=150, deadline=None)
    @given(splits(GOOD_STREAM))
    def test_any_split_of_sound_requests(self, pieces: list[bytes]) -> None:
        """Any split gives the same events."""
        self.assertEqual(read_all(pieces), read_all([GOOD_STREAM]))

    @settings(max_examples=200, deadline=None)
    @given(st.data())
    def test_any_split_of_damaged_requests(self, data: st.DataObject) -> None:
        """A request with some bytes replaced is accepted or refused alike in any split."""
        message = bytearray(GOOD_STREAM)
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(message) - 1))
            message[at : at + data.draw(st.integers(0, 2))] = data.draw(
                st.sampled_from([b"\r", b"\n", b"\r\n", b"\0", b" ", b":", b"\t", b",", b"0", b"x", b"\xff"])
            )
        whole = bytes(message)
        first, second = verdict([whole]), verdict(data.draw(splits(whole)))
        # The status may differ where a message breaks two rules: 400 beside 414 or 431.
        if isinstance(first, int) and isinstance(second, int):
            return
        self.assertEqual(first, second)


class FlowTests(SynchronousTestCase):
    """One message after the other."""

    def test_one_message_at_a_time(self) -> None:
        """What follows a message waits for L{RequestParser.next}."""
        parser = RequestParser()
        self.assertEqual(len(parser.feed(GET + GET + GET[:5])), 2)
        self.assertEqual(parser.buffered, len(GET) + 5)
        self.assertEqual(len(parser.next()), 2)
        self.assertEqual(parser.next(), [])
        self.assertEqual(len(parser.feed(GET[5:])), 2)
        self.assertEqual(parser.buffered, 0)

    def test_idle(self) -> None:
        """A connection is idle until the first byte of the next head."""
        parser = RequestParser()
        self.assertTrue(parser.idle)
        parser.feed(GET[:1])
        self.assertFalse(parser.idle)
        parser.feed(GET[1:])
        self.assertFalse(parser.idle)
        parser.next()
        self.assertTrue(parser.idle)

    def test_next_needs_an_end(self) -> None:
        """There is no next message while one goes on."""
        parser = RequestParser()
        self.assertRaises(RuntimeError, parser.next)
        parser.feed(CHUNKED)
        self.assertRaises(RuntimeError, parser.next)

    def test_bodies_stream(self) -> None:
        """Pieces of a body are handed on as they come."""
        parser = RequestParser()
        parser.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n")
        self.assertEqual(parser.feed(b"ab"), [b"ab"])
        self.assertEqual(parser.feed(b"cdef" + GET), [b"cdef", END])
        self.assertEqual(parser.buffered, len(GET))

    def test_trailers(self) -> None:
        """Trailers come with the end."""
        parser = RequestParser()
        events = parser.feed(CHUNKED + b"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n")
        self.assertEqual(events[1:], [b"a", End([field(b"X-Sum", b"1")])])

    def test_accepted_upgrade(self) -> None:
        """After the head all bytes are kept until the upgrade is accepted, then handed over."""
        parser = RequestParser()
        self.assertEqual(len(parser.feed(WEBSOCKET + b"\x81")), 1)
        self.assertEqual(parser.feed(b"\x05"), [])
        self.assertEqual(parser.accept_upgrade(), b"\x81\x05")
        self.assertRaises(RuntimeError, parser.feed, b"x")

    def test_declined_upgrade(self) -> None:
        """After a declined upgrade the kept bytes are the next message."""
        parser = RequestParser()
        parser.feed(WEBSOCKET + GET)
        self.assertRaises(RuntimeError, parser.next)
        self.assertEqual(parser.decline_upgrade(), [END])
        self.assertEqual(len(parser.next()), 2)
        self.assertRaises(RuntimeError, parser.decline_upgrade)

    def test_bytes_before_an_upgrade_are_bounded(self) -> None:
        """A client that does not wait for the 101 is stopped."""
        parser = RequestParser()
        parser.feed(WEBSOCKET + b"x" * UPGRADE_WAITING_LIMIT)
        error = self.assertRaises(BadMessage, parser.feed, b"x")
        self.assertEqual(error.rule, "bytes_before_upgrade")

    def test_memory_of_a_long_body(self) -> None:
        """Nothing of a chunked body is kept."""
        parser = RequestParser()
        parser.feed(CHUNKED)
        for _ in range(100):
            self.assertEqual(parser.feed(b"10000\r\n" + b"x" * 65536 + b"\r\n"), [b"x" * 65536])
            self.assertEqual(parser.buffered, 0)
