"""
Which realms are silent: a circuit breaker for each. Pure.

libkrb5 waits for half a minute for a KDC that takes connections and says nothing, and cannot be
interrupted. So that neither users nor threads wait for it one after the other, a realm that missed
the deadline is asked by one call at a time until one is answered.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from appproxy.kerberos.causes import Stage

_C = TypeVar("_C")

MAXIMUM_REALMS: Final = 256
"""Silent realms that are remembered; the connector's configuration names a handful."""


class _Silence(Generic[_C]):
    __slots__ = ("probe", "stage")

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.probe: _C | None = None


class Breakers(Generic[_C]):
    """
    What is known of each lane: a realm, or several that a call has to do with.

    A call is whatever object stands for it.
    """

    def __init__(self) -> None:
        self._silent: dict[str, _Silence[_C]] = {}
        self._answers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._silent)

    def is_open(self, lane: str) -> bool:
        """Whether the lane has missed a deadline and not answered since."""
        return lane in self._silent

    def refusal(self, lane: str) -> Stage | None:
        """
        The stage at which the lane fell silent, if no call may be made now; L{None} if one may.
        """
        silence = self._silent.get(lane)
        return silence.stage if silence and silence.probe is not None else None

    def begin(self, lane: str, call: _C) -> None:
        """A call is made; while the lane is silent it is the only one."""
        silence = self._silent.get(lane)
        if silence is not None:
            silence.probe = call

    def missed(self, lane: str, call: _C, stage: Stage) -> None:
        """A call has not come back in time: it no longer counts as the one that tries."""
        silence = self._silent.get(lane)
        if silence is None:
            if len(self._silent) >= MAXIMUM_REALMS:
                del self._silent[next(iter(self._silent))]
            self._silent[lane] = _Silence(stage)
        else:
            self.ended(lane, call)

    def ended(self, lane: str, call: _C) -> None:
        """A call came to an end that says nothing of the lane: it was withdrawn, or reached nobody."""
        silence = self._silent.get(lane)
        if silence is not None and silence.probe is call:
            silence.probe = None

    def answered(self, lane: str) -> None:
        """The lane's KDC has said something, if only no."""
        self._silent.pop(lane, None)
        if lane not in self._answers and len(self._answers) >= MAXIMUM_REALMS:
            del self._answers[next(iter(self._answers))]
        self._answers[lane] = self._answers.get(lane, 0) + 1

    def answers(self, lane: str) -> int:
        """How often it did: whether it did since, if compared with what it was before."""
        return self._answers.get(lane, 0)
