"""
How the demo's own pages are made: the product's look, another set of templates.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from appproxy.pages.assets import Asset, AssetsResource, packaged_assets
from appproxy.pages.pages import SIGN_OUT_PATH, template_environment

ASSETS_PATH: Final = b"assets"

_HERE: Final = Path(__file__).parent
_PRODUCT_TEMPLATES: Final = _HERE.parent / "pages" / "templates"
_OWN_ASSETS: Final = {"demo.css": "text/css; charset=utf-8", "chat.js": "text/javascript; charset=utf-8"}

PAGE_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self' https:; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every page."""


class DemoPages:
    """
    Renders the templates of the demo and serves what they link to.

    @param portal_url: where the way back leads.
    """

    def __init__(self, portal_url: str) -> None:
        self.assets = packaged_assets() | {name: _own(name) for name in _OWN_ASSETS}
        self._environment = template_environment(_HERE / "templates", _PRODUCT_TEMPLATES)
        self._environment.globals.update(
            portal_url=portal_url,
            sign_out_path=SIGN_OUT_PATH,
            style_url=self._url("style.css"),
            demo_style_url=self._url("demo.css"),
            chat_script_url=self._url("chat.js"),
            mark_url=self._url("mark.svg"),
            logo_url="",
        )

    def respond(self, request: Request, template: str, *, status: int = 200, **values: object) -> bytes:
        """A page, with its headers set; for a C{render_} method to return."""
        request.setResponseCode(status)
        for name, value in PAGE_HEADERS.items():
            request.setHeader(name.encode(), value.encode())
        return self.render(template, **values).encode()

    def render(self, template: str, **values: object) -> str:
        """The page alone."""
        return self._environment.get_template(template).render(**values)

    def write_assets(self, folder: Path) -> None:
        """What pages link to, for a web server of another kind."""
        for each in self.assets.values():
            (folder / each.name).write_bytes(each.content)

    def mount(self, root: Resource) -> Resource:
        """Add the assets to an application's root, and return that."""
        root.putChild(ASSETS_PATH, AssetsResource(self.assets))
        return root

    def _url(self, name: str) -> str:
        return f"/{ASSETS_PATH.decode()}/{self.assets[name].name}"


def site_of(root: Resource) -> Site:
    """A site that logs nothing of its own: the edge's access log has every request."""
    return Site(root, logPath=None)


def _own(name: str) -> Asset:
    content = (_HERE / "static" / name).read_bytes()
    path = Path(name)
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Asset(f"{path.stem}.{digest}{path.suffix}", _OWN_ASSETS[name], content)
