"""
Plan, apply and export: the catalog as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from pydantic import Field
from twisted.internet.defer import Deferred

from appproxy.admin.errors import AdminError, changed_meanwhile, has_problems
from appproxy.admin.live import Liveness, LiveWatch
from appproxy.admin.objects import audit_change
from appproxy.admin.peer import Peer
from appproxy.catalog.apply import apply
from appproxy.catalog.documents import Document
from appproxy.catalog.export import export
from appproxy.catalog.feed import read_catalog
from appproxy.catalog.file_form import MAXIMUM_FILES, parse_files
from appproxy.catalog.plan import Change, plan
from appproxy.catalog.snapshot import Catalog
from appproxy.model.problems import Problem
from appproxy.model.schema import Model
from appproxy.store.istore import Conflict, IStore

InThread = Callable[[Callable[[], Any]], Deferred[Any]]
"""Does something that takes its time where it holds up nobody."""


class SentFile(Model):
    """One file of the catalog's file form."""

    name: str
    text: str


class PlanRequest(Model):
    """
    Which files, and whether what they do not name goes.
    """

    files: tuple[SentFile, ...] = Field(min_length=1, max_length=MAXIMUM_FILES)
    prune: bool = False


class ApplyRequest(PlanRequest):
    """
    @ivar revision: the one that the plan was made at.
    """

    revision: int


class Changes:
    """Compares files with the catalog, and makes the one what the others ask for."""

    def __init__(
        self, store: IStore, live: LiveWatch, own_hosts: Collection[str], in_thread: InThread
    ) -> None:
        """
        @param own_hosts: the edge's own, which no application can have.
        """
        self._store = store
        self._live = live
        self._own_hosts = frozenset(own_hosts)
        self._in_thread = in_thread

    async def plan(self, request: PlanRequest) -> dict[str, object]:
        """What would change, and the revision that says so."""
        catalog = await read_catalog(self._store)
        changes = await self._changes(catalog, request)
        return {"revision": catalog.revision, "changes": [change.as_dict() for change in changes]}

    async def apply(self, request: ApplyRequest, peer: Peer) -> dict[str, object]:
        """Make the planned changes, at the planned revision or not at all, and wait until they are live."""
        began = self._live.now()
        changes = await self._changes(await read_catalog(self._store), request)
        if not changes:
            return {"revision": request.revision, "changes": [], **Liveness(0.0).as_dict()}
        revision = await self._make(changes, request.revision)
        for change in changes:
            audit_change(peer, change, revision)
        live = await self._live.wait(revision, began)
        made = [change.as_dict() for change in changes]
        return {"revision": revision, "changes": made, **live.as_dict()}

    async def export(self) -> dict[str, object]:
        """The whole catalog in its file form."""
        catalog = await read_catalog(self._store)
        return {"revision": catalog.revision, "text": export(catalog)}

    async def _changes(self, catalog: Catalog, request: PlanRequest) -> list[Change]:
        files = [(file.name, file.text) for file in request.files]
        beside = None if request.prune else catalog
        found: Document | list[Problem] = await self._in_thread(
            lambda: parse_files(files, beside, self._own_hosts)
        )
        if isinstance(found, list):
            raise has_problems(found)
        return plan(catalog, found, request.prune)

    async def _make(self, changes: Sequence[Change], at_revision: int) -> int:
        try:
            return await apply(self._store, changes, at_revision)
        except Conflict:
            raise changed_meanwhile() from None
        except ValueError as error:
            # The store's own bounds: more changes, or a larger object, than one transaction takes.
            raise AdminError(422, "too_large", str(error)) from None
