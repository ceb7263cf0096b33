"""Tests of L{appproxy.kerberos.keytab}."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from hypothesis import given
from hypothesis.strategies import binary
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from appproxy.kerberos.causes import Cause, Stage
from appproxy.kerberos.keytab import MAXIMUM_BYTES, Entry, KeytabError, check_keytab, parse_keytab

KEY = b"a very secret key of 32 bytes..."


def counted(content: bytes) -> bytes:
    """Bytes behind their number."""
    return struct.pack(">H", len(content)) + content


def entry(name: str, realm: str, version: int, long_version: bool = True) -> bytes:
    """One key, as MIT writes it."""
    parts = name.split("/")
    body = struct.pack(">H", len(parts)) + counted(realm.encode())
    body += b"".join(counted(part.encode()) for part in parts)
    body += struct.pack(">IIBH", 1, 0, version & 255, 18) + counted(KEY)
    if long_version:
        body += struct.pack(">I", version)
    return struct.pack(">i", len(body)) + body


HOLE = struct.pack(">i", -7) + b"removed"
KEYTAB = (
    b"\x05\x02"
    + entry("connector$", "CORP.EXAMPLE.COM", 3)
    + HOLE
    + entry("HTTP/connector.corp.example.com", "CORP.EXAMPLE.COM", 300)
)


class ParseTests(SynchronousTestCase):
    """L{parse_keytab}."""

    def test_entries(self) -> None:
        """Names, versions beyond 255, encryption types; a hole is passed over."""
        self.assertEqual(
            parse_keytab(KEYTAB),
            [
                Entry("connector$@CORP.EXAMPLE.COM", 3, 18),
                Entry("HTTP/connector.corp.example.com@CORP.EXAMPLE.COM", 300, 18),
            ],
        )
        old = b"\x05\x02" + entry("a", "B", 7, long_version=False)
        self.assertEqual(parse_keytab(old), [Entry("a@B", 7, 18)])

    def test_refused(self) -> None:
        """Another file, an old version, half a keytab."""
        for content in (b"", b"\x05", b"\x05\x01", b"-----BEGIN", KEYTAB[:-1], KEYTAB + b"\0"):
            with self.assertRaises(KeytabError, msg=content):
                parse_keytab(content)

    @given(binary(max_size=200))
    def test_any_bytes(self, content: bytes) -> None:
        """Any bytes are read or refused."""
        for each in (content, b"\x05\x02" + content, KEYTAB + content):
            try:
                parse_keytab(each)
            except KeytabError:
                pass


class CheckTests(SynchronousTestCase):
    """L{check_keytab}."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_bytes(KEYTAB)
        self.path.chmod(0o600)

    def refusal(self, principal: str = "connector$@CORP.EXAMPLE.COM") -> str:
        """Why it is refused."""
        error = self.assertRaises(KeytabError, check_keytab, self.path, principal)
        self.assertEqual((error.stage, error.cause), (Stage.own_ticket, Cause.keytab_unusable))
        return str(error.detail)

    def test_good(self) -> None:
        """A private keytab with a key of the account."""
        self.assertEqual(
            [each.version for each in check_keytab(self.path, "connector$@CORP.EXAMPLE.COM")], [3]
        )

    def test_open_to_others(self) -> None:
        """
        Security row 45: a keytab that others or an ordinary group may read, or any group change, is
        refused.
        """
        if os.geteuid():
            raise SkipTest("only root gives files to groups")
        for mode, group in ((0o604, 0), (0o620, 0), (0o660, 0), (0o640, 12345), (0o602, 0), (0o601, 0)):
            os.chown(self.path, 0, group)
            self.path.chmod(mode)
            self.assertIn("chmod 600", self.refusal(), oct(mode))

    def test_credential(self) -> None:
        """What systemd hands out, readable by root's group, is taken."""
        if os.geteuid():
            raise SkipTest("only root gives files to groups")
        os.chown(self.path, 0, 0)
        self.path.chmod(0o440)
        self.assertTrue(check_keytab(self.path, "connector$@CORP.EXAMPLE.COM"))

    def test_owner(self) -> None:
        """Security row 45: a keytab that another user could change is refused."""
        if os.geteuid():
            raise SkipTest("only root gives files away")
        os.chown(self.path, 12345, 0)
        self.assertIn("belongs to another user", self.refusal())

    def test_daemons_owner(self) -> None:
        """Root takes the keytab of the daemon for which it does something, and of nobody else."""
        if os.geteuid():
            raise SkipTest("only root gives files away")
        os.chown(self.path, 12345, 0)
        self.assertTrue(check_keytab(self.path, "connector$@CORP.EXAMPLE.COM", owner=12345))
        self.assertRaises(KeytabError, check_keytab, self.path, "connector$@CORP.EXAMPLE.COM", owner=12346)

    def test_other_account(self) -> None:
        """The text says whose keys there are, and shows none."""
        detail = self.refusal("other$@CORP.EXAMPLE.COM")
        self.assertIn("no key of other$@CORP.EXAMPLE.COM, but of: HTTP/connector", detail)
        self.assertNotIn("secret", detail)

    def test_missing(self) -> None:
        """A file that is not there, a folder, and a pipe that nobody writes to."""
        self.path.unlink()
        self.assertIn("No such file", self.refusal())
        os.mkfifo(self.path, 0o600)
        self.assertIn("is not a file", self.refusal())
        self.path.unlink()
        self.path.mkdir(0o700)
        self.assertTrue(self.refusal())

    def test_too_large(self) -> None:
        """A file that cannot be a keytab is not read to its end."""
        self.path.write_bytes(bytes(MAXIMUM_BYTES + 1))
        self.assertIn("that is no keytab", self.refusal())
