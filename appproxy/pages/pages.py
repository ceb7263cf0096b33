"""
Every page of ours, rendered to bytes.

Templates escape whatever they are given; nothing in them runs, and none of
them says more than its reader may know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from appproxy.model.refusal import Refusal
from appproxy.pages.answers import DEFAULT_FORM_TARGETS, NEUTRAL_STYLE, security_headers
from appproxy.pages.assets import packaged_assets, read_logo
from appproxy.pages.tiles import Tile
from appproxy.pages.words import explain

SIGN_OUT_PATH: Final = "/.appproxy/sign-out"

_MAIL: Final = re.compile(r"[^@\s<>\"]+@[^@\s<>\"]+\Z")
_TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Support:
    """Whom to ask, and a link to them where there is one."""

    text: str
    url: str = ""


def support_of(text: str, subject: str = "") -> Support:
    """
    What C{portal.support} says, as a link if it is a mail or web address.

    @param subject: the subject of a mail.
    """
    if _MAIL.match(text):
        return Support(
            text, f"mailto:{quote(text, safe='@')}" + (f"?subject={quote(subject)}" if subject else "")
        )
    if text.startswith(("https://", "http://")):
        return Support(text, text)
    return Support(text)


def template_environment(*folders: Path) -> Environment:
    """Templates in which everything is escaped, and a name that is missing is an error."""
    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


class Pages:
    """
    The pages of one edge.

    @param title: what the portal is called; stands at the top of every page.
    @param support: a mail or web address, or words; shown to whoever is refused.
    @param logo: a picture that replaces ours at the top.
    @param portal_url: where the title leads; empty makes it plain text.
    @param form_targets: CSP sources that a form may lead to, besides its own host.
    @ivar assets: what L{AssetsResource<appproxy.pages.assets.AssetsResource>} serves.
    @raise ValueError: if the logo is not a picture.
    """

    def __init__(
        self,
        title: str = "Applications",
        support: str = "",
        logo: Path | None = None,
        *,
        portal_url: str = "",
        form_targets: Iterable[str] = DEFAULT_FORM_TARGETS,
    ) -> None:
        self.title = title
        self.support = support
        self.form_targets = tuple(form_targets)
        self.assets = packaged_assets()
        if logo is not None:
            self.assets["logo"] = read_logo(logo)
        self._environment = template_environment(_TEMPLATES)
        self._environment.globals.update(
            title=title,
            portal_url=portal_url,
            style_url=self.assets["style.css"].url,
            mark_url=self.assets["mark.svg"].url,
            logo_url=self.assets["logo"].url if "logo" in self.assets else "",
            sign_out_path=SIGN_OUT_PATH,
        )

    def security_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that every page is sent with."""
        return security_headers(self.form_targets)

    def error(
        self,
        refusal: Refusal,
        transaction_id: str,
        now: float,
        *,
        host: str = "",
        retry_url: str | None = None,
        user: str | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> bytes:
        """
        The page for a refused request.

        @param now: seconds since the epoch, shown in UTC.
        @param host: the host that was asked for.
        @param retry_url: where "try again" leads, if that can help.
        @param user: L{Principal.label<appproxy.model.principal.Principal>}; adds "sign out".
        @param extra: more lines for the details at the bottom.
        """
        name = refusal.error.name
        return self._render(
            "error.html",
            words=explain(refusal),
            detail=refusal.detail,
            status=refusal.status,
            error_name=name,
            reason=refusal.reason,
            transaction_id=transaction_id,
            moment=moment(now),
            host=host,
            retry_url=safe_url(retry_url),
            user=user,
            extra=dict(extra or {}),
            support=support_of(self.support, f"{name} {transaction_id}"),
        )

    def problem_json(self, refusal: Refusal, transaction_id: str, *, sign_in_url: str | None = None) -> bytes:
        """The same for a caller that reads no pages (RFC 9457)."""
        problem: dict[str, object] = {
            "type": f"urn:appproxy:error:{refusal.error.name}",
            "title": explain(refusal).title,
            "status": refusal.status,
            "reason": refusal.reason,
            "transaction_id": transaction_id,
        }
        if refusal.detail:
            problem["detail"] = refusal.detail
        if sign_in_url is not None:
            problem["sign_in_url"] = sign_in_url
        return json.dumps(problem).encode() + b"\n"

    def neutral_not_found(self, transaction_id: str) -> bytes:
        """What a host that is not ours shows: nothing of what exists."""
        return self._render("neutral.html", style=NEUTRAL_STYLE, transaction_id=transaction_id)

    def post_needs_sign_in(self, transaction_id: str, now: float, *, host: str, sign_in_url: str) -> bytes:
        """For a form that was sent without a session: nothing was passed on."""
        return self._render(
            "post_needs_sign_in.html",
            host=host,
            sign_in_url=safe_url(sign_in_url),
            transaction_id=transaction_id,
            moment=moment(now),
        )

    def sign_out_question(self, *, user: str | None = None, back_url: str | None = None) -> bytes:
        """Asks before signing out; the button posts to this host's own sign-out."""
        return self._render("sign_out.html", user=user, back_url=safe_url(back_url))

    def signed_out(self, *, sign_in_url: str | None = None, provider_too: bool = True) -> bytes:
        """
        After signing out; it does not sign in again by itself.

        @param sign_in_url: where "sign in again" leads, as a rule the portal.
        @param provider_too: whether the provider's own session was ended as well.
        """
        return self._render("signed_out.html", sign_in_url=safe_url(sign_in_url), provider_too=provider_too)

    def portal(
        self, tiles: Sequence[Tile], *, user: str, display_name: str = "", query: str = "", total: int
    ) -> bytes:
        """
        The user's applications.

        @param tiles: those that match the search, in the order to show them.
        @param total: how many there are without the search.
        """
        return self._render(
            "portal.html",
            sections=by_category(tiles),
            shown=len(tiles),
            total=total,
            query=query,
            user=user,
            display_name=display_name,
            support=support_of(self.support),
        )

    def _render(self, template: str, **values: object) -> bytes:
        return self._environment.get_template(template).render(**values).encode()


@dataclass(frozen=True)
class Moment:
    """One time, for people and for machines."""

    text: str
    machine: str


def moment(now: float) -> Moment:
    """Seconds since the epoch as UTC."""
    time = datetime.fromtimestamp(now, UTC)
    return Moment(time.strftime("%Y-%m-%d %H:%M:%S UTC"), time.strftime("%Y-%m-%dT%H:%M:%SZ"))


def safe_url(url: str | None) -> str:
    """The address if it is one of the web or a path of this host; else nothing."""
    if url is None or any(ord(each) < 0x21 for each in url) or "\\" in url:
        return ""
    if url.startswith("/"):
        return "" if url.startswith("//") else url
    return url if url.startswith(("https://", "http://")) else ""


def by_category(tiles: Sequence[Tile]) -> list[tuple[str, list[Tile]]]:
    """Tiles under their categories, sorted; those without one come first."""
    sections: dict[str, list[Tile]] = {}
    for tile in tiles:
        sections.setdefault(tile.category, []).append(tile)
    return sorted(sections.items(), key=lambda section: section[0].casefold())
