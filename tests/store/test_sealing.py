"""
Tests of L{appproxy.store.sealing} and L{appproxy.store.files}.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.store.files import UnsafeFile, create_private, read_private, write_private
from appproxy.store.sealing import KEY_SIZE, SealBroken, Sealer, load_key, load_or_make_key

_SEALER = Sealer(bytes(range(KEY_SIZE)))


class SealerTests(SynchronousTestCase):
    """Sealing of values."""

    @settings(max_examples=50, deadline=None)
    @given(st.binary(max_size=200))
    def test_round_trip(self, value: bytes) -> None:
        """What is sealed for a place opens at that place."""
        self.assertEqual(_SEALER.unseal("/a/x", _SEALER.seal("/a/x", value)), value)

    def test_form(self) -> None:
        """The stored form is a version byte, 12 bytes of nonce, AES-256-GCM with the name authenticated."""
        sealed = _SEALER.seal("/a/x", b"value")
        plain = AESGCM(bytes(range(32))).decrypt(sealed[1:13], sealed[13:], b"/a/x")
        self.assertEqual((sealed[:1], plain), (b"\x01", b"value"))

    def test_known_answer(self) -> None:
        """A value sealed by an earlier version still opens."""
        sealed = bytes.fromhex(
            "01000102030405060708090a0b"
            + AESGCM(bytes(range(32))).encrypt(bytes(range(12)), b"v", b"/n").hex()
        )
        self.assertEqual(_SEALER.unseal("/n", sealed), b"v")

    def test_nonces_differ(self) -> None:
        """The same value never looks the same twice."""
        self.assertEqual(len({_SEALER.seal("/a/x", b"value")[:13] for _ in range(1000)}), 1000)

    def test_every_bit_counts(self) -> None:
        """A value with any byte changed, cut or added does not open."""
        sealed = _SEALER.seal("/a/x", b"value")
        broken = [sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :] for i in range(len(sealed))]
        broken += [sealed[:i] for i in range(len(sealed))] + [sealed + b"\0"]
        for each in broken:
            self.assertRaises(SealBroken, _SEALER.unseal, "/a/x", each)

    def test_moved(self) -> None:
        """A sealed value copied to another place does not open there."""
        self.assertRaises(SealBroken, _SEALER.unseal, "/a/y", _SEALER.seal("/a/x", b"value"))

    def test_other_key(self) -> None:
        """A value sealed with another key does not open."""
        other = Sealer(os.urandom(KEY_SIZE))
        self.assertRaises(SealBroken, other.unseal, "/a/x", _SEALER.seal("/a/x", b"value"))

    def test_short_key(self) -> None:
        """A key of the wrong size is refused."""
        self.assertRaises(ValueError, Sealer, bytes(16))


class KeyFileTests(SynchronousTestCase):
    """The file of the sealing key."""

    def setUp(self) -> None:
        """A folder."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        self.path = self.folder / "store.key"

    def test_made_once(self) -> None:
        """The first call makes the file, for its owner only; later ones read it."""
        key = load_or_make_key(self.path)
        self.assertEqual(len(key), KEY_SIZE)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(load_or_make_key(self.path), key)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["store.key"])

    def test_open_to_others(self) -> None:
        """A key that others can read, or a group can write, is refused; a group may read credentials."""
        key = load_or_make_key(self.path)
        for mode in (0o604, 0o602, 0o601, 0o620, 0o644):
            self.path.chmod(mode)
            self.assertRaises(UnsafeFile, load_or_make_key, self.path)
        self.path.chmod(0o440)
        self.assertEqual(load_key(self.path), key)

    def test_no_key(self) -> None:
        """A file that holds something else is refused, never overwritten, and its content is not told."""
        for content in (b"", b"short", b"!" * 44, b"c2VjcmV0" * 6):
            write_private(self.path, content)
            error = self.assertRaises(UnsafeFile, load_or_make_key, self.path)
            self.assertNotIn("c2VjcmV0", str(error))
            self.assertEqual(self.path.read_bytes(), content)

    def test_load_makes_nothing(self) -> None:
        """Loading alone never makes a key."""
        self.assertRaises(FileNotFoundError, load_key, self.path)
        self.assertEqual(list(self.folder.iterdir()), [])


class FileTests(SynchronousTestCase):
    """Files with secrets."""

    def setUp(self) -> None:
        """A folder."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)

    def test_replace(self) -> None:
        """Writing replaces the whole file, whatever its mode was."""
        path = self.folder / "secret"
        path.write_bytes(b"old and much longer")
        path.chmod(0o644)
        write_private(path, b"new")
        self.assertEqual((read_private(path), stat.S_IMODE(path.stat().st_mode)), (b"new", 0o600))

    def test_create_does_not_replace(self) -> None:
        """Creating leaves a file that is there alone, and nothing behind."""
        path = self.folder / "secret"
        create_private(path, b"first")
        self.assertRaises(FileExistsError, create_private, path, b"second")
        self.assertEqual(path.read_bytes(), b"first")
        self.assertEqual([each.name for each in self.folder.iterdir()], ["secret"])

    def test_failed_write(self) -> None:
        """A write that fails leaves nothing behind."""
        (self.folder / "taken").mkdir()
        self.assertRaises(OSError, write_private, self.folder / "taken", b"x")
        self.assertEqual([each.name for each in self.folder.iterdir()], ["taken"])

    def test_too_large(self) -> None:
        """A file that is far too large is not read into memory."""
        path = self.folder / "secret"
        write_private(path, bytes(70_000))
        self.assertRaises(UnsafeFile, read_private, path)
