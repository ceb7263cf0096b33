"""
C{python -m bench.sessions}: people who are signed in already.

Before an edge starts, writes sessions to its store with the project's own code, and
their cookies to a file. A process of its own, since it needs a running reactor.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.task import react

from appproxy.model.principal import Principal
from appproxy.session.cookies import SESSION_COOKIE
from appproxy.session.keyring import Keyring
from appproxy.session.record import Tokens
from appproxy.session.records import Sessions
from appproxy.store.sealing import Sealer, load_or_make_key
from appproxy.store.sqlite import SqliteStore
from bench.processes import run
from bench.scratch import scratch

GROUP: Final = "Staff"
"""Everybody is in it, and applications are assigned to it."""

ISSUER: Final = "https://login.example.com/realms/main"
_AT_ONCE: Final = 500
_SECONDS: Final = 900.0
_BYTES: Final = 8_000
"""Of a session in the store, with room to spare."""

_FIND_US: Final = {"PYTHONPATH": str(Path(__file__).parents[1])}


@dataclass(frozen=True)
class Lifetimes:
    """As C{[session]} has them by default."""

    maximum_lifetime: float = 14 * 3600.0
    idle_lifetime: float = 3600.0
    revocation_grace: float = 60.0


def user(number: int) -> Principal:
    """Somebody of whom a provider told the usual."""
    name = f"user.{number:06d}"
    groups = frozenset({GROUP, "Everyone", f"Department {number % 40}", f"Project {number % 250}"})
    return Principal(
        issuer=ISSUER,
        subject=f"7d2a9f5c-4d2c-4a6e-9d0b-{number:012x}",
        session_id="",
        user_principal_name=f"{name}@example.com",
        display_name=f"User Number {number}",
        mail=f"{name}@example.com",
        groups=groups,
        on_premises_sam_account_name=name,
    )


def make_sessions(store: Path, key: Path, count: int, *hosts: str) -> Mapping[str, list[str]]:
    """
    Sign people in, each once.

    @param store: the SQLite file, which is not there yet.
    @param key: the store's key file; made if there is none.
    @param hosts: the applications', where the cookies are good.
    @return: by host, the C{Cookie} header's value of each session.
    """
    # In memory first: signing in waits for the disk, which is not what is measured.
    folder = scratch(count * _BYTES)
    try:
        made = folder / "store"
        command = (sys.executable, "-m", "bench.sessions", str(made), str(key), str(count), *hosts)
        cookies: dict[str, list[str]] = json.loads(run(command, environment=_FIND_US, seconds=_SECONDS))
        shutil.move(made, store)
    finally:
        shutil.rmtree(folder)
    return cookies


async def _main(reactor: Any, store_path: str, key_path: str, count: int, hosts: Sequence[str]) -> None:
    store = await SqliteStore.open(store_path, reactor)
    sealer = Sealer(load_or_make_key(Path(key_path)))
    keyring = Keyring(store, sealer, reactor, Lifetimes.maximum_lifetime)
    sessions = Sessions(store, sealer, keyring, reactor, Lifetimes())
    await sessions.start()
    ids: list[str] = []
    for start in range(0, count, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, count))
        ids += await gatherResults([sessions.create(user(number), tokens()) for number in numbers])
    json.dump({host: _cookies(sessions, ids, host) for host in hosts}, sys.stdout)
    sessions.stop()
    await store.close()


def tokens() -> Tokens:
    """About as large as a provider's: three parts of base64."""
    methods = ("pwd", "mfa")
    return Tokens(id_token="x" * 900, refresh_token="x" * 600, provider_session="x" * 36, methods=methods)


def _cookies(sessions: Sessions, ids: Sequence[str], host: str) -> list[str]:
    name = SESSION_COOKIE.decode()
    return [f"{name}={sessions.cookie(each, host.encode()).decode()}" for each in ids]


def _react(reactor: Any, store: str, key: str, count: str, *hosts: str) -> Deferred[None]:
    return ensureDeferred(_main(reactor, store, key, int(count), hosts))


if __name__ == "__main__":
    react(_react, sys.argv[1:])
