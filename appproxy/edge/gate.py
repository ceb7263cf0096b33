"""
The gate: routing, pre-authentication and policy of one request.

L{Gate.judge} is pure and synchronous: it looks things up and touches nothing.
Every front end asks it, and asks it again after anything was awaited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from appproxy.catalog.snapshot import Catalog, Published
from appproxy.edge.facts import ConnectionFacts, header_values, is_navigation, session_cookie
from appproxy.edge.verdict import (
    Fetch,
    Forward,
    Local,
    Refuse,
    SignIn,
    SignInPage,
    Unauthorised,
    Verdict,
)
from appproxy.edge.view import ApplicationView
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.heads import RequestHead
from appproxy.httpwire.paths import CanonicalPath, canonical_path, readings
from appproxy.iappproxy import IAccessRule
from appproxy.model.principal import Principal
from appproxy.model.refusal import Error, Refusal
from appproxy.policy.decide import decide
from appproxy.session.outcomes import CookieProblem, NotHere, StoreAway

RESERVED: Final = "/.appproxy"

UNKNOWN_HOST: Final = Refuse(Refusal(Error.NotFound, "unknown_host"), neutral=True)
_UNKNOWN_PATH: Final = Refuse(Refusal(Error.NotFound, "unknown_path"), neutral=True)
_NOT_ALLOWED: Final = (
    "The address has {}, which cannot be told apart safely between the applications of this host. "
    'The administrator can allow it with ambiguous_paths = "pass".'
)
_OF_ANOTHER: Final = "The address has {}: some servers would read it as an address of another application."
_LIKE_ANOTHER: Final = (
    "The address differs from one of another application only in capitals, or in dots and blanks at the end "
    "of a name, which some servers take no notice of."
)
_LIKE_A_HOST: Final = (
    "The address has two slashes where the application's own path begins, which some servers would read as "
    "the name of a host."
)
_NO_PAGE: Final = Refuse(Refusal(Error.BadRequest, "ambiguous_path"))
_MISDIRECTED: Final = Refuse(Refusal(Error.MisdirectedRequest, "sni_host_mismatch"), neutral=True, close=True)
STORE_AWAY: Final = Refusal(
    Error.ServiceUnavailable, "store_unreachable", "operator", "Sessions cannot be checked at the moment."
)
_ORIGIN_NEEDED: Final = Refusal(
    Error.Forbidden, "foreign_origin", "peer", "Another site's page tried to open a WebSocket here."
)


class CookieReader(Protocol):
    """The part of L{appproxy.session.records.Sessions} that the gate asks."""

    def open_cookie(self, cookie: bytes, host: bytes) -> Principal | None:
        """The user of a session cookie; raises as the class says."""


class Gate:
    """
    @ivar catalog: the current snapshot.
    @ivar views: the applications' views by id.
    @ivar plain_hosts: hosts with an application that is published on http.
    """

    def __init__(
        self,
        sessions: CookieReader,
        auth_host: str,
        portal_host: str,
        portal_origin: str,
        group_names: Mapping[str, str],
        rules: Sequence[IAccessRule] = (),
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.catalog = Catalog()
        self.views: Mapping[str, ApplicationView] = {}
        self.plain_hosts: frozenset[bytes] = frozenset()
        self._sessions = sessions
        self._auth_host = auth_host.encode()
        self._portal_host = portal_host.encode()
        self._portal_origin = portal_origin
        self._group_names = group_names
        self._rules = rules
        self._now = now

    def serve(self, catalog: Catalog, views: Mapping[str, ApplicationView]) -> None:
        """Another catalog: a request sees either all of the old one or all of the new one."""
        self.catalog, self.views = catalog, views
        self.plain_hosts = frozenset(
            view.application.external_url.host_text.encode()
            for view in views.values()
            if view.scheme == b"http"
        )

    def judge(self, head: RequestHead, connection: ConnectionFacts) -> Verdict:
        """What is to be done with a request. Never raises for what a client sent."""
        host = head.host
        if connection.server_name is not None and connection.server_name != host:
            return _MISDIRECTED
        if head.target == b"*":
            return _UNKNOWN_PATH
        try:
            path = canonical_path(head.target)
        except BadMessage as problem:
            if not self.is_known_host(host):
                return UNKNOWN_HOST
            return Refuse(Refusal(Error.BadRequest, problem.rule))
        if host == self._auth_host or host == self._portal_host:
            return self._own_host(head, host, path)
        published = self.catalog.route(host, path.path)
        if path.path.startswith(RESERVED) and (path.path + "/").startswith(RESERVED + "/"):
            return self._reserved(head, host, path, published.id if published else "")
        if published is None:
            return _UNKNOWN_PATH if host in self.catalog.hosts else UNKNOWN_HOST
        view = self.views[published.id]
        if view.scheme != connection.scheme:
            return UNKNOWN_HOST
        verdict = self._enter(head, host, view)
        if not published.alone and isinstance(verdict, Forward):
            # Only now: whoever may not enter learns nothing of what else is published here.
            refusal = self._unclear(head, host, path, published)
            if refusal is not None:
                return Refuse(refusal, view.id, verdict.principal)
        return verdict

    def _unclear(
        self, head: RequestHead, host: bytes, path: CanonicalPath, published: Published
    ) -> Refusal | None:
        """A path by which the application's server could find what is for another application's users."""
        if path.ambiguous:
            return self._ambiguous(head, host, path, published)
        if self.catalog.like_another(host, path.path, published):
            return Refusal(Error.BadRequest, "ambiguous_path", "peer", _LIKE_ANOTHER)
        return None

    def _ambiguous(
        self, head: RequestHead, host: bytes, path: CanonicalPath, published: Published
    ) -> Refusal | None:
        """
        Encoded slashes and their like are harmless where a host has one application
        at its root. Elsewhere they pass if that is wished, and if no server could read them as another one's,
        or as another server's.
        """
        found, view = ", ".join(sorted(path.ambiguous)), self.views[published.id]
        if not view.passes_ambiguous_paths:
            detail = _NOT_ALLOWED.format(found)
        elif view.loses_prefix and path.path.startswith(f"{published.external_prefix}/"):
            detail = _LIKE_A_HOST
        else:
            read = readings(head.target)
            if any(self.catalog.route(host, each) is not published for each in read):
                detail = _OF_ANOTHER.format(found)
            elif any(self.catalog.like_another(host, each, published) for each in read):
                detail = _LIKE_ANOTHER
            else:
                return None
        return Refusal(Error.BadRequest, "ambiguous_path", "peer", detail)

    def is_known_host(self, host: bytes) -> bool:
        """Whether a host is ours or an application's: what port 80 may redirect."""
        return host in (self._auth_host, self._portal_host) or host in self.catalog.hosts

    def is_https_only(self, host: bytes) -> bool:
        """Whether nothing but https is served at one of our hosts: what a browser may be told to rely on."""
        return self.is_known_host(host) and host not in self.plain_hosts

    def may_open(self, view: ApplicationView, principal: Principal) -> bool:
        """Whether a user would be let in: what the portal shows."""
        return view.passthrough or self._refused(view, principal) is None

    def _own_host(self, head: RequestHead, host: bytes, path: CanonicalPath) -> Verdict:
        if (path.path + "/").startswith(RESERVED + "/"):
            return self._reserved(head, host, path, "")
        if path.ambiguous:
            return _NO_PAGE
        if host == self._auth_host:
            return Local(reserved=False)
        who = self._who(head, host)
        if isinstance(who, Principal):
            return Local(reserved=False, principal=who)
        return self._without_session(head, who, "", self._portal_origin)

    def _reserved(self, head: RequestHead, host: bytes, path: CanonicalPath, application_id: str) -> Verdict:
        if not self.is_known_host(host):
            return UNKNOWN_HOST
        if path.ambiguous:
            return _NO_PAGE
        who = self._who(head, host)
        if isinstance(who, Fetch):
            return who
        principal = who if isinstance(who, Principal) else None
        return Local(reserved=True, principal=principal, application_id=application_id)

    def _enter(self, head: RequestHead, host: bytes, view: ApplicationView) -> Verdict:
        principal: Principal | None = None
        if not view.passthrough:
            who = self._who(head, host)
            if not isinstance(who, Principal):
                return self._without_session(head, who, view.id, view.origin)
            principal = who
        refusal = self._refused(view, principal) or self._foreign_origin(head, view)
        if refusal is not None:
            return Refuse(refusal, view.id, principal)
        return Forward(view, principal)

    def _who(self, head: RequestHead, host: bytes) -> Principal | Fetch | str | Refusal:
        """The user; or the session to load; or why there is none; or that nobody can tell."""
        cookie = session_cookie(head)
        if cookie is None:
            return "no_session"
        try:
            principal = self._sessions.open_cookie(cookie, host)
        except NotHere as first_sight:
            return Fetch(first_sight.session_id)
        except CookieProblem as problem:
            return problem.reason
        except StoreAway:
            return STORE_AWAY
        return principal if principal is not None else "no_session"

    @staticmethod
    def _without_session(
        head: RequestHead, who: Fetch | str | Refusal, application_id: str, origin: str
    ) -> Verdict:
        if isinstance(who, Fetch):
            return who
        if isinstance(who, Refusal):
            return Refuse(who, application_id)
        if head.upgrade is not None or not is_navigation(head):
            return Unauthorised(who, application_id, origin)
        if head.method in (b"GET", b"HEAD"):
            return SignIn(who, application_id, origin)
        return SignInPage(who, application_id, origin)

    def _refused(self, view: ApplicationView, principal: Principal | None) -> Refusal | None:
        if principal is None and not self._rules:
            return None
        return decide(view.id, view.application, principal, self._now, self._group_names, self._rules)

    @staticmethod
    def _foreign_origin(head: RequestHead, view: ApplicationView) -> Refusal | None:
        """
        Browsers send cookies along with any site's WebSocket (RFC 6455, section
        10.2), so the Origin decides. Clients that are no browsers send none.
        """
        if head.upgrade is None or view.origins is None or head.upgrade not in view.upgrades:
            return None
        origins = header_values(head, b"origin")
        if not origins or (len(origins) == 1 and origins[0].lower() in view.origins):
            return None
        return _ORIGIN_NEEDED
