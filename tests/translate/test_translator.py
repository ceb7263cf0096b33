"""Tests of L{appproxy.translate.translator}."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.block import Block, blocks_of, fields_of
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import MEMO_LINE_SIZE, Fields, field, fields
from appproxy.model.web_address import parse_web_address
from appproxy.translate.translator import KEPT_HEADERS, Translator, is_inward


def translator(internal: str, external: str) -> Translator:
    """A translator between two addresses."""
    return Translator(parse_web_address(internal), parse_web_address(external))


PLAIN = translator("http://wiki.corp:8080/", "https://wiki.apps.example.com/")
PATHS = translator("http://wiki.corp/base/", "https://apps.example.com/app/one/")


class TargetTests(SynchronousTestCase):
    """Targets on their way in."""

    def test_same_path(self) -> None:
        """Where both paths are the root no byte changes."""
        for target in (b"/", b"/a%20b//c;d?e=%2f", b"*"):
            self.assertEqual(PLAIN.target(target), target)

    def test_prefix(self) -> None:
        """The external prefix becomes the internal one, all other bytes stay."""
        for target, expected in (
            (b"/app/one/", b"/base/"),
            (b"/app/one/x%20y?/app/one/", b"/base/x%20y?/app/one/"),
            (b"/app/one", b"/base"),
            (b"/app/one?q", b"/base?q"),
            (b"/%61pp/%6fne/x", b"/base/x"),
            (b"*", b"*"),
        ):
            self.assertEqual(PATHS.target(target), expected)

    def test_root_inside_or_outside(self) -> None:
        """One side's root and the other's folder."""
        self.assertEqual(translator("http://a/", "https://b/x/").target(b"/x/y"), b"/y")
        self.assertEqual(translator("http://a/", "https://b/x/").target(b"/x"), b"/")
        self.assertEqual(translator("http://a/x/", "https://b/").target(b"/y?z"), b"/x/y?z")

    def test_no_host(self) -> None:
        """Where a part of the path before a second slash goes, the rest becomes no host."""
        below = translator("http://a/", "https://b/x/")
        for target in (b"/x//evil/", b"/x//", b"/%78//evil", b"/x//evil?y"):
            self.assertRaises(BadMessage, below.target, target)
        for target, expected in ((b"/x/y//z", b"/y//z"), (b"/x/?//y", b"/?//y"), (b"/x?//y", b"/?//y")):
            self.assertEqual(below.target(target), expected)
        self.assertEqual(PATHS.target(b"/app/one//x"), b"/base//x")
        self.assertEqual(translator("http://a/x/", "https://b/").target(b"//y"), b"/x//y")

    def test_letters_beyond_ascii(self) -> None:
        """Paths are compared decoded and sent encoded."""
        there = translator("http://a/ü/", "https://b/ä/")
        self.assertEqual(there.target(b"/%C3%A4/x"), b"/%C3%BC/x")
        self.assertEqual(there.target(b"/%c3%a4/x"), b"/%C3%BC/x")
        self.assertEqual(there.target(b"/%c3%a4?/"), b"/%C3%BC?/")

    def test_outside(self) -> None:
        """A target that is not below the external address goes nowhere."""
        for target in (
            b"/",
            b"/app/",
            b"/app/oneself",
            b"/app%2fone/x",
            b"/app%2fone",
            b"/other/one/x",
            b"",
            b"?x",
        ):
            self.assertRaises(BadMessage, PATHS.target, target)
        self.assertRaises(BadMessage, PATHS.target, b"?x")


class ResponseHeaderTests(SynchronousTestCase):
    """Headers on their way out."""

    def outward(self, there: Translator, name: bytes, value: bytes) -> bytes:
        """One header's value, translated."""
        [(name_after, value_after)] = fields_of(there.response_headers([Block([field(name, value)])]))
        self.assertEqual(name_after, name)
        return value_after

    def test_references(self) -> None:
        """Location and Content-Location: absolute, scheme-relative and path-absolute references."""
        for value, expected in (
            (b"http://wiki.corp/base/x?y#z", b"https://apps.example.com/app/one/x?y#z"),
            (b"HTTP://WIKI.corp:80/base/", b"https://apps.example.com/app/one/"),
            (b"http://wiki.corp./base", b"https://apps.example.com/app/one"),
            (b"//wiki.corp/base/x", b"//apps.example.com/app/one/x"),
            (b"/base/x", b"/app/one/x"),
            (b"/base?x", b"/app/one?x"),
        ):
            for name in (b"Location", b"content-LOCATION"):
                self.assertEqual(self.outward(PATHS, name, value), expected)

    def test_foreign_and_relative_references_stay(self) -> None:
        """What points elsewhere, is relative, or is junk stays byte for byte."""
        for value in (
            b"http://wiki.corp:81/base/x",
            b"https://wiki.corp/base/x",
            b"http://wiki.corp/other",
            b"http://wiki.corp/",
            b"http://wiki.corp.evil.example/base/",
            b"http://user@wiki.corp/base/",
            b"http://mail.corp/base/",
            b"/other",
            b"/baseline",
            b"x/y",
            b"../x",
            b"?x",
            b"#x",
            b"",
            b"mailto:a@b",
            b"http:/base/x",
            b"http:\\\\wiki.corp\\base\\",
            b"http://[::1/base/",
            b"http://wiki.corp:x/base/",
            b"http://",
            b"\x80\xff",
        ):
            self.assertEqual(self.outward(PATHS, b"Location", value), value)

    def test_host_alone(self) -> None:
        """A reference without path means the root."""
        self.assertEqual(
            self.outward(PLAIN, b"Location", b"http://wiki.corp:8080"), b"https://wiki.apps.example.com/"
        )
        self.assertEqual(
            self.outward(PLAIN, b"Location", b"http://wiki.corp:8080?x"), b"https://wiki.apps.example.com/?x"
        )

    def test_refresh(self) -> None:
        """The address in Refresh, quoted or not."""
        for value, expected in (
            (b"5; url=http://wiki.corp/base/x", b"5; url=https://apps.example.com/app/one/x"),
            (b"0;URL='/base/x'", b"0;URL='/app/one/x'"),
            (b'0.5, Url = "/base/x" ;', b'0.5, Url = "/app/one/x" ;'),
            (b"0; /base/x", b"0; /app/one/x"),
            (b"5", b"5"),
            (b"soon; url=/base/x", b"soon; url=/base/x"),
        ):
            self.assertEqual(self.outward(PATHS, b"Refresh", value), expected)

    def test_link(self) -> None:
        """Every target in Link, and nothing inside of its parameters."""
        self.assertEqual(
            self.outward(
                PATHS,
                b"Link",
                b'</base/a>; rel=next; title="</base/no> \\" <", <http://wiki.corp/base/b>, <x>, <',
            ),
            b'</app/one/a>; rel=next; title="</base/no> \\" <", <https://apps.example.com/app/one/b>, <x>, <',
        )

    def test_set_cookie(self) -> None:
        """Set-Cookie is translated."""
        self.assertEqual(
            self.outward(PATHS, b"set-cookie", b"a=b; Path=/base/; Domain=wiki.corp"),
            b"a=b; Path=/app/one/; Domain=apps.example.com; Secure",
        )

    def test_other_headers(self) -> None:
        """All other headers stay in the same block."""
        headers = fields([(b"X-Location", b"http://wiki.corp/base/"), (b"Content-Type", b"text/html")])
        block = Block(headers)
        self.assertIs(PATHS.response_headers([block])[0], block)

    @settings(max_examples=200, deadline=None)
    @given(
        st.sampled_from([b"Location", b"Refresh", b"Link", b"Set-Cookie"]),
        st.lists(
            st.sampled_from(
                [
                    b"http:",
                    b"//",
                    b"wiki.corp",
                    b"/base/",
                    b"<",
                    b">",
                    b'"',
                    b";",
                    b"=",
                    b"Path",
                    b"0",
                    b"\xff",
                    b"@",
                    b":",
                ]
            ),
            max_size=12,
        ),
    )
    def test_junk_never_raises(self, name: bytes, parts: list[bytes]) -> None:
        """Whatever a backend says, there is an answer, without new lines."""
        value = self.outward(PATHS, name, b"".join(parts))
        self.assertNotIn(b"\n", value)


def inward(there: Translator, headers: Fields) -> Fields:
    """The headers of a request, those that are translated and those that are not."""
    return [there.request_header(each) if is_inward(each.kind) else each for each in headers]


class RequestHeaderTests(SynchronousTestCase):
    """Headers on their way in."""

    def test_translated(self) -> None:
        """Destination, Referer and Origin of this application become what the backend knows."""
        self.assertEqual(
            inward(
                PATHS,
                fields(
                    [
                        (b"destination", b"https://apps.example.com/app/one/new%20name"),
                        (b"Referer", b"https://apps.example.com/app/one/?x"),
                        (b"Origin", b"https://apps.example.com"),
                        (b"Accept", b"*/*"),
                    ]
                ),
            ),
            [
                (b"destination", b"http://wiki.corp/base/new%20name"),
                (b"Referer", b"http://wiki.corp/base/?x"),
                (b"Origin", b"http://wiki.corp"),
                (b"Accept", b"*/*"),
            ],
        )

    def test_foreign(self) -> None:
        """A foreign origin stays foreign: the backend must be able to refuse it."""
        for value in (
            b"null",
            b"https://evil.example",
            b"http://apps.example.com",
            b"https://apps.example.com:444",
            b"https://apps.example.com/",
            b"https://apps.example.com.evil.example",
            b"",
        ):
            self.assertEqual(inward(PATHS, [field(b"Origin", value)]), [(b"Origin", value)])
        headers = fields(
            [
                (b"Referer", b"https://apps.example.com/another/"),
                (b"Destination", b"https://evil/app/one/"),
            ]
        )
        self.assertEqual(inward(PATHS, headers), headers)

    def test_remembered(self) -> None:
        """A header that comes again is not translated again; for another application it becomes another."""
        there, elsewhere = (translator("http://a/", "https://x/"), translator("http://b/", "https://x/"))
        header = field(b"Referer", b"https://x/page")
        first, second = there.request_header(header), there.request_header(field(*header))
        self.assertIs(first, second)
        self.assertEqual(first, (b"Referer", b"http://a/page"))
        self.assertEqual(elsewhere.request_header(header), (b"Referer", b"http://b/page"))
        self.assertEqual(there.request_header(field(b"Origin", b"https://x")), (b"Origin", b"http://a"))

    def test_remembered_few(self) -> None:
        """A client that invents addresses does not make the memo grow; long ones stay out of it."""
        there = translator("http://a/", "https://x/")
        for number in range(2 * KEPT_HEADERS + 10):
            header = field(b"Referer", b"https://x/%d" % number)
            self.assertEqual(there.request_header(header), (b"Referer", b"http://a/%d" % number))
            self.assertLessEqual(len(there._translated), KEPT_HEADERS)
        kept = len(there._translated)
        long = b"y" * MEMO_LINE_SIZE
        self.assertEqual(
            there.request_header(field(b"Referer", b"https://x/" + long)), (b"Referer", b"http://a/" + long)
        )
        self.assertEqual(len(there._translated), kept)

    def test_nothing_else_is_remembered(self) -> None:
        """Only what is translated is kept: no cookie, and nothing that signs somebody on."""
        there = translator("http://a/", "https://x/")
        headers = fields([(b"Cookie", b"a=b"), (b"Authorization", b"Basic eA=="), (b"Accept", b"*/*")])
        self.assertEqual(inward(there, headers), headers)
        there.response_headers(
            blocks_of(fields([(b"Set-Cookie", b"a=b"), (b"Location", b"http://a/?code=1")]))
        )
        self.assertEqual(there._translated, {})
