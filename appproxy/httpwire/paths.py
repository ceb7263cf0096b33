"""
The one canonical path of a target: what routes and rules look at.

The backend gets the client's bytes, so every spelling that a backend could
read as another path is refused here, or reported as ambiguous.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from appproxy.httpwire.errors import BadMessage

_MEMO_TARGETS: Final = 4096
_MEMO_TARGET_SIZE: Final = 256
"""Longer targets are not kept: together the memo stays near 2 MiB."""

_plain: Final = re.compile(rb"(?:/(?:[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9_~!$&'()*+,=:@.-]*)?)+").fullmatch
_bad_percent: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})").search
_encoded_slash: Final = re.compile(rb"%2[Ff]")
_parameters: Final = re.compile(r";[^/]*")
_slashes: Final = re.compile(r"//+")
_authority: Final = re.compile(r"//[^/]*").match
_unseen_end: Final = re.compile(r"[. ]+(?=/|$)")
_control: Final = re.compile(rb"[\x01-\x1f\x7f]").search
_is_dots: Final = re.compile(rb"[ \t]*\.\.?[ \t]*(?:;.*)?", re.DOTALL).fullmatch

_HASH: Final = ord("#")
_CLEAR: Final[frozenset[str]] = frozenset()


class CanonicalPath:
    """
    @ivar path: percent-decoded once; C{*} for C{OPTIONS *}.
    @ivar ambiguous: which of C{%2f}, C{//} and C{;} the target has: spellings
        on which servers differ.
    """

    __slots__ = ("ambiguous", "path")

    def __init__(self, path: str, ambiguous: frozenset[str]) -> None:
        self.path = path
        self.ambiguous = ambiguous

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, CanonicalPath) and self.path == other.path and self.ambiguous == other.ambiguous
        )

    def __hash__(self) -> int:
        return hash((self.path, self.ambiguous))


# Of targets that were read lately.
_known: Final[dict[bytes, CanonicalPath]] = {}


def canonical_path(target: bytes) -> CanonicalPath:
    """
    Read the path of a target in origin form; query and fragment take no part.

    @raise BadMessage: for dot segments in any spelling, NUL and other control
        characters, backslashes, bad percent signs, bad UTF-8, fragments.
    """
    known = _known.get(target)
    if known is None:
        if _HASH in target:
            raise BadMessage(400, "fragment")
        known = _read(target.partition(b"?")[0])
        if len(target) <= _MEMO_TARGET_SIZE:
            if len(_known) >= _MEMO_TARGETS:
                _known.clear()
            _known[target] = known
    return known


def readings(target: bytes) -> set[str]:
    """
    Every path that some server takes a target without a flaw for: C{%2f} decoded or
    left as it is, parameters cut from their segments or not, slashes merged or not, what
    follows two slashes at the beginning a part of the path or a host before it.
    """
    path = target.partition(b"?")[0]
    found: set[str] = set()
    for spelling in (path, _encoded_slash.sub(b"%252F", path)):
        text = unquote_to_bytes(spelling).decode("utf-8")
        for each in (text, _parameters.sub("", text)):
            host = _authority(each)
            for path_text in (each, each[host.end() :] or "/") if host else (each,):
                found.add(path_text)
                found.add(_slashes.sub("/", path_text))
    return found


def loose_path(path: str) -> str:
    """
    One spelling of all those that are the same file on Windows: capitals count for nothing there, nor do
    dots and blanks at the end of a name.

    @param path: decoded.
    """
    return _unseen_end.sub("", path.casefold())


def _read(path: bytes) -> CanonicalPath:
    if _plain(path) and b"//" not in path:
        return CanonicalPath(path.decode("ascii"), _CLEAR)
    if path == b"*":
        return CanonicalPath("*", _CLEAR)
    if not path.startswith(b"/"):
        raise BadMessage(400, "target")
    if _bad_percent(path):
        raise BadMessage(400, "bad_percent")
    decoded = unquote_to_bytes(path)
    _refuse(decoded)
    if b"%" in decoded:
        # A backend that decodes twice must not climb either.
        _refuse_dots(unquote_to_bytes(decoded).replace(b"\\", b"/"))
    try:
        text = decoded.decode("utf-8")
    except UnicodeDecodeError:
        raise BadMessage(400, "bad_utf8") from None
    ambiguous = {
        "%2f": _encoded_slash.search(path) is not None,
        "//": b"//" in decoded,
        ";": b";" in decoded,
    }
    return CanonicalPath(text, frozenset(name for name, found in ambiguous.items() if found))


def _refuse(decoded: bytes) -> None:
    if b"\0" in decoded:
        raise BadMessage(400, "nul")
    if b"\\" in decoded:
        raise BadMessage(400, "backslash")
    if _control(decoded):
        raise BadMessage(400, "control_character")
    _refuse_dots(decoded)


def _refuse_dots(decoded: bytes) -> None:
    # Some servers cut parameters and blanks from a segment before they climb: `/..;x/`.
    if any(map(_is_dots, decoded.split(b"/"))):
        raise BadMessage(400, "dot_segments")
