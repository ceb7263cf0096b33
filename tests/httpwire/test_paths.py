"""Tests of L{appproxy.httpwire.paths}."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.paths import CanonicalPath, canonical_path

REFUSED = {
    "dot_segments": (
        b"/.",
        b"/..",
        b"/a/../b",
        b"/a/./b",
        b"/a/..",
        b"/%2e%2e/b",
        b"/%2E./b",
        b"/a/.%2e",
        b"/a%2f..%2fb",
        b"/a%2F%2e%2e",
        b"/..;/b",
        b"/..;x=y/b",
        b"/.;/b",
        b"/%2e%2e%3b/b",
        b"/..%20/b",
        b"/%20../b",
        b"/%252e%252e/b",
        b"/a%252f..%252fb",
        b"/..%255cb",
    ),
    "nul": (b"/%00", b"/a%00.html"),
    "backslash": (b"/a\\b", b"/%5c", b"/..%5Cb", b"/%5C%5Cserver"),
    "bad_utf8": (b"/%ff", b"/%c0%ae%c0%ae/", b"/%c3", b"/%ed%a0%80", b"/%e0%80%af", b"/\xff"),
    "bad_percent": (b"/%", b"/%2", b"/%zz", b"/%u002e", b"/%%32e"),
    "control_character": (b"/%0a", b"/%0d%0aX:y", b"/%7f", b"/%1b", b"/..%09/b"),
    "fragment": (b"/a#b", b"/a?b#c", b"#"),
    "target": (b"", b"a", b"?x", b"http://a/", b"%2fa"),
}


class CanonicalPathTests(SynchronousTestCase):
    """The one path that all decisions use."""

    def test_decoded_once(self) -> None:
        """Percent signs are decoded once; the query takes no part."""
        for target, path in (
            (b"/", "/"),
            (b"/a/b.html?x=/../y", "/a/b.html"),
            (b"/a%20b", "/a b"),
            (b"/%61dmin", "/admin"),
            (b"/%C3%A4", "/ä"),
            (b"/%2561", "/%61"),
            (b"/100%25", "/100%"),
            (b"/%3Fx", "/?x"),
            (b"/%23", "/#"),
            (b"/.well-known/x", "/.well-known/x"),
            (b"/a/...", "/a/..."),
            (b"/a..b/..c", "/a..b/..c"),
            (b"*", "*"),
        ):
            self.assertEqual(canonical_path(target), CanonicalPath(path, frozenset()), target)

    def test_ambiguous_spellings_are_told(self) -> None:
        """Encoded slashes, empty segments and parameters are reported."""
        for target, path, ambiguous in (
            (b"/a%2fb", "/a/b", {"%2f"}),
            (b"/a%2Fb", "/a/b", {"%2f"}),
            (b"//a", "//a", {"//"}),
            (b"/a//b", "/a//b", {"//"}),
            (b"/a/%2f", "/a//", {"%2f", "//"}),
            (b"/a;x=y/b", "/a;x=y/b", {";"}),
            (b"/a%3bx", "/a;x", {";"}),
        ):
            self.assertEqual(canonical_path(target), CanonicalPath(path, frozenset(ambiguous)), target)

    def test_refused(self) -> None:
        """Every spelling of a dangerous path is refused, by its rule."""
        for rule, targets in REFUSED.items():
            for target in targets:
                error = self.assertRaises(BadMessage, canonical_path, target)
                self.assertEqual((error.status, error.rule), (400, rule), target)

    def test_long_paths(self) -> None:
        """Paths too long for the memo are read alike."""
        self.assertEqual(canonical_path(b"/" + b"a" * 5000).path, "/" + "a" * 5000)
        self.assertRaises(BadMessage, canonical_path, b"/" + b"a" * 5000 + b"/..")

    @settings(max_examples=200, deadline=None)
    @given(st.text(alphabet="abé./%;\\?#\0 \n", max_size=12), st.booleans())
    @example("../a", True)
    def test_every_path_that_passes_is_the_one_encoded(self, text: str, all_encoded: bool) -> None:
        """
        Whatever the spelling, a path that passes is what was encoded, and has no dot segment.

        Security row 7.
        """
        path = "/" + text
        encoded = (
            "/" + "".join(f"%{byte:02x}" for byte in text.encode()) if all_encoded else quote(path, safe="/;")
        )
        try:
            canonical = canonical_path(encoded.encode("ascii"))
        except BadMessage:
            self.assertTrue(any(bad in text for bad in (".", "\\", "\0", "\n", "%")))
        else:
            self.assertEqual(canonical.path, path)
            self.assertFalse({".", ".."} & {part.split(";")[0].strip() for part in path.split("/")})
