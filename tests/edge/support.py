"""
Request heads as the parser makes them, and a gate over a catalog that a test writes down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from appproxy.catalog.snapshot import Catalog
from appproxy.edge.facts import ConnectionFacts
from appproxy.edge.gate import Gate
from appproxy.edge.verdict import Verdict
from appproxy.edge.view import ApplicationViews
from appproxy.httpwire.heads import RequestHead
from appproxy.httpwire.request_parser import RequestParser
from appproxy.iappproxy import IAccessRule
from appproxy.model.application import Application, ConnectorGroup
from appproxy.model.principal import Principal
from appproxy.session.cookies import SESSION_COOKIE
from appproxy.session.outcomes import CookieProblem, NotHere, StoreAway
from tests.contract.rig import ADA, DOMAIN, EVE, OPEN_TO_ALL, application

AUTH: Final = f"auth.{DOMAIN}"
PORTAL: Final = f"portal.{DOMAIN}"
HR: Final = f"hr.{DOMAIN}"
WIKI: Final = f"wiki.{DOMAIN}"

CATALOG: Final[Mapping[str, Application]] = {
    "wiki": application("wiki", **OPEN_TO_ALL),
    "hr": application("hr", groups=["HR"]),
    "tools": application("tools", external_url=f"https://tools.{DOMAIN}/"),
    "admin": application("admin", external_url=f"https://tools.{DOMAIN}/admin/", users=["ada@example.com"]),
    "lax": application("lax", external_url=f"https://lax.{DOMAIN}/", ambiguous_paths="pass"),
    "lax-below": application("below", external_url=f"https://lax.{DOMAIN}/below/"),
    "old": application("old", external_url=f"http://old.{DOMAIN}/", **OPEN_TO_ALL),
}


class Cookies:
    """Sessions as the gate sees them: the cookie's value says what it is."""

    outcomes: Mapping[bytes, Principal | Exception] = {
        b"ada": ADA,
        b"eve": EVE,
        b"new": NotHere("f" * 32),
        b"bad": CookieProblem("cookie_invalid"),
        b"over": CookieProblem("session_expired"),
        b"ended": CookieProblem("session_ended"),
        b"away": StoreAway(),
    }

    def open_cookie(self, cookie: bytes, host: bytes) -> Principal | None:
        """As L{appproxy.session.records.Sessions}."""
        outcome = self.outcomes[cookie]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def head(target: str = "/", *headers: str, host: str = WIKI, method: str = "GET") -> RequestHead:
    """A head out of the real parser."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers, "", ""]
    parsed = RequestParser().feed("\r\n".join(lines).encode("latin-1"))[0]
    assert isinstance(parsed, RequestHead)
    return parsed


def cookie(value: str) -> str:
    """The Cookie header for one of L{Cookies}' sessions."""
    return f"Cookie: {SESSION_COOKIE.decode()}={value}"


def facts(server_name: str | None, scheme: str = "https") -> ConnectionFacts:
    """A connection for one host."""
    name = server_name.encode() if server_name is not None else None
    return ConnectionFacts("192.0.2.7", name, scheme.encode(), 443 if scheme == "https" else 80)


def make_gate(
    applications: Mapping[str, Application] = CATALOG, rules: Sequence[IAccessRule] = (), **settings: Any
) -> Gate:
    """A gate over these applications."""
    gate = Gate(
        Cookies(),
        AUTH,
        PORTAL,
        f"https://{PORTAL}",
        settings.get("group_names", {}),
        rules,
        lambda: datetime(2027, 1, 15, 12, tzinfo=UTC),
    )
    catalog = Catalog(1, applications, {"main": ConnectorGroup(name="main")})
    views = ApplicationViews()
    views.update(catalog, lambda _application: None)
    gate.serve(catalog, views.by_id)
    return gate


def judge(gate: Gate, asked: RequestHead, scheme: str = "https", server_name: str | None = "") -> Verdict:
    """The verdict on a head that came for its own host."""
    name = asked.host.decode() if server_name == "" else server_name
    return gate.judge(asked, facts(name if scheme == "https" else None, scheme))
