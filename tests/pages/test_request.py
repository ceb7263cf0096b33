"""
Tests of L{appproxy.pages.request}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from appproxy.pages.request import PageRequest, transaction_of
from tests.pages.support import ask


class _Origin(Resource):
    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)

    def render_GET(self, request: PageRequest) -> bytes:
        return f"{request.origin} {transaction_of(request)}".encode()


class OriginTests(SynchronousTestCase):
    """L{PageRequest.origin}."""

    def test_origin(self) -> None:
        """The origin has a port only where it is not the scheme's own, and brackets where needed."""
        for host, scheme_port, origin in (
            (b"a.example", "https:443", "https://a.example"),
            (b"a.example", "https:8443", "https://a.example:8443"),
            (b"a.example", "http:80", "http://a.example"),
            (b"::1", "https:8443", "https://[::1]:8443"),
        ):
            answer = ask(_Origin(), "/", host_name=host, scheme_port=scheme_port, transaction_id="01AB")
            self.assertEqual(answer.text, f"{origin} 01AB")
