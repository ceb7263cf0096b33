"""
Tests of L{appproxy.tunnel.principals}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.principal import Principal
from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.principals import Principals, digest_of


class PrincipalsTests(SynchronousTestCase):
    """Numbers to principals."""

    def test_digest_is_the_models(self) -> None:
        """The digest on the wire is the one that the model computes."""
        principal = Principal("https://idp", "sub", "a" * 32, mail="ada@example.com")
        self.assertEqual(digest_of(principal.encoded), principal.digest)

    def test_check(self) -> None:
        """A number is good with its own digest only; 0 with zeros only."""
        known = Principals()
        known.add(3, b"ada", b"")
        known.check(3, digest_of(b"ada"))
        known.check(0, bytes(8))
        for number, digest in ((3, digest_of(b"bob")), (4, digest_of(b"ada")), (0, digest_of(b"ada"))):
            self.assertRaises(TunnelError, known.check, number, digest)

    def test_never_again(self) -> None:
        """A forgotten number is unknown, and is never given to anybody again."""
        known = Principals()
        known.add(3, b"ada", b"proof")
        self.assertTrue(known.forget(3))
        self.assertFalse(known.forget(3))
        self.assertEqual((len(known), known.size), (0, 0))
        self.assertRaises(TunnelError, known.check, 3, digest_of(b"ada"))
        self.assertRaises(TunnelError, known.add, 3, b"bob", b"")
