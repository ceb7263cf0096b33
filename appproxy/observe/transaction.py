"""
What is told of one request: its id, and the facts of its one line in the log.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, NamedTuple

from mypy_extensions import mypyc_attr

from appproxy.model.refusal import Refusal

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_CHARACTERS: Final = 16
_POOL_IDS: Final = 256
"""Ids per call for random bytes: one system call is dearer than an id."""

_TO_CROCKFORD: Final = bytes(ord(_CROCKFORD[value % 32]) for value in range(256))
_PAIRS: Final = tuple(high + low for high in _CROCKFORD for low in _CROCKFORD)
"""Ten bits as two characters."""


class TransactionIds:
    """
    Makes ULIDs (26 characters: 48 bits of milliseconds, 80 random bits).

    Calling an instance gives the next one. All 80 bits come from the system's generator, so that
    who knows some ids can guess no other.
    """

    __slots__ = ("_clock", "_pool", "_position", "_random", "_second", "_second_text")

    def __init__(self, clock: Callable[[], float], random: Callable[[int], bytes] = os.urandom) -> None:
        """
        @param clock: seconds since the epoch.
        @param random: as many unpredictable bytes as asked for.
        """
        self._clock = clock
        self._random = random
        # What a thousand milliseconds and some have in common.
        self._second = -1
        self._second_text = ""
        self._pool = ""
        self._position = 0

    def __call__(self) -> str:
        """A new id."""
        return self.at(self._clock())

    def at(self, seconds: float) -> str:
        """A new id for this time."""
        millisecond = int(seconds * 1000)
        if millisecond >> 10 != self._second:
            self._second = millisecond >> 10
            self._second_text = _second_text(self._second)
        start = self._position
        end = start + _RANDOM_CHARACTERS
        if end > len(self._pool):
            # A byte has 256 values, a character 32: each character comes from eight bytes, evenly.
            raw = self._random(_RANDOM_CHARACTERS * _POOL_IDS)
            self._pool = raw.translate(_TO_CROCKFORD).decode("ascii")
            start, end = 0, _RANDOM_CHARACTERS
        self._position = end
        return f"{self._second_text}{_PAIRS[millisecond & 1023]}{self._pool[start:end]}"


def time_of(transaction_id: str) -> float | None:
    """When an id was made, in seconds since the epoch; L{None} if it is no id of ours."""
    if len(transaction_id) != 26 or not set(transaction_id) <= set(_CROCKFORD) or transaction_id > "8":
        return None
    value = 0
    for character in transaction_id[: 26 - _RANDOM_CHARACTERS]:
        value = value * 32 + _CROCKFORD.index(character)
    return value / 1000


def _second_text(second: int) -> str:
    """All but the last ten bits of the milliseconds."""
    pairs = _PAIRS
    return (
        pairs[second >> 30 & 1023]
        + pairs[second >> 20 & 1023]
        + pairs[second >> 10 & 1023]
        + pairs[second & 1023]
    )


class Step(NamedTuple):
    """
    An attempt that came to nothing.

    @ivar after: seconds from the request's beginning.
    @ivar connector: whose tunnel it was.
    @ivar detail: the connector's words.
    @ivar relay: the id of the relay of its own through which it went; empty without one.
    """

    after: float
    connector: str
    reason: str
    detail: str
    relay: str = ""


NO_STEPS: Final[tuple[Step, ...]] = ()


@mypyc_attr(acyclic=True)
class Transaction:
    """
    One request, as the access log and the metrics see it; filled in as it goes on.

    Numbers that are not known (yet) are C{-1}, texts empty; the log says C{null} for both.

    @ivar started: when the head was complete, seconds since the epoch.
    @ivar session: the session's id; the log shows its first 8 characters.
    @ivar target: the request target as received; the log cuts the query unless told otherwise.
    @ivar status: of the answer; 0 if the connection ended before there was one.
    @ivar error: the status name of a refusal, e.g. C{BadGateway}.
    @ivar protocol: C{http/1.1}, C{h2} or C{websocket}.
    @ivar bytes_in: body bytes from the client; C{bytes_out}: to it.
    @ivar duration: seconds to the last byte; C{first_byte}: to the first one of the answer.
    @ivar relay: the id of the relay of its own that it went through; for a trace, not for the log.
    @ivar steps: attempts that failed; for a trace, not for the log.
    @ivar tunnel: the number of the tunnel that it went through last.
    @ivar connector_time: seconds at the connector until the head of the answer, or until it gave up;
        C{backend_time}: of these, how long the application had the whole request; C{sso_time}: sign-on.
    """

    __slots__ = (
        "application",
        "backend_time",
        "bytes_in",
        "bytes_out",
        "client_address",
        "connector",
        "connector_group",
        "connector_time",
        "duration",
        "error",
        "first_byte",
        "host",
        "id",
        "method",
        "protocol",
        "reason",
        "relay",
        "retries",
        "session",
        "sso_mode",
        "sso_time",
        "started",
        "status",
        "steps",
        "target",
        "tunnel",
        "user",
        "user_agent",
    )

    def __init__(
        self,
        id: str,
        started: float,
        client_address: str = "",
        method: bytes = b"",
        host: bytes = b"",
        target: bytes = b"",
        user_agent: bytes = b"",
    ) -> None:
        self.id = id
        self.started = started
        self.client_address = client_address
        self.method = method
        self.host = host
        self.target = target
        self.user_agent = user_agent
        self.protocol = "http/1.1"
        self.application = self.user = self.session = ""
        self.connector = self.connector_group = self.relay = self.tunnel = ""
        self.error = self.reason = self.sso_mode = ""
        self.steps = NO_STEPS
        self.status = self.bytes_in = self.bytes_out = self.retries = 0
        self.duration = self.first_byte = self.connector_time = self.backend_time = self.sso_time = -1.0

    def attempt_failed(self, at: float, reason: str, detail: str) -> None:
        """
        Note that a connector gave it up.

        @param at: seconds since the epoch.
        """
        self.steps = (*self.steps, Step(at - self.started, self.connector, reason, detail, self.relay))

    def forget_times(self) -> None:
        """They were of an attempt that is followed by another one."""
        self.connector_time = self.backend_time = self.sso_time = -1.0

    def refused(self, refusal: Refusal) -> None:
        """Note that the request was turned away, and why."""
        self.status = refusal.status
        self.error = refusal.error.name
        self.reason = refusal.reason
