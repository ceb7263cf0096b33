"""
The translation of one application's addresses in requests and responses.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from appproxy.httpwire.block import Block, Blocks
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import MEMO_LINE_SIZE, Field, field
from appproxy.httpwire.names import LINK, LOCATION, ORIGIN, REFERENCE, REFRESH, SET_COOKIE
from appproxy.model.web_address import WebAddress
from appproxy.translate.set_cookie import SetCookieMap
from appproxy.translate.urls import UrlMap, path_bytes

KEPT_HEADERS: Final = 1024
"""Headers of requests that are kept translated, of each application: at most some 700 KiB."""

_refresh: Final = re.compile(
    rb"""([ \t]*[0-9.]+[ \t]*[;,]?[ \t]*(?:[Uu][Rr][Ll][ \t]*=[ \t]*)?)(["']?)([^"']*)(.*)""", re.DOTALL
).fullmatch
# Quoted strings come first, so that an angle bracket in a title is none.
_link_targets: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|<([^<>"]*)>').sub
_path_end: Final = re.compile(rb"[?#]").search


def is_inward(kind: int) -> bool:
    """Whether a header of a request is translated."""
    return kind in (REFERENCE, ORIGIN)


def _is_outward(kind: int) -> bool:
    return kind in (LOCATION, REFRESH, LINK, SET_COOKIE)


def _with_value(header: Field, value: bytes) -> Field:
    return header if value == header.value else field(header.name, value.strip(b" \t"))


def _decoded(parts: list[bytes]) -> list[bytes]:
    return [unquote_to_bytes(part) for part in parts]


class Translator:
    """
    Translates between an application's internal and external address.
    """

    __slots__ = ("_cookies", "_external_path", "_internal_path", "_inwards", "_outwards", "_translated")

    def __init__(self, internal: WebAddress, external: WebAddress) -> None:
        self._outwards = UrlMap(internal, external)
        self._inwards = UrlMap(external, internal)
        self._cookies = SetCookieMap(internal, external)
        self._internal_path = path_bytes(internal)
        self._external_path = path_bytes(external)
        self._translated: dict[bytes, Field] = {}

    def target(self, target: bytes) -> bytes:
        """
        The backend's target of a client's target: only the published prefix
        changes, all other bytes stay as the client sent them.

        @raise BadMessage: if the target is not below the external address, or would name a host at the
            backend once the prefix is gone: some servers read C{//x/y} as C{/y} of C{x}.
        """
        if self._external_path == self._internal_path == b"/" or target == b"*":
            return target
        if target.startswith(self._external_path):
            found = self._internal_path + target[len(self._external_path) :]
        else:
            found = self._other_spelling(target)
        if found.startswith(b"//"):
            raise BadMessage(400, "target_like_a_host")
        return found

    def _other_spelling(self, target: bytes) -> bytes:
        """A prefix without the slash at its end, or with needless percent signs (never an encoded slash)."""
        end = _path_end(target)
        path = target[: end.start()] if end else target
        prefix = _decoded(self._external_path.split(b"/")[:-1])
        parts = path.split(b"/", len(prefix))
        if path and _decoded(parts) == prefix:
            return (self._internal_path[:-1] or b"/") + target[len(path) :]
        if _decoded(parts[:-1]) != prefix:
            raise BadMessage(400, "target_outside_application")
        return self._internal_path + target[len(b"/".join([*parts[:-1], b""])) :]

    def response_headers(self, headers: Blocks) -> Blocks:
        """
        Translate what a backend says to what its users see: Location,
        Content-Location, Refresh, Link and Set-Cookie. What points elsewhere
        or cannot be read stays as it is.
        """
        translated: Blocks = []
        for block in headers:
            for each in block.marked:
                if _is_outward(each.kind):
                    translated.append(self._translated_block(block))
                    break
            else:
                translated.append(block)
        return translated

    def _translated_block(self, block: Block) -> Block:
        return Block(
            [
                _with_value(each, self._outward(each.kind, each.value)) if _is_outward(each.kind) else each
                for each in block.fields
            ]
        )

    def request_header(self, header: Field) -> Field:
        """
        Translate what a client says of this application's external address to what the backend
        knows: Destination (RFC 4918, section 10.3), Referer and Origin. For applications whose
        Host header is translated: they compare these with it. All requests for what belongs to
        one page have the same, so it is remembered.

        @param header: one of those that are translated: L{is_inward}.
        """
        line = header.line
        translated = self._translated.get(line)
        if translated is None:
            translated = _with_value(header, self._inward(header.kind, header.value))
            if len(line) <= MEMO_LINE_SIZE:
                if len(self._translated) >= KEPT_HEADERS:
                    self._translated.clear()
                self._translated[line] = translated
        return translated

    def _inward(self, kind: int, value: bytes) -> bytes:
        return self._inwards.origin(value) if kind == ORIGIN else self._inwards.reference(value)

    def _outward(self, kind: int, value: bytes) -> bytes:
        if kind == SET_COOKIE:
            return self._cookies.translate(value)
        if kind == LOCATION:
            return self._outwards.reference(value)
        if kind == LINK:
            return _link_targets(self._link_target, value)
        match = _refresh(value)
        if match is None:
            return value
        start, quote, url, rest = match.groups()
        return start + quote + self._outwards.reference(url) + rest

    def _link_target(self, match: re.Match[bytes]) -> bytes:
        return match[0] if match[1] is None else b"<" + self._outwards.reference(match[1]) + b">"
