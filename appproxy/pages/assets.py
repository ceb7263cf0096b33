"""
The files that our pages link to, under names that change with their content.

They carry no secrets, are the same for everybody and may be kept for a year.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from appproxy.pages.answers import TEXT, ReadOnly, respond
from appproxy.pages.request import transaction_of

ASSETS_PATH: Final = "/.appproxy/assets/"
"""Where L{AssetsResource} is mounted, on every host."""

MAXIMUM_LOGO_BYTES: Final = 512 * 1024
"""A logo is a small picture; it is kept in memory and sent to everybody."""

_FOLDER: Final = Path(__file__).parent / "static"
_STYLE: Final = "style.css"
_PICTURES: Final = ("mark.svg", "arches.svg")
_TYPES: Final = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".png": "image/png"}
_SIGNATURES: Final = {
    b"\x89PNG\r\n\x1a\n": (".png", "image/png"),
    b"\xff\xd8\xff": (".jpg", "image/jpeg"),
    b"RIFF": (".webp", "image/webp"),
    b"<svg": (".svg", "image/svg+xml"),
    b"<?xml": (".svg", "image/svg+xml"),
}
_IMMUTABLE: Final = b"public, max-age=31536000, immutable"
_PICTURE_POLICY: Final = b"default-src 'none'; style-src 'unsafe-inline'; sandbox"


@dataclass(frozen=True)
class Asset:
    """One file: the name in its address, its media type, its bytes."""

    name: str
    media_type: str
    content: bytes

    @property
    def url(self) -> str:
        """The path of this file on any of our hosts."""
        return ASSETS_PATH + self.name


def _asset(stem: str, suffix: str, media_type: str, content: bytes) -> Asset:
    return Asset(f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}{suffix}", media_type, content)


def read_logo(path: Path) -> Asset:
    """
    The administrator's logo: SVG, PNG, JPEG or WebP.

    @raise ValueError: if it is none of these, or too big.
    @raise OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(MAXIMUM_LOGO_BYTES + 1)
    if len(content) > MAXIMUM_LOGO_BYTES:
        raise ValueError(f"a logo has at most {MAXIMUM_LOGO_BYTES // 1024} KiB")
    head = content.lstrip(b"\xef\xbb\xbf \t\r\n")
    for signature, (suffix, media_type) in _SIGNATURES.items():
        if head.startswith(signature):
            return _asset("logo", suffix, media_type, content)
    raise ValueError("a logo is an SVG, PNG, JPEG or WebP picture")


def packaged_assets() -> dict[str, Asset]:
    """The stylesheet and pictures that come with the package, by plain name."""
    assets = {name: _packaged(name, (_FOLDER / name).read_bytes()) for name in _PICTURES}
    style = (_FOLDER / _STYLE).read_text()
    for name, asset in assets.items():
        style = style.replace(f"url({name})", f"url({asset.name})")
    assets[_STYLE] = _packaged(_STYLE, style.encode())
    return assets


def _packaged(name: str, content: bytes) -> Asset:
    path = Path(name)
    return _asset(path.stem, path.suffix, _TYPES[path.suffix], content)


class AssetsResource(ReadOnly):
    """
    Serves L{Asset}s by their hashed names; anything else is not there.

    @param assets: by plain name, as L{Pages.assets<appproxy.pages.pages.Pages>} holds them.
    """

    def __init__(self, assets: Mapping[str, Asset]) -> None:
        Resource.__init__(self)
        self._by_name = {asset.name.encode(): asset for asset in assets.values()}

    def getChild(self, path: bytes, request: Request) -> IResource:
        asset = self._by_name.get(path)
        if asset is None or request.postpath:
            return self
        return _AssetResource(asset)

    def render_GET(self, request: Request) -> bytes:
        return respond(request, 404, b"not found\n", TEXT, transaction_of(request))


class _AssetResource(ReadOnly):
    isLeaf = True

    def __init__(self, asset: Asset) -> None:
        Resource.__init__(self)
        self._asset = asset

    def render_GET(self, request: Request) -> bytes:
        asset = self._asset
        request.setHeader(b"Content-Type", asset.media_type.encode())
        request.setHeader(b"Cache-Control", _IMMUTABLE)
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        request.setHeader(b"Cross-Origin-Resource-Policy", b"same-origin")
        request.setHeader(b"Content-Security-Policy", _PICTURE_POLICY)
        request.setHeader(b"Content-Length", b"%d" % len(asset.content))
        return asset.content
