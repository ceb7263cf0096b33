"""Secrets are read from files, carefully."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from appproxy.config.secrets import SecretUnavailable, read_secret
from appproxy.store.files import MAXIMUM_SECRET_FILE_SIZE


class SecretTests(SynchronousTestCase):
    """L{read_secret}."""

    def setUp(self) -> None:
        """A file for the secret."""
        self.path = Path(self.mktemp())

    def write(self, content: bytes, mode: int = 0o640) -> None:
        """A secret's file."""
        self.path.write_bytes(content)
        self.path.chmod(mode)

    def test_text(self) -> None:
        """The line end that editors add is no part of the secret; blanks are."""
        self.write(b" s3cret \r\n")
        self.assertEqual(read_secret(self.path), " s3cret ")

    def test_refused(self) -> None:
        """Missing, empty, endless, binary or open to everyone: refused, and the message has nothing of it."""
        self.assertRaises(SecretUnavailable, read_secret, self.path)
        self.assertRaises(SecretUnavailable, read_secret, Path("credential:x"))
        for content, mode in (
            (b"\n", 0o600),
            (b"hunter2" * MAXIMUM_SECRET_FILE_SIZE, 0o600),
            (b"hunter2\xff", 0o600),
            (b"hunter2", 0o644),
        ):
            self.write(content, mode)
            error = self.assertRaises(SecretUnavailable, read_secret, self.path)
            self.assertNotIn("hunter2", str(error))
