"""
Tests of L{appproxy.pki.identity}.
"""

from __future__ import annotations

import stat
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from appproxy.pki import identity as identity_module
from appproxy.pki.certificates import (
    BadCertificate,
    key_digest,
    key_to_pem,
    make_key,
    make_request,
    read_request,
)
from appproxy.pki.identity import Enrolment, Identity, NotEnrolled, create_key_and_csr, load, save
from tests.pki.support import DAY, HOST, NOW, clock_now, new_folder, open_authority

ENROLMENT = Enrolment("one", "hq", ("edge.example.com:443", "[::1]:8443"), HOST)


class IdentityTests(SynchronousTestCase):
    """A connector's identity in its folder."""

    def setUp(self) -> None:
        """An authority, and a folder."""
        self.clock = clock_now()
        self.authority = open_authority(self.clock, new_folder(self.mktemp()))
        self.folder = new_folder(self.mktemp()) / "identity"

    def enrol(self, holder_id: str = "abc") -> Identity:
        """Make an identity as enrolment does."""
        chain = self.authority.issue(create_key_and_csr(self.folder), "connector", holder_id)
        return save(self.folder, chain, self.authority.ca_pem, ENROLMENT, self.clock.seconds())

    def test_saved(self) -> None:
        """What is saved is loaded: key, certificate, CA, whom to dial, who it is."""
        saved, loaded = self.enrol(), load(self.folder)
        for each in (saved, loaded):
            self.assertEqual((each.role, each.id, each.name, each.group), ("connector", "abc", "one", "hq"))
            self.assertEqual(each.addresses, ENROLMENT.addresses)
            self.assertEqual(each.connect_host, HOST)
            self.assertEqual(each.ca_pem, self.authority.ca_pem)
        self.assertEqual(loaded.key_pem, saved.key_pem)
        self.assertEqual(loaded.chain_pem, saved.chain_pem)
        self.assertEqual(loaded.fingerprint, saved.fingerprint)

    def test_files(self) -> None:
        """The files have the names that the documents say, and are their owner's only."""
        self.enrol()
        files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.folder.iterdir()}
        names = ("key.pem", "certificate.pem", "ca.pem", "enrolment.json")
        self.assertEqual(files, dict.fromkeys(names, 0o600))
        self.assertEqual(stat.S_IMODE(self.folder.stat().st_mode), 0o700)

    def test_same_key_until_saved(self) -> None:
        """A repeated enrolment asks for the same key; the next one after it was saved for a new one."""
        self.assertEqual(_key_of(create_key_and_csr(self.folder)), _key_of(create_key_and_csr(self.folder)))
        first = self.enrol()
        self.assertNotEqual(_key_of(create_key_and_csr(self.folder)), _key_of(first.csr()))

    def test_old_one_stays(self) -> None:
        """Until a new enrolment has succeeded the old identity stays in use."""
        first = self.enrol()
        create_key_and_csr(self.folder)
        self.assertEqual(load(self.folder).fingerprint, first.fingerprint)
        second = self.enrol("xyz")
        self.assertEqual(load(self.folder).fingerprint, second.fingerprint)
        self.assertEqual(load(self.folder).id, "xyz")

    def test_crash_before_the_last_step(self) -> None:
        """A crash between certificate and key loses nothing: the waiting key is found to belong."""
        self.enrol("old")
        self.patch(identity_module, "_promote_new_key", lambda directory: None)
        new = self.enrol("new")
        self.assertTrue((self.folder / "new-key.pem").exists())
        self.patch(identity_module, "_promote_new_key", _promote)
        self.assertEqual(load(self.folder).key_pem, new.key_pem)
        self.assertFalse((self.folder / "new-key.pem").exists())
        self.assertEqual(load(self.folder).id, "new")

    def test_somebody_elses_certificate(self) -> None:
        """A certificate for another key, or of another CA, is not saved, and the old identity stays."""
        first = self.enrol()
        csr = create_key_and_csr(self.folder)
        stranger = open_authority(self.clock, new_folder(self.mktemp()))
        other_key = self.authority.issue(make_request(make_key()), "connector", "abc")
        for chain in (other_key, stranger.issue(csr, "connector", "abc"), b"junk"):
            self.assertRaises(BadCertificate, save, self.folder, chain, self.authority.ca_pem, ENROLMENT, NOW)
        self.assertEqual(load(self.folder).fingerprint, first.fingerprint)

    def test_renewal_due(self) -> None:
        """Renewal is due at two thirds of the certificate's life."""
        identity = self.enrol()
        self.assertEqual(identity.expires_at, NOW + 30 * DAY)
        self.assertFalse(identity.renewal_due(NOW + 19.9 * DAY))
        self.assertTrue(identity.renewal_due(NOW + 20 * DAY))
        self.assertFalse(identity.is_expired(NOW + 30 * DAY - 1))
        self.assertTrue(identity.is_expired(NOW + 30 * DAY + 1))

    def test_renewed(self) -> None:
        """A renewed certificate takes the place of the old one, with the same key."""
        identity = self.enrol()
        now = NOW + 21 * DAY
        self.clock.advance(21 * DAY)
        renewed = identity.accept(self.authority.issue(identity.csr(), "connector", "abc"), now)
        self.assertEqual(renewed.expires_at, now + 30 * DAY)
        self.assertFalse(renewed.renewal_due(now))
        self.assertEqual(load(self.folder).fingerprint, renewed.fingerprint)
        self.assertEqual(renewed.key_pem, identity.key_pem)

    def test_renewal_refused(self) -> None:
        """No certificate is accepted for another id, role, key, of another CA or out of its time."""
        identity = self.enrol()
        stranger = open_authority(self.clock, new_folder(self.mktemp()))
        for chain in (
            self.authority.issue(identity.csr(), "connector", "xyz"),
            self.authority.issue(identity.csr(), "relay", "abc", host_name=HOST),
            self.authority.issue(make_request(make_key()), "connector", "abc"),
            stranger.issue(identity.csr(), "connector", "abc"),
            b"junk",
        ):
            self.assertRaises(BadCertificate, identity.accept, chain, NOW)
        good = self.authority.issue(identity.csr(), "connector", "abc")
        self.assertRaises(BadCertificate, identity.accept, good, NOW + 31 * DAY)
        self.assertEqual(load(self.folder).fingerprint, identity.fingerprint)

    def test_addresses(self) -> None:
        """Other addresses to dial are kept."""
        self.enrol().with_addresses(["other.example.com:443"])
        self.assertEqual(load(self.folder).addresses, ("other.example.com:443",))
        self.assertEqual(load(self.folder).group, "hq")

    def test_not_enrolled(self) -> None:
        """Without an identity the error says which command makes one."""
        with self.assertRaises(NotEnrolled) as caught:
            load(self.folder)
        self.assertIn("appproxy enroll", str(caught.exception))

    def test_damaged(self) -> None:
        """An identity with a file missing, damaged, or open to others cannot be used, and says so."""
        self.enrol()
        for path in sorted(self.folder.iterdir()):
            content = path.read_bytes()
            for damage in (b"", b"junk", b"[]", b"{}"):
                path.write_bytes(damage)
                self.assertRaises(NotEnrolled, load, self.folder)
            path.unlink()
            self.assertRaises(NotEnrolled, load, self.folder)
            path.write_bytes(content)
            path.chmod(0o600)
        load(self.folder)
        (self.folder / "key.pem").chmod(0o644)
        self.assertRaises(NotEnrolled, load, self.folder)

    def test_another_key(self) -> None:
        """A key that the certificate is not for cannot be used."""
        self.enrol()
        (self.folder / "key.pem").write_bytes(key_to_pem(make_key()))
        self.assertRaises(NotEnrolled, load, self.folder)

    def test_imports(self) -> None:
        """What a connector and the command line import can issue no certificates and reaches no reactor."""
        code = (
            "import sys, appproxy.pki.identity, appproxy.pki.enrolment_client\n"
            "names = 'authority issuing join'.split()\n"
            "found = [n for n in names if 'appproxy.pki.' + n in sys.modules]\n"
            "others = 'twisted.internet.reactor', 'appproxy.store.sqlite'\n"
            "found += [n for n in others if n in sys.modules]\n"
            "sys.exit(repr(found) if found else 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


_promote = identity_module._promote_new_key


def _key_of(csr: bytes) -> object:
    return key_digest(read_request(csr))
