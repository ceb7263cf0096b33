"""
Uploads that go to disk as they arrive, never through memory.

C{twisted.web} collects a body before it looks at it, and parses forms in
memory. L{UploadRequest} hands each piece to an L{Incoming} instead.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, TYPE_CHECKING, Final

from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)
from twisted.python.failure import Failure
from twisted.web.server import Request

if TYPE_CHECKING:
    from twisted.web.http import HTTPChannel

RESERVED_BYTES: Final = 1 << 30
"""Free space that uploads leave on the disk: the machine has other things to do."""

CHECK_EVERY_BYTES: Final = 64 << 20
"""How much is written between two looks at the free space."""

MAXIMUM_FILES: Final = 20
"""Files in one form."""

MAXIMUM_NAME_LENGTH: Final = 120

_FORM: Final = "application/x-www-form-urlencoded"
_ODD: Final = re.compile(r"[^\w.\- ()+,@]+")


class UploadProblem(Exception):
    """
    An upload that cannot be kept.

    @ivar status: the HTTP status to say so with.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Stored:
    """One file that was kept."""

    name: str
    size: int
    sha256: str = ""


class Shelf:
    """
    The folder that uploads go to.

    @param folder: made if it is not there.
    @param free_bytes: how much room the disk has.
    """

    def __init__(self, folder: Path, free_bytes: Callable[[], int] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._free_bytes = free_bytes or (lambda: shutil.disk_usage(folder).free)

    def check_room(self, size: int) -> None:
        """
        Whether C{size} more bytes fit.

        @raise UploadProblem: if they do not.
        """
        if size > self._free_bytes() - RESERVED_BYTES:
            raise UploadProblem(507, "there is not enough room on the disk")

    def keep(self, temporary: Path, wanted_name: str) -> str:
        """Give a complete upload its name, with a number if the name is taken."""
        name = safe_name(wanted_name)
        stem, dot, suffix = name.partition(".")
        for number in range(1, 10000):
            try:
                os.link(temporary, self.folder / name)
            except FileExistsError:
                name = f"{stem}-{number}{dot}{suffix}"
            else:
                temporary.unlink()
                return name
        raise UploadProblem(409, "there are too many files of this name")

    def stored(self) -> list[Stored]:
        """What is there, newest first."""
        found = [each for each in self.folder.iterdir() if not each.name.startswith(".")]
        found.sort(key=lambda each: each.stat().st_mtime, reverse=True)
        return [Stored(each.name, each.stat().st_size) for each in found]

    def delete(self, name: str) -> None:
        """Remove one file; nothing happens if it is not there."""
        if name == safe_name(name):
            (self.folder / name).unlink(missing_ok=True)


def safe_name(name: str) -> str:
    """A file name without folders, leading dots and characters that surprise."""
    base = _ODD.sub("_", name.replace("\\", "/").rpartition("/")[2]).lstrip(". ").strip()
    return base[:MAXIMUM_NAME_LENGTH] or "upload"


class _File:
    """One file on its way in."""

    def __init__(self, shelf: Shelf, name: str) -> None:
        self.name = name
        self.size = 0
        self._shelf = shelf
        self._unchecked = 0
        self._digest = hashlib.sha256()
        self._file: IO[bytes] = NamedTemporaryFile(dir=shelf.folder, prefix=".incoming-", delete=False)  # noqa: SIM115

    def write(self, data: bytes | bytearray) -> None:
        self._unchecked += len(data)
        if self._unchecked >= CHECK_EVERY_BYTES:
            self._shelf.check_room(self._unchecked)
            self._unchecked = 0
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)

    def keep(self, name: str) -> Stored:
        self._file.close()
        kept = self._shelf.keep(Path(self._file.name), name or self.name)
        return Stored(kept, self.size, self._digest.hexdigest())

    def drop(self) -> None:
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)


class Incoming:
    """
    The body of one request, written file by file.

    @param content_type: C{multipart/form-data}, or anything else for one plain file.
    @param length: of the body, or L{None} if it is not known beforehand.
    """

    def __init__(self, shelf: Shelf, content_type: str, length: int | None) -> None:
        self._shelf = shelf
        self._files: list[_File] = []
        self._open: _File | None = None
        self._parser: PushMultipartParser | None = None
        self._problem: UploadProblem | None = None
        try:
            shelf.check_room(length or 0)
            self._begin(content_type)
        except UploadProblem as problem:
            self._fail(problem)

    def write(self, data: bytes) -> None:
        """The next piece of the body; after a problem it goes nowhere."""
        if self._problem is not None:
            return
        try:
            if self._parser is None:
                self._current().write(data)
            else:
                self._parse(self._parser, data)
        except UploadProblem as problem:
            self._fail(problem)
        except MultipartError:
            self._fail(UploadProblem(400, "the form is not valid"))
        except OSError:
            self._fail(UploadProblem(507, "the disk does not take more"))

    def finish(self, name: str = "") -> list[Stored]:
        """
        Keep what came, completely.

        @param name: of a plain file; a form brings its own names.
        @raise UploadProblem: if something went wrong on the way.
        """
        self._end_form()
        if self._problem is not None:
            raise self._problem
        kept = [each.keep(name if self._parser is None else "") for each in self._files]
        self._files = []
        return kept

    def drop(self) -> None:
        """Forget it all; harmless after L{finish}."""
        for each in self._files:
            each.drop()
        self._files = []

    def _begin(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        if kind != "multipart/form-data":
            self._open = self._new("upload")
            return
        try:
            self._parser = PushMultipartParser(options.get("boundary", ""), max_segment_count=MAXIMUM_FILES)
        except MultipartError:
            raise UploadProblem(400, "the form is not valid") from None

    def _end_form(self) -> None:
        if self._problem is not None or self._parser is None:
            return
        try:
            self._parser.close()
        except MultipartError:
            self._fail(UploadProblem(400, "the form is not complete"))

    def _new(self, name: str) -> _File:
        file = _File(self._shelf, name)
        self._files.append(file)
        return file

    def _current(self) -> _File:
        assert self._open is not None
        return self._open

    def _parse(self, parser: PushMultipartParser, data: bytes) -> None:
        for event in parser.parse(data):
            if isinstance(event, MultipartSegment):
                # A browser sends an empty file where none was chosen.
                self._open = self._new(event.filename) if event.filename else None
            elif event and self._open is not None:
                self._open.write(event)

    def _fail(self, problem: UploadProblem) -> None:
        self._problem = problem
        self.drop()


class UploadRequest(Request):
    """
    A request whose body, unless it is a plain form, goes to a L{Shelf}.

    @ivar shelf: set by the factory that makes these requests.
    @ivar incoming: the body, or L{None} if there is none to keep.
    """

    shelf: Shelf
    incoming: Incoming | None = None

    def __init__(self, channel: HTTPChannel, shelf: Shelf) -> None:
        Request.__init__(self, channel)
        self.shelf = shelf

    def gotLength(self, length: int | None) -> None:
        content_type = (self.getHeader(b"content-type") or b"").decode("latin-1")
        if length == 0 or content_type.lower().startswith(_FORM):
            Request.gotLength(self, length)
            return
        self.content = BytesIO()
        self.incoming = Incoming(self.shelf, content_type, length)

    def handleContentChunk(self, data: bytes) -> None:
        if self.incoming is None:
            Request.handleContentChunk(self, data)
        else:
            self.incoming.write(data)

    def connectionLost(self, reason: Failure) -> None:
        if self.incoming is not None:
            self.incoming.drop()
        Request.connectionLost(self, reason)
