"""
Every session in the store, for whoever lists, ends or asks about them.
"""

from __future__ import annotations

from appproxy.policy.decide import canonical_name
from appproxy.session.record import SessionRecord, decode_record
from appproxy.store.istore import IStore, Item
from appproxy.store.keys import SESSIONS, BadDocument
from appproxy.store.sealing import Sealer


async def read_sessions(store: IStore, sealer: Sealer) -> list[SessionRecord]:
    """
    All of them, the newest last. What cannot be opened is left out: the tombstone of a session that has
    ended, or a record of another store.key, by which nobody is let in.

    @param sealer: the one that the records are sealed with.
    """
    listing = await store.list(SESSIONS)
    records: list[SessionRecord] = []
    for item in listing.items:
        try:
            records.append(decode_record(session_id_of(item), item.value, sealer))
        except (BadDocument, ValueError):
            continue
    return sorted(records, key=lambda record: record.created_at)


def session_id_of(item: Item) -> str:
    """The id of a session, from its entry in the store."""
    return item.key.removeprefix(SESSIONS)


def belongs_to(record: SessionRecord, user: str) -> bool:
    """
    Whether a session is this user's.

    @param user: the name that assignments use, or what logs call the user.
    """
    principal = record.principal
    names = (canonical_name(principal.user_principal_name), canonical_name(principal.label))
    return canonical_name(user) in names
