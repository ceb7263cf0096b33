"""
Makes planned changes, all or none.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, succeed

from appproxy.catalog.documents import encode
from appproxy.catalog.plan import Change
from appproxy.store.istore import IStore, PrefixUnchanged, Put
from appproxy.store.keys import CATALOG


def apply(store: IStore, changes: Sequence[Change], at_revision: int) -> Deferred[int]:
    """
    Make the changes if the catalog is still what they were planned for.

    @param at_revision: the revision of the catalog that was planned with.
    @return: the new revision; C{at_revision} if there is nothing to change.
    @raise Conflict: (as a failure) if somebody else changed the catalog meanwhile.
    """
    if not changes:
        return succeed(at_revision)
    return store.transact(
        compares=[PrefixUnchanged(CATALOG, at_revision)],
        puts=[Put(change.key, encode(change.after)) for change in changes if change.after is not None],
        deletes=[change.key for change in changes if change.after is None],
    )
