"""Tests of L{appproxy.translate.urls}."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.web_address import parse_web_address
from appproxy.translate.urls import UrlMap

ADDRESSES = [
    parse_web_address(text)
    for text in (
        "http://a.corp/",
        "https://a.corp/",
        "http://a.corp:8080/x/",
        "https://[fd00::1]:444/",
        "http://10.0.0.1/x/y/",
        "https://b.example/z/",
    )
]


class UrlMapTests(SynchronousTestCase):
    """References between any two addresses."""

    @settings(max_examples=150, deadline=None)
    @given(
        st.sampled_from(ADDRESSES), st.sampled_from(ADDRESSES), st.text(alphabet="ab/.%?#=:@", max_size=10)
    )
    def test_there_and_back(self, source: object, destination: object, tail: str) -> None:
        """An absolute reference below one address arrives below the other, and comes back the same."""
        one, other = parse_web_address(source), parse_web_address(destination)
        url = f"{one}{tail}".encode()
        there = UrlMap(one, other).reference(url)
        self.assertEqual(there, f"{other}{tail}".encode())
        self.assertEqual(UrlMap(other, one).reference(there), url)

    def test_ports(self) -> None:
        """A scheme's own port may be written or not, on the way in; never on the way out."""
        urls = UrlMap(parse_web_address("https://a.corp/"), parse_web_address("https://b.example:443/"))
        for url in (b"https://a.corp:443/x", b"https://a.corp/x"):
            self.assertEqual(urls.reference(url), b"https://b.example/x")
        self.assertEqual(urls.reference(b"https://a.corp:80/x"), b"https://a.corp:80/x")

    def test_slashes_behind_the_path(self) -> None:
        """A path whose rest begins with a slash stays at the host, whatever a browser makes of slashes."""
        urls = UrlMap(parse_web_address("http://a.corp/x/"), parse_web_address("https://b.example:444/"))
        for tail in (b"/evil.example/", b"\\evil.example", b"\t/evil.example?y", b"//evil.example#z"):
            self.assertEqual(urls.reference(b"/x/" + tail), b"https://b.example:444/" + tail)
        self.assertEqual(urls.reference(b"/x/y//z"), b"/y//z")
