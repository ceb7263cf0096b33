"""Tests of L{appproxy.transport.certificates}."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.certificates import (
    CONTEXT_SECONDS,
    POLL_SECONDS,
    RENEWED_PER_LOOK,
    CertificateDirectory,
)
from appproxy.transport.contexts import ServerContext
from tests.transport.support import Authority

AUTHORITY = Authority()


def _refused(path: Path) -> bytes:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


class CertificateDirectoryTests(SynchronousTestCase):
    """Certificates by name, always the last good ones."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.clock = Clock()
        self.directory = CertificateDirectory([self.folder], self.clock)
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def write(self, name: str, *names: str, days: float = 30) -> Path:
        """Put a certificate and its key into one file."""
        path = self.folder / f"{name}.pem"
        path.write_bytes(b"".join(AUTHORITY.issue(names=names, lasts=timedelta(days=days))))
        return path

    def logged(self, event: str) -> list[LogEvent]:
        """The events of one name."""
        return [each for each in self.events if each.get("event") == event]

    def context(self, name: str) -> ServerContext:
        """The context that must be there."""
        context = self.directory.context_for(name)
        assert context is not None
        return context

    def test_most_specific(self) -> None:
        """An exact name wins over a wildcard; a wildcard stands for one label only."""
        self.write("star", "*.apps.example.com", "apps.example.com")
        self.write("wiki", "wiki.apps.example.com")
        self.directory.reload()
        star, wiki = self.context("a.apps.example.com"), self.context("wiki.apps.example.com")
        self.assertIsNot(star, wiki)
        self.assertIs(self.context("apps.example.com"), star)
        for name in ("a.b.apps.example.com", "example.com", "other.example", "com", ""):
            self.assertIsNone(self.directory.context_for(name), name)

    def test_longest_lasting(self) -> None:
        """Of two certificates for a name, the one that lasts longer is shown."""
        self.write("a", "x.example", days=20)
        self.write("b", "x.example", days=90)
        self.write("c", "x.example", days=10)
        self.directory.reload()
        used = self.context("x.example")
        (self.folder / "b.pem").unlink()
        self.directory.reload()
        self.assertIsNot(self.context("x.example"), used)

    def test_contexts_are_renewed(self) -> None:
        """After a day every context is made anew, a few at a time: old tickets open nothing then."""
        for number in range(RENEWED_PER_LOOK + 1):
            self.write(f"c{number}", f"c{number}.example")
        self.directory.reload()
        names = [f"c{number}.example" for number in range(RENEWED_PER_LOOK + 1)] + [None]
        first = [self.directory.context_for(name) for name in names]
        self.clock.advance(CONTEXT_SECONDS - 1)
        self.directory.reload()
        self.assertEqual([self.directory.context_for(name) for name in names], first)
        self.clock.advance(1)
        logged = len(self.events)
        self.directory.reload()
        kept = [context for context in first if context in map(self.directory.context_for, names)]
        self.assertEqual(len(kept), 1)
        self.directory.reload()
        second = [self.directory.context_for(name) for name in names]
        self.assertFalse(set(first) & set(second))
        self.assertNotIn(None, second)
        self.assertEqual(len(self.events), logged)

    def test_certbot(self) -> None:
        """Certbot's live folder works, links and README included, and so does one folder of it."""
        live, archive = self.folder / "live", self.folder / "archive"
        (live / "x.example").mkdir(parents=True)
        archive.mkdir()
        (live / "README").write_text("certbot's")
        chain, key = AUTHORITY.issue(names=["x.example"])
        (archive / "fullchain1.pem").write_bytes(chain)
        (archive / "privkey1.pem").write_bytes(key)
        for name in ("fullchain", "privkey"):
            (live / "x.example" / f"{name}.pem").symlink_to(archive / f"{name}1.pem")
        for path in (live, live / "x.example"):
            directory = CertificateDirectory([path], self.clock)
            directory.reload()
            self.assertIsNotNone(directory.context_for("x.example"))
            self.assertEqual(list(directory.expiries()), ["x.example"])

    def test_no_name(self) -> None:
        """Whoever names nobody gets a certificate that names nobody."""
        self.write("wiki", "wiki.example")
        self.directory.reload()
        neutral = self.directory.context_for(None)
        self.assertIsNotNone(neutral)
        self.assertIs(self.directory.context_for(None), neutral)
        self.assertIsNot(neutral, self.context("wiki.example"))

    def test_noticed_by_polling(self) -> None:
        """A renewed file is in use a few seconds later, and said so; an unchanged one is not read again."""
        self.write("wiki", "wiki.example")
        self.directory.start()
        self.addCleanup(self.directory.stop)
        before = self.context("wiki.example")
        self.clock.advance(POLL_SECONDS)
        self.assertIs(self.context("wiki.example"), before)
        self.assertEqual(len(self.logged("certificate_loaded")), 1)
        self.write("wiki", "wiki.example", days=90)
        self.clock.advance(POLL_SECONDS)
        self.assertIsNot(self.context("wiki.example"), before)
        self.assertEqual(len(self.logged("certificate_loaded")), 2)
        self.assertEqual(
            self.directory.expiries()["wiki"].date(), (datetime.now(UTC) + timedelta(days=90)).date()
        )
        self.directory.stop()
        self.directory.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_keeps_last_good(self) -> None:
        """What is broken never replaces what works, is said once, and works again when mended."""
        path = self.write("wiki", "wiki.example")
        self.directory.reload()
        good = self.context("wiki.example")
        certificate, _ = AUTHORITY.issue(names=["wiki.example"])
        _, foreign_key = AUTHORITY.issue(names=["wiki.example"])
        for broken in (b"", b"junk", certificate, foreign_key, certificate + foreign_key, certificate[:80]):
            path.write_bytes(broken)
            self.directory.reload()
            self.directory.reload()
            self.assertIs(self.context("wiki.example"), good)
            self.assertIn("wiki", self.directory.rejected)
        rejected = self.logged("certificate_rejected")
        self.assertEqual(len(rejected), 6)
        self.assertTrue(all(each["fault"] == "operator" for each in rejected))
        self.assertTrue(all(each["log_level"] is LogLevel.warn for each in rejected))
        self.assertNotIn("PRIVATE KEY", str(rejected))
        self.write("wiki", "wiki.example")
        self.directory.reload()
        self.assertIsNot(self.context("wiki.example"), good)
        self.assertEqual(self.directory.rejected, {})

    def test_permission_given(self) -> None:
        """A file that could not be read is in use soon after only its mode was mended."""
        path = self.write("wiki", "wiki.example")
        readable = Path.read_bytes
        self.patch(Path, "read_bytes", _refused)
        self.directory.start()
        self.addCleanup(self.directory.stop)
        self.assertEqual(self.directory.rejected, {"wiki": "Permission denied"})
        (rejected,) = self.logged("certificate_rejected")
        self.assertEqual((rejected["path"], rejected["consequence"]), (str(path), "it is not in use"))
        self.assertEqual(len(self.logged("no_certificate")), 1)
        self.patch(Path, "read_bytes", readable)
        before = path.stat().st_ctime_ns
        while path.stat().st_ctime_ns == before:
            # The file system's clock ticks every few milliseconds.
            path.chmod(0o640)
        self.clock.advance(POLL_SECONDS)
        self.context("wiki.example")
        self.assertEqual(self.directory.rejected, {})

    def test_one_broken_of_many(self) -> None:
        """One broken file keeps no other from being used."""
        (self.folder / "bad.pem").write_text("junk")
        self.write("good", "good.example")
        self.directory.reload()
        self.context("good.example")
        self.assertEqual(list(self.directory.rejected), ["bad"])

    def test_removed(self) -> None:
        """A certificate that was taken away is not shown any more."""
        path = self.write("wiki", "wiki.example")
        self.directory.reload()
        path.unlink()
        self.directory.reload()
        self.assertIsNone(self.directory.context_for("wiki.example"))
        self.assertEqual(self.directory.expiries(), {})

    def test_directory_away(self) -> None:
        """A directory that is away for a moment takes nothing out of service."""
        self.write("wiki", "wiki.example")
        self.directory.reload()
        moved = self.folder.with_name(self.folder.name + "-moved")
        self.folder.rename(moved)
        self.directory.reload()
        self.directory.reload()
        self.context("wiki.example")
        self.assertEqual(len(self.logged("certificate_rejected")), 2)
        moved.rename(self.folder)
        self.directory.reload()
        self.context("wiki.example")

    def test_expired_is_said(self) -> None:
        """An expired certificate is used for want of a better one, with a warning."""
        self.write("old", "old.example", days=-1)
        self.directory.reload()
        self.context("old.example")
        (event,) = self.logged("certificate_loaded")
        self.assertIs(event["log_level"], LogLevel.warn)

    def test_oversized(self) -> None:
        """A file that cannot be a certificate is not read into memory."""
        with (self.folder / "huge.pem").open("wb") as huge:
            os.ftruncate(huge.fileno(), 1 << 30)
        self.directory.reload()
        self.assertIn("larger", self.directory.rejected["huge"])
