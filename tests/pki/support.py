"""
An authority for tests, with time that stands still unless it is moved.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from cryptography import x509
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from appproxy.pki.authority import Authority
from appproxy.store.sealing import KEY_SIZE, Sealer
from appproxy.store.sqlite import SqliteStore
from tests.store.support import memory_store

NOW = 1_800_000_000.0
"""A day in January 2027."""

DAY = 86400.0
HOST = "connect.apps.example.com"
SEALER = Sealer(bytes(KEY_SIZE))

_T = TypeVar("_T")


def result(fired: Deferred[_T]) -> _T:
    """The result of a Deferred that has fired already; its exception is raised."""
    results: list[_T] = []
    failures: list[BaseException] = []
    fired.addCallbacks(results.append, lambda failure: failures.append(failure.value))
    if failures:
        raise failures[0]
    return results[0]


def clock_now() -> Clock:
    """A clock that shows L{NOW}."""
    clock = Clock()
    clock.advance(NOW)
    return clock


def new_folder(path: str) -> Path:
    """Make a folder at a path from C{mktemp}."""
    folder = Path(path).absolute()
    folder.mkdir(parents=True)
    return folder


def open_authority(clock: Clock, folder: Path, store: SqliteStore | None = None) -> Authority:
    """The authority of a store, in memory unless one is given; its key file stands in the folder."""
    return result(Authority.open(store or memory_store(clock), SEALER, clock, folder / "infrastructure.key"))


def names_of(certificate: x509.Certificate) -> list[str]:
    """All alternative names, as text."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def usages_of(certificate: x509.Certificate) -> list[str]:
    """All extended key usages, by name."""
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return [usage._name for usage in usages]
