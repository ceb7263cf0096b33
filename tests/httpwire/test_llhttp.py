"""Tests of L{appproxy.httpwire.llhttp}."""

from __future__ import annotations

import gc
import weakref

import httptools
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.llhttp import HeadJudge, rule_of


class HeadJudgeTests(SynchronousTestCase):
    """One head after the other."""

    def test_heads_do_not_touch_each_other(self) -> None:
        """A head with a body, an upgrade or a flaw leaves nothing behind for the next one."""
        judge = HeadJudge(httptools.HttpRequestParser, 400)
        get = b"GET / HTTP/1.1\r\nA: b\r\n\r\n"
        for head in (
            b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        ):
            judge.headers_of(head)
            self.assertEqual(judge.headers_of(get), [(b"A", b"b")])
        self.assertRaises(BadMessage, judge.headers_of, b"GET / HTTP/1.1\r\nA : b\r\n\r\n")
        self.assertEqual(judge.headers_of(get), [(b"A", b"b")])

    def test_reuse(self) -> None:
        """After a head without body the same llhttp goes on."""
        judge = HeadJudge(httptools.HttpRequestParser, 400)
        for _ in range(3):
            self.assertEqual(judge.headers_of(b"GET / HTTP/1.1\r\nA: b\r\n\r\n"), [(b"A", b"b")])
            judge.reuse()

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
            judge = HeadJudge(httptools.HttpRequestParser, 400)
            error = self.assertRaises(BadMessage, judge.headers_of, head)
            self.assertEqual(error.rule, rule)
        self.assertEqual(rule_of("something new"), "head")

    def test_no_cycles(self) -> None:
        """A judge is freed with its last reference, without the garbage collector."""

        class Judge(HeadJudge):
            """One that can be watched."""

        judge = Judge(httptools.HttpRequestParser, 400)
        judge.headers_of(b"GET / HTTP/1.1\r\nA: b\r\n\r\n")
        watched = weakref.ref(judge)
        gc.disable()
        self.addCleanup(gc.enable)
        del judge
        self.assertIsNone(watched())
