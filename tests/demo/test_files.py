"""
Tests of L{appproxy.demo.files} and L{appproxy.demo.uploads}.
"""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from appproxy.demo.files import BLOCK_SIZE, MAXIMUM_DOWNLOAD, download_size, files_site, human_size
from appproxy.demo.page import DemoPages
from appproxy.demo.uploads import RESERVED_BYTES, Incoming, Shelf, UploadProblem, safe_name
from tests.pages.support import Page, ask_site, connect, parse_answer, raw_request

FORM = "multipart/form-data; boundary=xYz"
BODY = (
    b'--xYz\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    b'--xYz\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nfirst\r\n--xY\r\n'
    b'--xYz\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n\r\n'
    b'--xYz\r\nContent-Disposition: form-data; name="file"; filename="b.bin"\r\n\r\n\0\r\n\xff\r\n--xYz--\r\n'
)
PLENTY = 100 << 30


class FilesTests(SynchronousTestCase):
    """A file drop with a folder of its own."""

    def setUp(self) -> None:
        self.free = PLENTY
        self.folder = Path(self.mktemp())
        self.shelf = Shelf(self.folder, lambda: self.free)
        self.site = files_site(DemoPages("https://portal.demo.localhost/"), self.shelf)

    def names(self) -> set[str]:
        """Everything in the folder, hidden files too."""
        return {each.name for each in self.folder.iterdir()}


class UploadTests(FilesTests):
    """Uploads over HTTP."""

    def test_plain(self) -> None:
        """A plain body is kept under the name in the path; the answer says size and digest."""
        body = bytes(range(256)) * 100
        answer = ask_site(self.site, "/upload/a%20b.bin", method="PUT", body=body)
        digest = hashlib.sha256(body).hexdigest()
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.json()["files"], [{"name": "a b.bin", "size": 25600, "sha256": digest}])
        self.assertEqual((self.folder / "a b.bin").read_bytes(), body)

    def test_form(self) -> None:
        """A form's files are kept, its other fields are not; a browser goes back to the page."""
        headers = [("Content-Type", FORM), ("Accept", "text/html")]
        answer = ask_site(self.site, "/upload", method="POST", headers=headers, body=BODY)
        self.assertEqual((answer.status, answer.headers["Location"]), (303, "/"))
        self.assertEqual(self.names(), {"a.txt", "b.bin"})
        self.assertEqual((self.folder / "a.txt").read_bytes(), b"first\r\n--xY")
        self.assertEqual((self.folder / "b.bin").read_bytes(), b"\0\r\n\xff")

    def test_chunked(self) -> None:
        """An upload whose size is not known beforehand is kept too."""
        protocol, transport = connect(self.site)
        head = raw_request("PUT", "/upload/x", [("Transfer-Encoding", "chunked")])
        protocol.dataReceived(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        self.assertEqual(parse_answer(transport.value()).status, 201)
        self.assertEqual((self.folder / "x").read_bytes(), b"abcde")

    def test_not_in_memory(self) -> None:
        """What has arrived of an upload is in a file, not in the request."""
        protocol, _ = connect(self.site)
        data = raw_request("PUT", "/upload/x", body=b"z" * 500_000)
        protocol.dataReceived(data[:-1])
        (incoming,) = self.names()
        self.assertTrue(incoming.startswith("."))
        self.assertGreater((self.folder / incoming).stat().st_size, 400_000)
        protocol.dataReceived(data[-1:])
        self.assertEqual(self.names(), {"x"})

    def test_broken_off(self) -> None:
        """An upload that is broken off leaves nothing."""
        protocol, _ = connect(self.site)
        protocol.dataReceived(raw_request("PUT", "/upload/x", body=b"z" * 1000)[:-1])
        protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.names(), set())

    def test_no_room(self) -> None:
        """An upload that does not fit is refused and leaves nothing, and the disk keeps its reserve."""
        self.free = RESERVED_BYTES + 10
        answer = ask_site(self.site, "/upload/x", method="PUT", body=b"z" * 11)
        self.assertEqual(answer.status, 507)
        self.assertEqual(self.names(), set())
        self.assertEqual(ask_site(self.site, "/upload/x", method="PUT", body=b"z" * 10).status, 201)

    def test_same_name(self) -> None:
        """A second file of a name does not replace the first."""
        for body in (b"one", b"two"):
            ask_site(self.site, "/upload/a.tar.gz", method="PUT", body=body)
        self.assertEqual((self.folder / "a.tar.gz").read_bytes(), b"one")
        self.assertEqual((self.folder / "a-1.tar.gz").read_bytes(), b"two")

    def test_names_stay_inside(self) -> None:
        """No name leads out of the folder or hides a file."""
        for target in ("/upload/..%2f..%2fx", "/upload/.hidden", "/upload/..", "/upload/%00", "/upload/"):
            self.assertEqual(ask_site(self.site, target, method="PUT", body=b"1").status, 201, target)
        self.assertFalse([name for name in self.names() if name.startswith(".") or "/" in name])

    def test_bad_forms(self) -> None:
        """A form that is cut off or malformed is refused and leaves nothing."""
        for content_type, body in (
            (FORM, BODY[:-10]),
            (FORM, b"nonsense" * 100),
            ("multipart/form-data", BODY),
        ):
            headers = [("Content-Type", content_type)]
            answer = ask_site(self.site, "/upload", method="POST", headers=headers, body=body)
            self.assertEqual(answer.status, 400, body[:20])
        self.assertEqual(self.names(), set())

    def test_nothing_sent(self) -> None:
        """A request without a file is told so."""
        self.assertEqual(ask_site(self.site, "/upload", method="POST").status, 400)


class SplitTests(FilesTests):
    """The same bytes, however they are cut."""

    @settings(max_examples=60, deadline=None)
    @given(st.sets(st.integers(1, len(BODY) - 1), max_size=12))
    def test_any_split(self, cuts: set[int]) -> None:
        """A form means the same however it is split."""
        incoming = Incoming(self.shelf, FORM, len(BODY))
        edges = [0, *sorted(cuts), len(BODY)]
        for start, end in itertools.pairwise(edges):
            incoming.write(BODY[start:end])
        first, second = incoming.finish()
        self.assertEqual((first.size, second.size), (11, 4))
        self.assertEqual((self.folder / second.name).read_bytes(), b"\0\r\n\xff")
        for each in (first, second):
            self.shelf.delete(each.name)

    def test_disk_fills_up(self) -> None:
        """When the room goes while an upload runs, it ends with a problem and without a file."""
        incoming = Incoming(self.shelf, "", None)
        self.free = 0
        for _ in range(65):
            incoming.write(b"z" * (1 << 20))
        self.assertEqual(self.names(), set())
        self.assertEqual(self.assertRaises(UploadProblem, incoming.finish).status, 507)


class DownloadTests(FilesTests):
    """Downloads made on the fly."""

    def test_exact(self) -> None:
        """Exactly as many bytes as asked for, the same each time."""
        for size in (0, 1, BLOCK_SIZE, 3 * BLOCK_SIZE + 17):
            answer = ask_site(self.site, f"/download?size={size}")
            self.assertEqual(len(answer.body), size)
            self.assertEqual(answer.headers["Content-Length"], str(size))
            self.assertEqual(answer.body, ask_site(self.site, f"/download?size={size}").body)

    def test_one_block_at_a_time(self) -> None:
        """A reader that does not read gets one block, not the file."""
        protocol, transport = connect(self.site)
        protocol.dataReceived(raw_request("GET", "/download?size=10GiB"))
        self.assertLess(len(transport.value()), 2 * BLOCK_SIZE)
        assert transport.producer is not None
        transport.producer.resumeProducing()
        self.assertLess(len(transport.value()), 3 * BLOCK_SIZE)
        protocol.connectionLost(Failure(ConnectionLost()))

    def test_head(self) -> None:
        """HEAD tells the size."""
        answer = ask_site(self.site, "/download?size=10GiB", method="HEAD")
        self.assertEqual(answer.headers["Content-Length"], str(10 << 30))

    def test_sizes(self) -> None:
        """Bytes and sizes with a unit are read, anything else refused with what to write."""
        self.assertEqual((download_size("17"), download_size("2MiB")), (17, 2 << 20))
        for text in ("", "-1", "1e9", "\u0661", "10 GiB", str(MAXIMUM_DOWNLOAD + 1), "9" * 30):
            self.assertRaises(ValueError, download_size, text)
        self.assertEqual(ask_site(self.site, "/download?size=x").status, 400)

    def test_human_size(self) -> None:
        """Sizes are shown with one decimal."""
        self.assertEqual(
            [human_size(each) for each in (5, 1536, 5 << 30, 3 << 40)],
            ["5 bytes", "1.5 KiB", "5.0 GiB", "3.0 TiB"],
        )


class StoredTests(FilesTests):
    """What was uploaded."""

    def test_listed(self) -> None:
        """The page lists what is there, with names as text."""
        ask_site(self.site, "/upload/a,b+(1).txt", method="PUT", body=b"hello")
        page = Page(ask_site(self.site, "/").body)
        self.assertEqual(page.unbalanced, [])
        self.assertIn("a,b+(1).txt", page.text)
        (link,) = [each for each in page.links() if each.startswith("/stored/")]
        answer = ask_site(self.site, link, method="HEAD")
        self.assertEqual((answer.status, answer.headers["Content-Length"]), (200, "5"))
        self.assertEqual(answer.headers["Content-Security-Policy"], "sandbox")
        self.assertEqual(answer.headers["Content-Disposition"], "attachment")

    def test_nothing_else(self) -> None:
        """Only uploads can be had."""
        for target in ("/stored/..", "/stored/%2e%2e%2fx", "/stored/", "/stored/.incoming-x", "/stored/a/b"):
            self.assertIn(ask_site(self.site, target).status, (404, 405), target)

    def test_delete(self) -> None:
        """A file can be deleted, and nothing outside of the folder."""
        outside = self.folder.with_name(self.folder.name + "-outside")
        outside.write_bytes(b"")
        ask_site(self.site, "/upload/a", method="PUT", body=b"hello")
        headers = [("Content-Type", "application/x-www-form-urlencoded")]
        for name in (f"../{outside.name}", "a"):
            body = f"name={name}".encode()
            ask_site(self.site, "/delete", method="POST", headers=headers, body=body)
        self.assertEqual(self.names(), set())
        self.assertTrue(outside.exists())


class SafeNameTests(SynchronousTestCase):
    """L{safe_name}."""

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=300))
    def test_safe(self, name: str) -> None:
        """Any name becomes one that is short, visible and in this folder; twice is once."""
        safe = safe_name(name)
        self.assertTrue(0 < len(safe) <= 120)
        self.assertFalse(safe.startswith("."))
        self.assertFalse(set(safe) & set("/\\\0\n"))
        self.assertEqual(safe_name(safe), safe)
