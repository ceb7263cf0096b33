"""
Who changed what: one line for each object.
"""

from __future__ import annotations

from twisted.logger import Logger

from appproxy.admin.peer import Peer

_log = Logger()


def audit(
    peer: Peer,
    action: str,
    audited: str,
    revision: int,
    before_hash: str = "",
    after_hash: str = "",
    **more: str,
) -> None:
    """
    Write one audit line.

    @param action: create, update, delete.
    @param more: fields that only this action has.
    @param audited: what was changed, C{applications/wiki}.
    @param revision: the store's revision of the change.
    """
    _log.info(
        "{actor} did {action} {object} at revision {revision}",
        event="audit",
        actor=peer.user,
        actor_uid=peer.uid,
        action=action,
        object=audited,
        revision=revision,
        before_hash=before_hash,
        after_hash=after_hash,
        **more,
    )
