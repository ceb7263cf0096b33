"""
How many requests came for each application.
"""

from __future__ import annotations

from appproxy.observe.series import MAXIMUM_SERIES, Counter, Key


class Tally:
    """
    @param requests: where they are counted.
    """

    __slots__ = ("_keys", "_requests")

    def __init__(self, requests: Counter) -> None:
        self._requests = requests
        self._keys: dict[str, Key] = {}

    def served(self, application: str) -> None:
        """A request came through a tunnel."""
        key = self._keys.get(application)
        if key is None:
            key = (application, "", "")
            # Names come from edges; the counter has its own bound.
            if len(self._keys) < MAXIMUM_SERIES:
                self._keys[application] = key
        self._requests.add(key)
