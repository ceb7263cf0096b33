"""Tests of L{appproxy.httpwire.llhttp}."""

from __future__ import annotations

import httptools
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.llhttp import judge_head, rule_of


class JudgeTests(SynchronousTestCase):
    """L{judge_head}."""

    def test_heads_do_not_touch_each_other(self) -> None:
        """A head with a body, an upgrade or a flaw leaves nothing behind for the next one."""
        get = b"GET / HTTP/1.1\r\nA: \t b \t\r\n\r\n"
        for head in (
            b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        ):
            judge_head(httptools.HttpRequestParser, head, 400)
            self.assertEqual(judge_head(httptools.HttpRequestParser, get, 400), [(b"A", b"b")])
        bad = b"GET / HTTP/1.1\r\nA : b\r\n\r\n"
        self.assertRaises(BadMessage, judge_head, httptools.HttpRequestParser, bad, 400)
        self.assertEqual(judge_head(httptools.HttpRequestParser, get, 400), [(b"A", b"b")])

    def test_responses(self) -> None:
        """Heads of responses are judged as well, and refused with the status that is asked for."""
        good = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
        self.assertEqual(judge_head(httptools.HttpResponseParser, good, 502), [(b"A", b"b")])
        bad = b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n"
        error = self.assertRaises(BadMessage, judge_head, httptools.HttpResponseParser, bad, 502)
        self.assertEqual(error.status, 502)

    def test_rules(self) -> None:
        """What llhttp says becomes the name of a rule; never bytes of the message."""
        for head, rule in (
            (
                b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "both_length_and_chunked",
            ),
            (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "more_than_one_framing"),
            (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "content_length"),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n", "transfer_encoding"),
            (b"GET / HTTP/1.1\r\nA: \x01\r\n\r\n", "header_value"),
            (b"GET / HTTP/1.1\r\nA b: c\r\n\r\n", "header_name"),
            (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "header_line_end"),
        ):
            error = self.assertRaises(BadMessage, judge_head, httptools.HttpRequestParser, head, 400)
            self.assertEqual(error.rule, rule)
        self.assertEqual(rule_of("something new"), "head")
