"""
An installation with thousands of connections of every kind at once: what it promises them, what they cost,
and what is left of them afterwards.
"""

from __future__ import annotations

import asyncio
import gc
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bench.sessions import GROUP
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.crowd import KINDS, Active, Client, Crowd, Idle, SlowBody, SlowHead, Talking
from tests.integration.support.faulted import APPLICATION, SIGN_ON, sign_in, sign_in_settings
from tests.integration.support.installation import Installation
from tests.integration.support.load import Place
from tests.integration.support.look import Look, Margins, at_work, look_at
from tests.integration.support.marked_backend import MarkedBackend
from tests.integration.support.processes import NotReady, Running, allow_open_files, wait_until

DAEMONS: Final = ("edge", "connector")
AT_ONCE: Final = 64
"""Who connects at the same time: more wait no shorter."""

FIRST: Final = 20
"""Of each kind come and go before: what everybody's first one costs is not counted."""

SPARE_FILES: Final = 1024
REST_SECONDS: Final = 120.0
"""How long daemons may take to be at rest after everybody hung up: body watches, closes, kept connections."""

KIND_SECONDS: Final = 600.0
"""How long all of one kind may take to connect, or to part: what takes this long is stuck."""

LEFT: Final = 0.4
"""Of the memory that connections took, what may stay: Python gives back only what is free in one piece."""

LEAST_LEFT: Final = 48 << 20
"""What is remembered by design: two thousand users, and the last 20,000 requests (C{connector.trails})."""

DESCRIPTORS_LEFT: Final = 8
TIMERS_LEFT: Final = 8

TICK_SECONDS: Final = 0.1
TELL_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Sizes:
    """
    How much there is to be.

    @ivar seconds: how long all are there at once.
    @ivar settle_seconds: how long a kind alone is waited for before memory is looked at.
    @ivar head_timeout: as in edge.toml.
    """

    idle: int
    active: int
    websockets: int
    slow_heads: int
    slow_bodies: int
    people: int
    seconds: float
    settle_seconds: float
    head_timeout: str = "10s"

    def of(self, kind: type[Client]) -> int:
        """How many of a kind."""
        return {
            Idle: self.idle,
            Active: self.active,
            Talking: self.websockets,
            SlowHead: self.slow_heads,
            SlowBody: self.slow_bodies,
        }[kind]

    @property
    def all(self) -> int:
        """All connections."""
        return sum(map(self.of, KINDS))


@dataclass
class Row:
    """
    What is told of a kind.

    @ivar each: bytes of memory that one of them took, by daemon.
    @ivar seconds: how long answers took beside all the others.
    """

    kind: str
    count: int
    each: Mapping[str, float]
    seconds: list[float] = field(default_factory=list)


class _Clients(threading.Thread):
    """
    The loop of C{asyncio} in which all clients are.

    @ivar late_seconds: how late the loop was at most: so much of the clients' times is their own.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True, name="crowds")
        self.late_seconds = 0.0
        self._loop = asyncio.new_event_loop()

    def run(self) -> None:
        """The thread."""
        self._due = self._loop.time() + TICK_SECONDS
        self._loop.call_at(self._due, self._tick)
        self._loop.run_forever()

    def _tick(self) -> None:
        now = self._loop.time()
        self.late_seconds = max(self.late_seconds, now - self._due)
        self._due = now + TICK_SECONDS
        self._loop.call_at(self._due, self._tick)

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done, and wait for it."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(KIND_SECONDS)

    def end(self) -> None:
        """Come to an end."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join()


class Loaded:
    """
    Edge with the relay inside, connector, application, and crowds that come one after the other.

    @ivar problems: everything that was found wrong.
    @ivar crowds: by kind.
    @ivar lags: how late each loop was at most while all were there, in seconds.
    """

    def __init__(self, case: IntegrationTestCase, sizes: Sizes, tell: Callable[[str], None]) -> None:
        """Start everything."""
        self._sizes = sizes
        self._tell = tell
        self.problems: list[str] = []
        self.crowds: dict[type[Client], Crowd] = {}
        self.rows: list[Row] = []
        self.lags = dict.fromkeys((*DAEMONS, "clients"), 0.0)
        case.addCleanup(allow_open_files(sizes.all + SPARE_FILES))
        self.backend = MarkedBackend(case.folder / "backend")
        case.start(self.backend.process)
        self.site = self._installation(case)
        self._people = sign_in(self.site, sizes.people)
        self.daemons: dict[str, Running] = {"edge": self.site.start_edge()}
        self._publish()
        backends, kept = [f"127.0.0.1:{self.backend.port}"], {"backend": {"idle_timeout": "2s"}}
        self.daemons["connector"] = self.site.start_connector(
            "hq", backends, {**kept, "log": {"level": "info"}}
        )
        self._place = Place(self.site.port, f"{APPLICATION}.{self.site.domain}", self.site.authority.ca_file)
        self._context = ssl.create_default_context(cafile=self._place.ca_file)
        self._clients = _Clients()
        self._clients.start()
        case.addCleanup(self._clients.end)
        # A look for cycles among this many clients takes a second, which all of them would wait.
        gc.disable()
        case.addCleanup(gc.enable)

    def _installation(self, case: IntegrationTestCase) -> Installation:
        settings = sign_in_settings(case.folder, access_log=True)
        # As by default, but nobody is sent away for being idle: how many can be held is the question.
        limits = {"idle_timeout": "1h", "head_timeout": self._sizes.head_timeout}
        return Installation(case, settings={**settings, "limits": limits})

    def _publish(self) -> None:
        work = {"internal_url": self.backend.internal_url, "groups": [GROUP], "sso": SIGN_ON}
        self.site.publish({APPLICATION: work})

    # -- the run

    def run(self) -> None:
        """All of it."""
        self._warm_up()
        start = self._look()
        self._tell(f"at the start: {_shown(start)}")
        for kind in KINDS:
            self._arrive(kind)
        full = self._look()
        self._tell(f"all are there: {_shown(full)}")
        self._hold()
        self._part()
        self._leave()
        self._rest(start, full)
        self._ask_afresh()
        for crowd in self.crowds.values():
            self.problems += crowd.outcome.problems

    def _warm_up(self) -> None:
        self._tell(f"{FIRST} of each kind come and go")
        crowds = [self._crowd(kind, FIRST) for kind in KINDS]

        async def come_and_go() -> None:
            await asyncio.gather(*(crowd.arrive(AT_ONCE) for crowd in crowds))
            await asyncio.gather(*(crowd.part(AT_ONCE) for crowd in crowds))
            for crowd in crowds:
                crowd.leave()

        self._clients.do(come_and_go())
        for crowd in crowds:
            self.problems += crowd.outcome.problems
        self._wait_for_rest("the first ones left")

    def _arrive(self, kind: type[Client]) -> None:
        count = self._sizes.of(kind)
        before, began = self._look(), time.monotonic()
        crowd = self.crowds[kind] = self._crowd(kind, count)
        self._clients.do(crowd.arrive(AT_ONCE))
        took = time.monotonic() - began
        threading.Event().wait(self._sizes.settle_seconds)
        after = self._look()
        each = {name: (after[name].memory - before[name].memory) / count for name in DAEMONS}
        self.rows.append(Row(kind.kind, count, each))
        self._tell(f"{count} x {kind.kind} came within {took:.1f} s: {_shown(after)}")

    def _crowd(self, kind: type[Client], count: int) -> Crowd:
        async def make() -> None:
            made.append(Crowd(kind, count, self._place, self._people, self._context))

        made: list[Crowd] = []
        self._clients.do(make())
        return made[0]

    def _hold(self) -> None:
        """All at once, for as long as was asked for; the daemons' lag is looked at each second."""
        self._forget_times()
        self._clients.late_seconds = 0.0
        began = told = time.monotonic()
        while (passed := time.monotonic() - began) < self._sizes.seconds:
            threading.Event().wait(min(1.0, self._sizes.seconds - passed))
            for name in DAEMONS:
                lag = self.site.numbers(name)["appproxy_reactor_lag_seconds"]
                self.lags[name] = max(self.lags[name], lag)
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                self._tell(f"after {told - began:.0f} s: {_shown(self._look())}; {self._counts()}")
        self.lags["clients"] = self._clients.late_seconds
        self._keep_times()

    def _forget_times(self) -> None:
        """What took long while others came, or goes, is not what it takes beside them."""
        for crowd in self.crowds.values():
            crowd.outcome.seconds.clear()

    def _keep_times(self) -> None:
        for row, crowd in zip(self.rows, self.crowds.values(), strict=True):
            row.seconds = row.seconds or list(crowd.outcome.seconds)

    def _counts(self) -> dict[str, dict[str, int]]:
        return {crowd.kind: dict(crowd.outcome.counts) for crowd in self.crowds.values()}

    def _part(self) -> None:
        self._tell("everybody finishes what was begun, and who is idle asks once more")
        for kind, crowd in self.crowds.items():
            self._clients.do(crowd.part(AT_ONCE))
            if kind is Idle:
                self._keep_times()

    def _leave(self) -> None:
        async def leave() -> None:
            for crowd in self.crowds.values():
                crowd.leave()

        self._clients.do(leave())

    # -- what must hold afterwards

    def _rest(self, start: Mapping[str, Look], full: Mapping[str, Look]) -> None:
        self._wait_for_rest("everybody left")
        try:
            wait_until(lambda: not self._left_over(start, full), "nothing is left over", REST_SECONDS)
        except NotReady:
            self.problems += self._left_over(start, full)
        self._tell(f"everybody left: {_shown(self._look())}")

    def _left_over(self, start: Mapping[str, Look], full: Mapping[str, Look]) -> list[str]:
        now = self._look()
        return [
            f"{name} at the end: {more}"
            for name in DAEMONS
            for more in now[name].grown_since(start[name], _margins(start[name], full[name]))
        ]

    def _wait_for_rest(self, when: str) -> None:
        try:
            wait_until(lambda: not self._busy(), f"all is at rest after {when}", REST_SECONDS)
        except NotReady:
            self.problems.append(f"{when}: {self._busy()}")

    def _busy(self) -> str:
        clients = self.site.numbers("edge")["appproxy_client_connections"]
        busy = at_work(self.site, DAEMONS, self.backend.internal_url)
        return f"{busy} {clients:g} clients" if busy or clients else ""

    def _ask_afresh(self) -> None:
        crowd = self._crowd(Idle, 1)
        self._clients.do(crowd.arrive(1))
        self.problems += crowd.outcome.problems
        if crowd.outcome.seconds:
            self.fresh_seconds = crowd.outcome.seconds[0]
            self._tell(f"a fresh request afterwards: {1000 * self.fresh_seconds:.1f} ms")

        async def leave() -> None:
            crowd.leave()

        self._clients.do(leave())

    def _look(self) -> dict[str, Look]:
        return {name: look_at(self.site, name, process) for name, process in self.daemons.items()}

    # -- the report

    def table(self) -> list[str]:
        """What was found, as a table of a document."""
        return [
            "| kind | connections | edge, each | connector, each | answers, ends | P50, P99, longest |",
            "|---|--:|--:|--:|---|--:|",
            *(self._row(row, crowd) for row, crowd in zip(self.rows, self.crowds.values(), strict=True)),
            "",
            "late at most: " + ", ".join(f"{name} {1000 * lag:.0f} ms" for name, lag in self.lags.items()),
        ]

    def _row(self, row: Row, crowd: Crowd) -> str:
        each = " | ".join(f"{row.each[name] / 1024:.1f} KiB" for name in DAEMONS)
        counts = ", ".join(f"{count:,} x {name}" for name, count in sorted(crowd.outcome.counts.items()))
        return f"| {row.kind} | {row.count:,} | {each} | {counts} | {_times(row.seconds)} |"


def _times(seconds: list[float]) -> str:
    if not seconds:
        return ""
    ordered = sorted(seconds)
    places = (len(ordered) // 2, len(ordered) * 99 // 100, len(ordered) - 1)
    shown = [ordered[min(place, len(ordered) - 1)] for place in places]
    if shown[0] > 1:
        return ", ".join(f"{each:.1f}" for each in shown) + " s"
    return ", ".join(f"{1000 * each:.0f}" for each in shown) + " ms"


def _margins(start: Look, full: Look) -> Margins:
    """What may be left of what a daemon had grown by."""
    grown = max(0, full.memory - start.memory)
    return Margins(max(LEAST_LEFT, int(LEFT * grown)), DESCRIPTORS_LEFT, TIMERS_LEFT)


def _shown(looks: Mapping[str, Look]) -> str:
    return "; ".join(f"{name} {look}" for name, look in looks.items())
