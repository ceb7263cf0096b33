"""
What the proxy promises, said once: bytes of a request in, bytes at a real
backend's end, bytes of the answer back.
"""

from __future__ import annotations

from tests.contract.bodies import BodiesContract
from tests.contract.failures import FailuresContract
from tests.contract.headers import HeadersContract
from tests.contract.pace import PaceContract
from tests.contract.upgrades import UpgradesContract


class ProxyContract(BodiesContract, HeadersContract, UpgradesContract, FailuresContract, PaceContract):
    """All of it."""
