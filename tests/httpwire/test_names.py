"""Tests of L{appproxy.httpwire.names}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire import names
from appproxy.httpwire.names import (
    CONTENT_LENGTH,
    COOKIE,
    FRAMES_FROM,
    LOCATION,
    MEMO_NAME_SIZE,
    MEMO_SIZE,
    name_of,
    plain_name,
)


class NameTests(SynchronousTestCase):
    """Names and what is known of them."""

    def test_plain_name(self) -> None:
        """Only letters and digits tell names apart."""
        self.assertEqual(plain_name(b"X_Forwarded.For"), plain_name(b"x-forwarded-FOR"))
        self.assertNotEqual(plain_name(b"X-Forwarded-For"), plain_name(b"X-Forwarded-For2"))

    def test_kinds(self) -> None:
        """Names are known in every case, and in no other spelling."""
        for name, kind in (
            (b"Content-Length", CONTENT_LENGTH),
            (b"CONTENT-length", CONTENT_LENGTH),
            (b"Content_Length", 0),
            (b"ContentLength", 0),
            (b"cookie", COOKIE),
            (b"Coo-kie", 0),
            (b"Content-Location", LOCATION),
            (b"X-Location", 0),
        ):
            self.assertEqual(name_of(name).kind, kind, name)

    def test_framing(self) -> None:
        """What decides framing, or what follows a message, is told from all else by its kind."""
        for name in (b"Content-Length", b"Transfer-Encoding", b"Upgrade", b"Expect"):
            self.assertGreaterEqual(name_of(name).kind, FRAMES_FROM)
        for name in (b"Host", b"Connection", b"Cookie", b"Origin", b"Content_Length", b"X"):
            self.assertLess(name_of(name).kind, FRAMES_FROM)

    def test_judged_once(self) -> None:
        """A name is judged once, as long as it is short; each spelling is its own."""
        self.assertIs(name_of(b"X-Once"), name_of(b"X-Once"))
        self.assertIsNot(name_of(b"X-Once"), name_of(b"x-once"))
        self.assertEqual(name_of(b"X-Once").lower, name_of(b"x-once").lower)
        long = b"b" * (MEMO_NAME_SIZE + 1)
        self.assertIsNot(name_of(long), name_of(long))

    def test_memo_is_bounded(self) -> None:
        """A peer that invents names does not make the memo grow, nor changes what is said of others."""
        known = names._known
        for number in range(3 * MEMO_SIZE):
            self.assertEqual(name_of(b"X-%d" % number).lower, b"x-%d" % number)
            self.assertLessEqual(len(known), MEMO_SIZE)
        self.assertFalse(name_of(b"X_Forwarded_For").in_requests)
