"""
What the proxy promises, said once: bytes of a request in, bytes at a real
backend's end, bytes of the answer back.
"""

from __future__ import annotations

from tests.contract.bodies import BodiesContract
from tests.contract.bound import BoundContract
from tests.contract.departures import DeparturesContract
from tests.contract.failures import FailuresContract
from tests.contract.headers import HeadersContract
from tests.contract.pace import PaceContract
from tests.contract.times import TimesContract
from tests.contract.upgrades import UpgradesContract


class ProxyContract(
    BodiesContract,
    HeadersContract,
    UpgradesContract,
    FailuresContract,
    DeparturesContract,
    BoundContract,
    PaceContract,
    TimesContract,
):
    """All of it."""
