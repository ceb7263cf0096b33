"""The grammar of the allow list."""

from __future__ import annotations

from ipaddress import ip_network

from twisted.trial.unittest import SynchronousTestCase

from appproxy.config.allowed_backends import AllowedBackend

parse = AllowedBackend.parse


class AllowedBackendTests(SynchronousTestCase):
    """L{AllowedBackend.parse}."""

    def test_names(self) -> None:
        """A name, lower-case, with no port, one, or several."""
        self.assertEqual(parse("Wiki.corp.example"), AllowedBackend("wiki.corp.example", None, frozenset()))
        self.assertEqual(parse("wiki:8080").ports, {8080})
        self.assertEqual(
            parse("*.corp.example:80,443"), AllowedBackend("*.corp.example", None, frozenset({80, 443}))
        )

    def test_networks(self) -> None:
        """A network or an address; IPv6 stands in brackets, so that ports can follow."""
        self.assertEqual(
            parse("10.20.0.0/16:443"), AllowedBackend("", ip_network("10.20.0.0/16"), frozenset({443}))
        )
        self.assertEqual(parse("127.0.0.1:8888").network, ip_network("127.0.0.1/32"))
        self.assertEqual(parse("[fc00::]/7:443").network, ip_network("fc00::/7"))
        self.assertEqual(parse("[::1]").network, ip_network("::1/128"))

    def test_refused(self) -> None:
        """What cannot be meant is refused, not guessed."""
        for wrong in (
            "",
            "*",
            "*.example",
            "a.*.example",
            "w*.corp.example",
            "http://wiki",
            "wiki:0",
            "wiki:65536",
            "wiki:80-90",
            "wiki:80,",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0",
            "fc00::/7:443",
            "wi ki",
            "wiki/path:80",
        ):
            self.assertRaises(ValueError, parse, wrong)
