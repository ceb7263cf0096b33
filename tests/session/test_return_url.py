"""Tests of L{appproxy.session.return_url}."""

from __future__ import annotations

from itertools import product
from urllib.parse import urljoin, urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.session.return_url import RETURN_TARGET_LIMIT, return_target

HOST = "wiki.example.com"
EVIL = "evil.test"

BEGINNINGS = (
    "", "/", "//", "///", "/\\", "\\", "\\\\", "\\/", "/\t/", "/\n/", "/\r\n/", "\t//", " //", "/ /", "/%09/",
    "/%2f", "%2f%2f", "/%5c", "/.//", "/./\\", "/..//", "/;/", "/?//", "/#//", "/@", "@", ".", "-", "_", ":",
    "http:", "https:", "http:/", "https:/", "https://", "https:///", "HTTPS://", "https:\\\\", "https:/\\",
    "javascript:", "javascript://", "java\tscript:", "data:text/html,", "vbscript:", "file://", "ftp://",
    "//user:pass@", "https://" + HOST + "@", "//" + HOST + "@", "//" + HOST + ".", "//" + HOST + "%40",
    "/\x00/", "/\x0b/", "/\x7f/", "/\u2028/", "/\uff0f", "\u3002", "//\u200b", "/\xa0/", "\xef\xbb\xbf//",
)  # fmt: skip
MIDDLES = (
    EVIL, HOST + "." + EVIL, EVIL + "/" + HOST, EVIL + "?" + HOST, EVIL + "#" + HOST, EVIL + "%00" + HOST,
    EVIL + ":443", "[::1]", "0x7f.1", "2130706433", "e\u0301vil.test", "evil\u3002test",
)  # fmt: skip
ENDS = (
    "",
    "/",
    "/path",
    "?q=//x",
    "/..",
    "\r\nSet-Cookie: a=b",
    "\nLocation: //x",
    "%0d%0aX: y",
    "\\",
    "/\\x",
)


def lands_at(target: str) -> list[str | None]:
    """The hosts that different readers of a redirect end at."""
    origin = f"https://{HOST}:8443"
    as_browsers_do = (origin + target).replace("\\", "/")
    return [
        urlsplit(origin + target).hostname,
        urlsplit(as_browsers_do).hostname,
        urlsplit(urljoin(origin + "/somewhere/", target)).hostname,  # even if only the path were sent
        urlsplit(urljoin(origin + "/somewhere/", target.replace("\\", "/"))).hostname,
    ]


class ReturnTargetTests(SynchronousTestCase):
    """Where a sign-in may lead back to."""

    def assert_safe(self, target: bytes) -> None:
        """Whatever came, what goes out stays at the host and in the line."""
        result = return_target(target)
        self.assertEqual(set(lands_at(result)), {HOST}, (target, result))
        self.assertTrue(result.startswith("/") and result.isascii() and result.isprintable(), target)
        self.assertFalse(set(' \\"<>#') & set(result), (target, result))
        self.assertLessEqual(len(result), RETURN_TARGET_LIMIT)

    def test_hostile_spellings(self) -> None:
        """
        No spelling of another host gets through, in either encoding.

        Security row 12.
        """
        count = 0
        for parts in product(BEGINNINGS, MIDDLES, ENDS):
            text = "".join(parts)
            for encoding in ("utf-8", "latin-1"):
                self.assert_safe(text.encode(encoding, "replace"))
                self.assert_safe(b"/ok?next=" + text.encode(encoding, "replace"))
                count += 2
        self.assertGreater(count, 20_000)

    @settings(max_examples=200)
    @given(target=st.binary(max_size=200) | st.text(alphabet="/\\.?#@:%2fe \t", max_size=30).map(str.encode))
    def test_any_bytes(self, target: bytes) -> None:
        """
        Nor do any other bytes.

        Security row 12.
        """
        self.assert_safe(target)
        self.assert_safe(b"/" + target)

    def test_kept(self) -> None:
        """What a browser asks for in good faith is kept as it is."""
        for target in (
            b"/", b"/wiki/Main_Page", b"/a/b?c=d&e=f", b"/a%20b?q=%C3%A9", b"/~ada/(x)!$&'*+,;=:@",
            b"/a?b=//c", b"/a?redirect=https://other.example/", b"/a?x=a@b", b"/a//b", b"/?", b"/a?b?c",
            b"/a?m[]=1",
        ):  # fmt: skip
            self.assertEqual(return_target(target).encode(), target)

    def test_query_is_quoted(self) -> None:
        """What browsers leave bare in a query arrives percent-encoded."""
        self.assertEqual(
            return_target(b'/a?q={"x":[1|2]}^`\\\xc3\xa9'),
            "/a?q=%7B%22x%22:[1%7C2]%7D%5E%60%5C%C3%A9",
        )

    def test_own_pages(self) -> None:
        """Nobody is sent back into the pages of the proxy itself."""
        for target in (b"/.appproxy", b"/.appproxy/", b"/.appproxy/sign-out", b"/.AppProxy/ticket?ticket=x",
                       b"/.appproxy?x"):  # fmt: skip
            self.assertEqual(return_target(target), "/")
        self.assertEqual(return_target(b"/.appproxy-notes"), "/.appproxy-notes")

    def test_own_pages_in_other_spellings(self) -> None:
        """Nor by a spelling that a browser, or the edge, reads as one of these pages."""
        for target in (b"/./.appproxy/sign-out", b"/a/../.appproxy", b"/%2e/.appproxy/",
                       b"/%2eappproxy/sign-out", b"/.app%70roxy", b"/.appproxy%2fsign-out"):  # fmt: skip
            self.assertEqual(return_target(target), "/")

    def test_long(self) -> None:
        """What is too long to be kept leads to the start page."""
        self.assertEqual(return_target(b"/" + b"a" * RETURN_TARGET_LIMIT), "/")
        self.assertEqual(return_target(b"/?" + b"|" * (RETURN_TARGET_LIMIT // 2)), "/")

    def test_not_a_path(self) -> None:
        """An absolute URL, C{*} or nothing at all leads to the start page."""
        for target in (b"", b"*", b"https://wiki.example.com/x", b"wiki", b"?x"):
            self.assertEqual(return_target(target), "/")
