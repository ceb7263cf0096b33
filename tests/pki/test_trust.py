"""
Tests of L{appproxy.pki.trust}.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.trial.unittest import SynchronousTestCase

from appproxy.pki.certificates import CONNECTORS_ISSUER, certificate_to_pem, make_key, moment
from appproxy.pki.issuing import Issuer, make_issuer, make_link, make_root
from appproxy.pki.trust import MAXIMUM_ROOTS, AnnouncedRoot, follow_roots, read_announced
from tests.pki.support import DAY, NOW


def root() -> Issuer:
    """A new one."""
    return make_root(make_key(), NOW)


def self_signed(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A root of any name."""
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.not_valid_before(moment(NOW - DAY)).not_valid_after(moment(NOW + DAY)).serial_number(1)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
    return builder.sign(key, hashes.SHA256())


def announced(new: Issuer, old: Issuer | None = None) -> AnnouncedRoot:
    """A root as edges tell of it; vouched for by another one, if there is one."""
    link = None if old is None else make_link(new.certificate, old, NOW)
    return AnnouncedRoot(new.certificate, link)


class FollowTests(SynchronousTestCase):
    """L{follow_roots}."""

    def setUp(self) -> None:
        """Three roots, of which each vouches for the next."""
        self.first, self.second, self.third = root(), root(), root()
        self.told = [
            announced(self.first),
            announced(self.second, self.first),
            announced(self.third, self.second),
        ]

    def follow(self, told: list[AnnouncedRoot], *trusted: Issuer, now: float = NOW) -> list[x509.Certificate]:
        """What is trusted then."""
        return list(follow_roots([each.certificate for each in trusted], told, now))

    def test_vouched_for(self) -> None:
        """A root is trusted that a trusted one vouches for, and so on."""
        everyone = [each.root for each in self.told]
        self.assertEqual(self.follow(self.told, self.first), everyone)
        self.assertEqual(self.follow(self.told, self.second), everyone[1:])
        self.assertEqual(self.follow(self.told[:2], self.first), everyone[:2])

    def test_retired(self) -> None:
        """One that is not told of any longer is not trusted any longer."""
        self.assertEqual(
            self.follow(self.told[1:], self.first, self.second), [self.told[1].root, self.told[2].root]
        )

    def test_stranger(self) -> None:
        """
        A root without a link, or with a link of somebody else's, is not followed, whoever tells of it.

        Security row 36.
        """
        stranger = root()
        for told in (
            announced(stranger),
            announced(stranger, stranger),
            announced(stranger, root()),
            AnnouncedRoot(stranger.certificate, self.told[1].link),
            AnnouncedRoot(stranger.certificate, self.first.certificate),
        ):
            self.assertEqual(self.follow([told], self.first), [])
            self.assertEqual(self.follow([self.told[0], told], self.first), [self.first.certificate])

    def test_issuer_is_no_root(self) -> None:
        """
        What the root signed otherwise, such as the connectors' issuer, does not become a root by that.

        Security row 36.
        """
        key = make_key()
        issuer = make_issuer(CONNECTORS_ISSUER, key.public_key(), self.first, NOW)
        named_as_root = make_root(key, NOW)
        named_as_issuer = self_signed(issuer.subject, key)
        for rogue in (named_as_root.certificate, named_as_issuer):
            self.assertEqual(self.follow([AnnouncedRoot(rogue, issuer)], self.first), [])

    def test_by_an_issuer(self) -> None:
        """Nor does an issuer's key, which stands in an edge's store, vouch for anything."""
        key = make_key()
        issuer = Issuer(make_issuer(CONNECTORS_ISSUER, key.public_key(), self.first, NOW), key)
        self.assertEqual(self.follow([announced(root(), issuer)], self.first), [])

    def test_time(self) -> None:
        """A root or link whose time is over vouches for nothing new."""
        late = NOW + 21 * 365 * DAY
        self.assertEqual(self.follow(self.told[:2], self.first, now=late), [self.first.certificate])


class ReadTests(SynchronousTestCase):
    """L{read_announced}."""

    def test_round_trip(self) -> None:
        """What is written is read."""
        first, second = root(), root()
        told = (announced(first), announced(second, first))
        self.assertEqual(read_announced([each.as_dict() for each in told]), told)
        self.assertEqual(read_announced(None), ())

    def test_junk(self) -> None:
        """Anything else is an error, and so are too many."""
        pem = certificate_to_pem(root().certificate).decode()
        junk: tuple[object, ...] = (
            {},
            "text",
            [1],
            [{}],
            [{"root": 1}],
            [{"root": "junk"}],
            [{"root": pem, "link": 7}],
            [{"root": pem, "link": "junk"}],
            [{"root": pem}] * (MAXIMUM_ROOTS + 1),
            [{"root": "\ud800"}],
        )
        for plain in junk:
            self.assertRaises(ValueError, read_announced, plain)
