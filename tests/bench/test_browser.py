"""
Requests as browsers send them.
"""

from __future__ import annotations

from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.heads import RequestHead
from appproxy.httpwire.request_parser import RequestParser
from bench.browser import CLOSE_EVERY, PATHS, compose

COOKIES = [f"session={number}" for number in range(100)]


def heads(requests: list[str]) -> list[RequestHead]:
    """The requests as the edge's parser reads them."""
    found = []
    for request in requests:
        head = RequestParser().feed(request.encode())[0]
        assert isinstance(head, RequestHead)
        found.append(head)
    return found


class ComposeTests(SynchronousTestCase):
    """What is sent."""

    def setUp(self) -> None:
        self.heads = heads(compose("1k", "app.example:8443", COOKIES, count=1000))

    def test_everybody_comes(self) -> None:
        """Each session sends as many requests as any other, and never two in a row."""
        sent = [head.cookie.rpartition(b"; ")[2].decode() for head in self.heads]
        self.assertEqual({each: sent.count(each) for each in COOKIES}, dict.fromkeys(COOKIES, 10))
        self.assertTrue(all(one != next_one for one, next_one in pairwise(sent)))

    def test_variety(self) -> None:
        """There are fifty paths, and several values of Accept and Referer."""
        self.assertEqual(len({head.target.partition(b"?")[0] for head in self.heads}), PATHS)
        for name in (b"Accept", b"Referer"):
            values = {value for head in self.heads for found, value in head.headers if found == name}
            self.assertGreater(len(values), 4)

    def test_same_for_all(self) -> None:
        """Systems get the same requests but for session and host."""
        others = heads(compose("1k", "other.example:9443", (), count=1000))
        self.assertEqual([head.target for head in self.heads], [head.target for head in others])

    def test_renewed_connections(self) -> None:
        """Where connections are renewed, each tenth request asks for the end of its own."""
        made = heads(compose("1k", "app.example", COOKIES, close_every=CLOSE_EVERY, count=100))
        self.assertEqual([head.keep_alive for head in made[:20]], ([True] * 9 + [False]) * 2)
