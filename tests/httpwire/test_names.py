"""Tests of L{appproxy.httpwire.names}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.names import LINE_STARTS, MEMO_NAME_SIZE, MEMO_SIZE, NameMemo, check_names, plain_name


class NameTests(SynchronousTestCase):
    """Names and memos of them."""

    def test_plain_name(self) -> None:
        """Only letters and digits tell names apart."""
        self.assertEqual(plain_name(b"X_Forwarded.For"), plain_name(b"x-forwarded-FOR"))
        self.assertNotEqual(plain_name(b"X-Forwarded-For"), plain_name(b"X-Forwarded-For2"))

    def test_memo_judges_once(self) -> None:
        """A name is judged once, as long as it is short."""
        judged: list[bytes] = []
        memo = NameMemo(judged.append)
        for name in (b"a", b"a", b"b" * (MEMO_NAME_SIZE + 1), b"b" * (MEMO_NAME_SIZE + 1)):
            self.assertIsNone(memo[name])
        self.assertEqual(judged, [b"a", b"b" * 65, b"b" * 65])

    def test_memo_is_bounded(self) -> None:
        """A peer that invents names does not make the memo grow."""
        memo = NameMemo(len)
        for number in range(3 * MEMO_SIZE):
            self.assertEqual(memo[b"%d" % number], len(b"%d" % number))
            self.assertLessEqual(len(memo), MEMO_SIZE)

    def test_line_starts(self) -> None:
        """Only tokens begin a line, however often they are asked for."""
        self.assertEqual(LINE_STARTS[b"X-A"], b"\r\nX-A: ")
        for _ in range(2):
            self.assertRaises(BadMessage, LINE_STARTS.__getitem__, b"X A")

    def test_check_names(self) -> None:
        """One bad name among good ones is found, also after thousands."""
        check_names([b"A", b"B", b"C" * 100])
        for number in range(2 * MEMO_SIZE):
            check_names([b"N%d" % number])
        self.assertRaises(BadMessage, check_names, [b"A", b"B:"])
