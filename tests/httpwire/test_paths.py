"""Tests of L{appproxy.httpwire.paths}."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.paths import CanonicalPath, canonical_path, loose_path, readings
from tests.corpus.cases import PATHS


class CanonicalPathTests(SynchronousTestCase):
    """The one path that all decisions use."""

    def test_corpus(self) -> None:
        """
        Each target of the corpus is refused by its rule, or read once.

        Security row 7, security row 8.
        """
        for case in PATHS:
            if case.rule:
                error = self.assertRaises(BadMessage, canonical_path, case.target)
                self.assertEqual((error.status, error.rule), (400, case.rule), case.target)
            else:
                self.assertEqual(
                    canonical_path(case.target), CanonicalPath(case.path, case.ambiguous), case.target
                )

    def test_no_origin_form(self) -> None:
        """What does not begin with a slash is no path; an asterisk stands for itself."""
        self.assertEqual(canonical_path(b"*"), CanonicalPath("*", frozenset()))
        for target in (b"", b"a", b"?x", b"http://a/", b"%2fa"):
            self.assertEqual(self.assertRaises(BadMessage, canonical_path, target).rule, "target", target)
        self.assertEqual(self.assertRaises(BadMessage, canonical_path, b"/\xff").rule, "bad_utf8")
        self.assertEqual(self.assertRaises(BadMessage, canonical_path, b"#").rule, "fragment")

    def test_readings(self) -> None:
        """All that servers could take an ambiguous target for; only one path for any other."""
        for target, expected in (
            (b"/a%20b?//", {"/a b"}),
            (b"/a//b", {"/a//b", "/a/b"}),
            (b"/a%2fb", {"/a/b", "/a%2Fb"}),
            (b"/a;x/b", {"/a;x/b", "/a/b"}),
            (b"/%2F;/b", {"//;/b", "/;/b", "///b", "/b", "/%2F;/b", "/%2F/b"}),
            (b"//a/b//c", {"//a/b//c", "/a/b/c", "/b//c", "/b/c"}),
            (b"//a", {"//a", "/a", "/"}),
        ):
            self.assertEqual(readings(target), expected, target)

    def test_loose_paths(self) -> None:
        """Spellings of one file on Windows are one; a dot within a name stays."""
        for path in ("/secret/a.b", "/SECRET/A.B", "/Secret./a.B..", "/sEcret. ./a.b ", "/\u017fecret/a.b"):
            self.assertEqual(loose_path(path), "/secret/a.b", path)
        self.assertEqual(loose_path("/"), "/")

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
