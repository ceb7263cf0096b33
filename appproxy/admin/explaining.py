"""
Why a user is signed on to an application, or is not: tried step by step by each connector of its group.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from twisted.internet.defer import gatherResults
from twisted.logger import Logger

from appproxy.admin.asked_user import AskedUser, UserRequest, asked_user
from appproxy.admin.audit import audit
from appproxy.admin.errors import bad_request, not_found, refused
from appproxy.admin.objects import Row, find
from appproxy.admin.peer import Peer
from appproxy.admin.questions import Connectors, ExplainOutcome
from appproxy.catalog.feed import CatalogFeed, ConnectorFeed
from appproxy.catalog.snapshot import Published
from appproxy.model.advice import advice
from appproxy.model.principal import Principal

MAXIMUM_ASKED: Final = 16
"""Connectors of a group that are asked at once: all of them ask the same KDC."""

_NOBODY: Final = ExplainOutcome("", reason="no_connector", detail="the group has no connector")

_log: Final = Logger()


class ExplainRequest(UserRequest):
    """
    @ivar application: its id.
    @ivar connector: only this one, by id or name; empty means all of the group.
    """

    application: str
    connector: str = ""


class Explanations:
    """Has sign-ons tried, and tells what came of them."""

    def __init__(
        self,
        feed: CatalogFeed,
        registry: ConnectorFeed,
        connectors: Connectors,
        find_live: Callable[[str], Awaitable[Principal | None]],
    ) -> None:
        """
        @param find_live: a user who is signed in, as L{appproxy.admin.asked_user.live_principal} finds them.
        """
        self._feed = feed
        self._registry = registry
        self._connectors = connectors
        self._find_live = find_live

    async def kerberos(self, request: ExplainRequest, peer: Peer) -> Row:
        """
        Try Kerberos sign-on.

        @raise AdminError: for an application, or a connector, that it cannot be tried with.
        """
        revision = self._feed.current.revision
        published = self._published(request.application, "kerberos")
        asked = self._asked_connectors(published, request.connector)
        user = asked_user(request, await self._find_live(request.user), published.backend.claims)
        audit(peer, "explain", f"applications/{published.id}", revision, user=request.user)
        outcomes = await gatherResults(
            [self._connectors.explain(id_, published.id, revision, user.principal) for id_ in asked],
            consumeErrors=True,
        )
        rows = [_told(id_, asked[id_], outcome) for id_, outcome in zip(asked, outcomes, strict=True)]
        for row in rows:
            _note(row, published, request.user, peer)
        rows = rows or [_told("", "", _NOBODY)]
        return _head(request, published, user) | {"connectors": rows, "failed": sum(map(_has_failed, rows))}

    def _published(self, name: str, mode: str) -> Published:
        catalog = self._feed.current
        if name not in catalog.published:
            raise not_found("application", name, catalog.applications)
        published = catalog.published[name]
        there = published.application.sso.mode
        if there != mode:
            raise refused(f'the application "{name}" has sso.mode "{there}", not "{mode}"')
        return published

    def _asked_connectors(self, published: Published, name: str) -> Mapping[str, str]:
        """Names by id, in the order of names."""
        group = published.application.connector_group
        there = {
            id_: known.name
            for id_, known in self._registry.current.items()
            if known.role == "connector" and not known.revoked_at and known.group == group
        }
        if name:
            id_ = find(f"connector of the group {group}", name, there)
            return {id_: there[id_]}
        if len(there) > MAXIMUM_ASKED:
            raise bad_request(
                f"the group {group} has {len(there)} connectors, too many to ask at once: name one of them"
            )
        return dict(sorted(there.items(), key=lambda each: (each[1], each[0])))


def _head(request: ExplainRequest, published: Published, user: AskedUser) -> dict[str, object]:
    claims = {name: user.principal.claim(name) for name in sorted(published.backend.claims)}
    return {
        "application": published.id,
        "connector_group": published.application.connector_group,
        "user": request.user,
        "claims": {name: value for name, value in claims.items() if value},
        "signed_in": user.signed_in,
        "missing": list(user.missing),
        "unused": list(user.unused),
    }


def _told(id_: str, name: str, outcome: ExplainOutcome) -> dict[str, object]:
    return {
        "connector": id_,
        "name": name,
        "steps": list(outcome.steps),
        "reason": outcome.reason or None,
        "detail": outcome.detail or None,
        "advice": advice(outcome.reason) or None,
        "transaction_id": outcome.transaction_id or None,
    }


def _first_failed(row: Row) -> Row | None:
    steps = row["steps"]
    assert isinstance(steps, list)
    return next((step for step in steps if step["outcome"] == "failed"), None)


def _has_failed(row: Row) -> bool:
    return bool(row["reason"]) or _first_failed(row) is not None


def _note(row: Row, published: Published, user: str, peer: Peer) -> None:
    failed = _first_failed(row)
    _log.info(
        "{event}: {application} through {connector}: {outcome}, asked by {actor}",
        event="explain",
        application=published.id,
        connector=row["name"],
        connector_group=published.application.connector_group,
        user=user,
        outcome=row["reason"] or (failed["cause"] if failed is not None else "ok"),
        detail=row["detail"] or (failed["name"] if failed is not None else ""),
        actor=peer.user,
        transaction_id=row["transaction_id"],
    )
