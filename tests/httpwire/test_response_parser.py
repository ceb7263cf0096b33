"""Tests of L{appproxy.httpwire.response_parser}."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire import field as field_module
from appproxy.httpwire import response_parser as module
from appproxy.httpwire.block import Block, Blocks, fields_of
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import MEMO_LINES, field
from appproxy.httpwire.heads import END, NO_BODY, UNTIL_END, End, ResponseHead
from appproxy.httpwire.names import WWW_AUTHENTICATE
from appproxy.httpwire.response_parser import ResponseEvent, ResponseParser
from tests.corpus.cases import ANSWERS, AnswerCase
from tests.httpwire.support import joined, one_by_one, splits

OK: Final = b"HTTP/1.1 200 OK\r\n"
SWITCH: Final = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
CHUNKED: Final = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    + OK
    + b"X: \t\xe4 \r\nTransfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n4;x\r\ndefg\r\n0\r\nX-Sum: 1\r\n\r\n"
)


def read(pieces: list[bytes], method: bytes = b"GET") -> list[ResponseEvent]:
    """All events of an exchange."""
    parser = ResponseParser(method)
    return joined([event for piece in pieces for event in parser.feed(piece)])


def bodies(events: list[ResponseEvent]) -> list[int | bytes]:
    """Statuses and pieces of bodies."""
    return [
        event.status if isinstance(event, ResponseHead) else event
        for event in events
        if not isinstance(event, End)
    ]


class BodyTests(SynchronousTestCase):
    """Where a body ends."""

    def test_length(self) -> None:
        """Content-Length ends a body, and the connection can be used again."""
        parser = ResponseParser(b"GET")
        events = parser.feed(OK + b"Content-Length: 3\r\n\r\nabc")
        self.assertEqual(
            events,
            [
                ResponseHead(
                    200, b"OK", (1, 1), [Block([field(b"Content-Length", b"3")])], 3, keep_alive=True
                ),
                b"abc",
                END,
            ],
        )
        self.assertTrue(parser.reusable)

    def test_no_reason(self) -> None:
        """A status line may end behind the status."""
        for line in (b"HTTP/1.1 200\r\n", b"HTTP/1.1 200 \r\n"):
            head = ResponseParser(b"GET").feed(line + b"Content-Length: 0\r\n\r\n")[0]
            assert isinstance(head, ResponseHead)
            self.assertEqual((head.reason, head.body), (b"", 0))

    def test_chunked(self) -> None:
        """A chunked body ends with its last chunk; trailers come with the end."""
        events = read([CHUNKED])
        self.assertEqual(bodies(events), [103, 200, b"abcdefg"])
        self.assertEqual(events[-1], End([field(b"X-Sum", b"1")]))

    def test_until_close(self) -> None:
        """Without length and coding the connection's end is the body's, and only a clean one."""
        for version in (b"1", b"0"):
            parser = ResponseParser(b"GET")
            events = parser.feed(b"HTTP/1.%b 200 OK\r\nConnection: keep-alive\r\n\r\nabc" % version)
            head = events[0]
            assert isinstance(head, ResponseHead)
            self.assertEqual((head.body, head.keep_alive), (UNTIL_END, False))
            self.assertEqual(parser.eof(clean=True), [END])
            self.assertFalse(parser.reusable)

    def test_until_unclean_close(self) -> None:
        """A body that ends with a broken connection was cut off."""
        parser = ResponseParser(b"GET")
        parser.feed(OK + b"\r\nabc")
        error = self.assertRaises(BadMessage, parser.eof, clean=False)
        self.assertEqual((error.status, error.rule), (502, "closed_in_body"))

    def test_head_has_no_body(self) -> None:
        """An answer to HEAD ends with its head, whatever length or coding it names."""
        for framing in (b"Content-Length: 5", b"Transfer-Encoding: chunked", b"X: y"):
            parser = ResponseParser(b"HEAD")
            events = parser.feed(OK + framing + b"\r\n\r\n")
            self.assertEqual(len(events), 2)
            head = events[0]
            assert isinstance(head, ResponseHead)
            self.assertEqual(head.body, NO_BODY)
            self.assertTrue(parser.reusable)
            parser.reset(b"GET")
            self.assertEqual(bodies(parser.feed(OK + b"Content-Length: 1\r\n\r\nx")), [200, b"x"])

    def test_statuses_without_body(self) -> None:
        """204 and 304 end with their head."""
        for status in (b"204", b"304"):
            parser = ResponseParser(b"GET")
            events = parser.feed(b"HTTP/1.1 " + status + b" X\r\nContent-Length: 5\r\n\r\n")
            self.assertEqual(events[1:], [END])
            self.assertTrue(parser.reusable)

    def test_truncated(self) -> None:
        """The connection's end never completes a counted or chunked body, or a head."""
        for data, rule in (
            (b"", "closed_before_head"),
            (OK, "closed_before_head"),
            (b"HTTP/1.1 100 Continue\r\n\r\n", "closed_before_head"),
            (OK + b"Content-Length: 3\r\n\r\nab", "closed_in_body"),
            (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "closed_in_body"),
            (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", "closed_in_body"),
        ):
            parser = ResponseParser(b"GET")
            parser.feed(data)
            self.assertEqual(self.assertRaises(BadMessage, parser.eof, clean=True).rule, rule)


class ReuseTests(SynchronousTestCase):
    """When a connection may serve another exchange."""

    def test_not_before_the_end(self) -> None:
        """Not while the response goes on, nor before it."""
        parser = ResponseParser(b"GET")
        self.assertFalse(parser.reusable)
        parser.feed(OK + b"Content-Length: 3\r\n\r\nab")
        self.assertFalse(parser.reusable)
        self.assertRaises(RuntimeError, parser.reset, b"GET")

    def test_not_after_close(self) -> None:
        """Not if either side's head says close, or HTTP/1.0 does not say keep-alive."""
        for start in (OK + b"Connection: close\r\n", b"HTTP/1.0 200 OK\r\n"):
            parser = ResponseParser(b"GET")
            parser.feed(start + b"Content-Length: 0\r\n\r\n")
            self.assertTrue(parser.complete)
            self.assertFalse(parser.reusable)

    def test_http_1_0_keep_alive(self) -> None:
        """HTTP/1.0 with keep-alive and a length lives on."""
        parser = ResponseParser(b"GET")
        parser.feed(b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(parser.reusable)

    def test_not_with_bytes_beyond_the_end(self) -> None:
        """A byte after the end, at once or later, spoils the connection, and is not handed on."""
        response = OK + b"Content-Length: 1\r\n\r\nx"
        for pieces in ([response + b"y"], [response, b"y"], [response + OK + b"Content-Length: 0\r\n\r\n"]):
            parser = ResponseParser(b"GET")
            events = [event for piece in pieces for event in parser.feed(piece)]
            self.assertEqual(bodies(events), [200, b"x"])
            self.assertFalse(parser.reusable)

    def test_not_after_its_end(self) -> None:
        """A closed connection is of no use, though the response was complete."""
        parser = ResponseParser(b"GET")
        parser.feed(OK + b"Content-Length: 0\r\n\r\n")
        self.assertEqual(parser.eof(clean=True), [])
        self.assertFalse(parser.reusable)

    def test_interim_close_is_not_final(self) -> None:
        """Only the final head decides about the connection."""
        parser = ResponseParser(b"GET")
        parser.feed(b"HTTP/1.1 103 Early\r\nConnection: close\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n")
        self.assertTrue(parser.reusable)


class UpgradeTests(SynchronousTestCase):
    """101."""

    def test_asked_for(self) -> None:
        """A 101 with the token that was asked for makes all that follows raw."""
        parser = ResponseParser(b"GET", b"websocket")
        events = parser.feed(SWITCH + b"\x81\x00")
        self.assertEqual(bodies(events), [101, b"\x81\x00"])
        self.assertTrue(parser.upgraded)
        self.assertEqual(parser.feed(b"HTTP/1.1 200 OK\r\n\r\n"), [b"HTTP/1.1 200 OK\r\n\r\n"])
        self.assertEqual(parser.eof(clean=False), [END])
        self.assertFalse(parser.reusable)

    def test_another_token(self) -> None:
        """A 101 to anything else is refused."""
        for upgrade in (None, b"h2c"):
            parser = ResponseParser(b"GET", upgrade)
            error = self.assertRaises(BadMessage, parser.feed, SWITCH)
            self.assertEqual(error.rule, "upgrade_not_asked_for")

    def test_declined(self) -> None:
        """Any other answer is an ordinary one, also if it speaks of upgrades."""
        parser = ResponseParser(b"GET", b"websocket")
        events = parser.feed(
            b"HTTP/1.1 426 Upgrade\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nno"
        )
        self.assertEqual(bodies(events), [426, b"no"])
        self.assertTrue(parser.reusable)


class CorpusTests(SynchronousTestCase):
    """What applications answer: C{tests/corpus/answers.toml}."""

    def check(self, case: AnswerCase, pieces: list[bytes], *rules: str) -> None:
        """These pieces are refused for good with a 502 and by one of the rules, or give what they should."""
        parser, events = ResponseParser(case.asked), []
        try:
            for piece in pieces:
                events += parser.feed(piece)
            events += parser.eof(clean=True)
        except BadMessage as error:
            self.assertEqual(error.status, 502, case.name)
            self.assertIn(error.rule, rules, case.name)
            self.assertEqual(parser.feed(OK + b"\r\n"), [], case.name)
        else:
            self.assertEqual(rules, (), case.name)
            final = [each for each in bodies(joined(events)) if isinstance(each, bytes) or each >= 200]
            self.assertEqual(final, [case.status, *([case.gives] if case.gives else [])], case.name)
        self.assertFalse(parser.reusable, case.name)

    def test_in_one_piece(self) -> None:
        """Each is refused by its rule, or read as it should be."""
        for case in ANSWERS:
            self.check(case, [case.data], *case.rules[:1])

    def test_byte_by_byte(self) -> None:
        """A byte at a time changes no verdict."""
        for case in ANSWERS:
            self.check(case, one_by_one(case.data), *case.rules)

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_in_any_split(self, data: st.DataObject) -> None:
        """Nor does any other split."""
        case = data.draw(st.sampled_from(ANSWERS))
        self.check(case, data.draw(splits(case.data)), *case.rules)

    @settings(max_examples=150, deadline=None)
    @given(splits(CHUNKED))
    def test_any_split(self, pieces: list[bytes]) -> None:
        """Any split gives the same events."""
        self.assertEqual(read(pieces), read([CHUNKED]))

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_any_split_of_damaged_responses(self, data: st.DataObject) -> None:
        """A response with some bytes replaced is accepted or refused alike in any split."""
        message = bytearray(CHUNKED)
        at = data.draw(st.integers(0, len(message) - 1))
        message[at : at + 1] = data.draw(st.sampled_from([b"\r", b"\n", b"\0", b" ", b":", b"0", b"x", b""]))
        whole = bytes(message)
        self.assertEqual(self.verdict([whole]), self.verdict(data.draw(splits(whole))))

    def verdict(self, pieces: list[bytes]) -> list[ResponseEvent] | None:
        """All events, or nothing if the response is refused."""
        try:
            return read(pieces)
        except BadMessage:
            return None


class MemoTests(SynchronousTestCase):
    """Status lines and lengths that are remembered."""

    def setUp(self) -> None:
        """Begin with nothing."""
        for memo in (module._status_lines, module._lengths):
            memo.clear()
            self.addCleanup(memo.clear)

    def test_the_same_again(self) -> None:
        """What is remembered is read as it was the first time, and nothing else is."""
        for _ in range(2):
            for line, expected in (
                (b"HTTP/1.1 200 OK", (200, b"OK", (1, 1))),
                (b"HTTP/1.0 200 OK", (200, b"OK", (1, 0))),
                (b"HTTP/1.1 200 ok", (200, b"ok", (1, 1))),
                (b"HTTP/1.1 404", (404, b"", (1, 1))),
                (b"HTTP/1.1 404 ", (404, b"", (1, 1))),
            ):
                head = ResponseParser(b"HEAD").feed(line + b"\r\nContent-Length: 7\r\n\r\n")[0]
                assert isinstance(head, ResponseHead)
                self.assertEqual((head.status, head.reason, head.version), expected)
            self.assertEqual(read([OK + b"Content-Length: 3\r\n\r\nabc"])[1], b"abc")
            self.assertEqual(read([OK + b"Content-Length: 2\r\n\r\nab"])[1], b"ab")

    def test_refused(self) -> None:
        """What is refused is refused each time."""
        for _ in range(2):
            for head in (b"HTTP/1.1 099 X\r\n\r\n", b"HTTP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 200 \0\r\n\r\n"):
                self.assertRaises(BadMessage, read, [head])
            for length in (b"+1", b"01", b"1 2", b"-1", b"1_0"):
                self.assertRaises(BadMessage, read, [OK + b"Content-Length: " + length + b"\r\n\r\n"])
        self.assertEqual((list(module._status_lines), module._lengths), ([OK[:-2]], {}))

    def test_bounded(self) -> None:
        """A backend that invents them does not make the memos grow."""
        for number in range(MEMO_LINES + 10):
            read([b"HTTP/1.1 200 X%d\r\nContent-Length: %d\r\n\r\n" % (number, number)])
            self.assertLessEqual(len(module._status_lines), MEMO_LINES)
            self.assertLessEqual(len(module._lengths), MEMO_LINES)


class ProofTests(SynchronousTestCase):
    """A server that proves itself with each answer (RFC 4559): a line that is never the same twice."""

    def heads(self, *challenges: bytes) -> list[Blocks]:
        """The headers of a connection's answers, each with some lines in its middle."""
        parser = ResponseParser(b"HEAD")
        found: list[Blocks] = []
        for lines in challenges:
            if found:
                parser.reset(b"HEAD")
            events = parser.feed(
                OK + b"Date: now\r\nServer: x\r\n" + lines + b'ETag: "1"\r\nConnection: keep-alive\r\n\r\n'
            )
            assert isinstance(events[0], ResponseHead)
            found.append(events[0].blocks)
        return found

    def test_the_rest_is_known(self) -> None:
        """What stands around the proof is known from before, and the proof itself is not remembered."""
        proofs = [b"WWW-Authenticate: Negotiate proof%d\r\n" % number for number in range(5)]
        heads = self.heads(*proofs)
        for before, after in pairwise(heads[3:]):
            kept = [[each for each in head if not proves(each)] for head in (before, after)]
            self.assertEqual([id(each) for each in kept[0]], [id(each) for each in kept[1]])
            self.assertEqual(sum(len(each.fields) for each in kept[0]), 4)
        self.assertNotIn(proofs[4][:-2], field_module._remembered)

    def test_read_alike(self) -> None:
        """Whatever came before it on its connection, a head is read the same."""
        lines = [
            b"",
            b"WWW-Authenticate: Negotiate cHJvb2Y=\r\n",
            b"WWW-Authenticate:Negotiate\r\n",
            b"www-authenticate: Negotiate cHJvb2Y=\r\n",
            b"WWW-Authenticate: Negotiate cHJvb2Y=\r\nWWW-Authenticate: Basic realm=x\r\n",
            b"X: y\r\nWWW-Authenticate: Negotiate cHJvb2Y=\r\n",
            b"WWW-Authenticate: \r\n",
        ]
        alone = [fields_of(self.heads(each)[0]) for each in lines]
        for before in lines:
            for each, expected in zip(lines, alone, strict=True):
                self.assertEqual(fields_of(self.heads(before, each)[1]), expected, (before, each))

    def test_refused_alike(self) -> None:
        """What no head may have is refused after a proof, too."""
        proof = b"WWW-Authenticate: Negotiate cHJvb2Y=\r\n"
        for bad in (b"WWW-Authenticate: \0\r\n", b"WWW-Authenticate: a\rb\r\n", b"WWW-Authenticate : a\r\n"):
            self.assertRaises(BadMessage, self.heads, bad)
            self.assertRaises(BadMessage, self.heads, proof, bad)
        self.assertRaises(
            BadMessage, self.heads, proof, proof + b"Content-Length: 1\r\nContent-Length: 1\r\n"
        )


def proves(block: Block) -> bool:
    """Whether a challenge, or a proof, is in it."""
    return any(each.kind == WWW_AUTHENTICATE for each in block.fields)
