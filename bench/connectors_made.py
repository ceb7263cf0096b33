"""
C{python -m bench.connectors_made}: connectors that are enrolled already.

Before an edge starts, writes them to its store with the project's own code, and their identities to
folders. A process of its own, since it needs a running reactor.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import react

from appproxy.model.application import Connector
from appproxy.pki.authority import Authority, new_id
from appproxy.pki.identity import Enrolment, create_key_and_csr, save
from appproxy.store.sealing import Sealer, load_or_make_key
from appproxy.store.sqlite import SqliteStore
from bench.processes import run

_SECONDS: Final = 900.0
_FIND_US: Final = {"PYTHONPATH": str(Path(__file__).parents[1])}


def make_connectors(state: Path, folder: Path, count: int, group: str, address: str, host: str) -> list[Path]:
    """
    Enrol connectors of one group.

    @param state: the edge's folder, with C{store.sqlite3}, C{store.key} and C{infrastructure.key}.
    @param folder: where their identities go.
    @param address: C{host:port} that they dial.
    @param host: the connect host.
    @return: the folder of each identity.
    """
    module = ("-m", "bench.connectors_made")
    words = (str(state), str(folder), str(count), group, address, host)
    run((sys.executable, *module, *words), environment=_FIND_US, seconds=_SECONDS)
    return [folder / f"{number:05d}" / "identity" for number in range(count)]


async def _main(
    reactor: Any, state: Path, folder: Path, count: int, group: str, address: str, host: str
) -> None:
    sealer = Sealer(load_or_make_key(state / "store.key"))
    store = await SqliteStore.open(state / "store.sqlite3", reactor)
    authority = await Authority.open(store, sealer, reactor, state / "infrastructure.key")
    for number in range(count):
        directory, holder_id, name = folder / f"{number:05d}" / "identity", new_id(), f"c{number:05d}"
        chain = authority.issue(create_key_and_csr(directory), "connector", holder_id)
        record = Connector(name=name, group=group)
        await authority.register(holder_id, record, chain, authority.newest)
        save(directory, chain, authority.ca_pem, Enrolment(name, group, (address,), host), reactor.seconds())
    await store.close()


def _react(
    reactor: Any, state: str, folder: str, count: str, group: str, address: str, host: str
) -> Deferred[None]:
    return ensureDeferred(_main(reactor, Path(state), Path(folder), int(count), group, address, host))


if __name__ == "__main__":
    react(_react, sys.argv[1:])
