"""
A process that writes to a store until it is killed, and says what it was
promised: run by L{tests.store.test_crash}.
"""

from __future__ import annotations

import sys

from twisted.internet.task import Clock

from appproxy.store.istore import Put
from appproxy.store.sqlite import SqliteStore
from appproxy.store.worker import InlineWorker


def main(path: str) -> None:
    """Write pairs of documents with equal values for ever; a line for each acknowledged revision."""

    def acknowledged(revision: int) -> None:
        sys.stdout.write(f"{revision}\n")
        sys.stdout.flush()

    stores: list[SqliteStore] = []
    SqliteStore.open(path, Clock(), InlineWorker()).addCallback(stores.append)
    number = 0
    while True:
        number += 1
        value = b"%d" % number
        pair = [Put("/pair/left", value), Put("/pair/right", value * 1000), Put(f"/all/{number}", value)]
        stores[0].transact(puts=pair).addCallback(acknowledged)


if __name__ == "__main__":
    main(sys.argv[1])
