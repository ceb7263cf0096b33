"""
What the proxy promises, said once: bytes of a request in, bytes at a real
backend's end, bytes of the answer back.
"""

from __future__ import annotations

from tests.contract.bodies import BodiesContract


class ProxyContract(BodiesContract):
    """All of it."""
