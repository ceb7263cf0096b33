"""
Two sessions joined by a scheduler that splits, delays and reorders turns at random
(never bytes: they run over TCP), while streams, principals and resets come as they like.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.tunnel.errors import TunnelRefused
from appproxy.tunnel.messages import NO_BODY, UNTIL_END, OpenMessage
from appproxy.tunnel.principals import digest_of
from appproxy.tunnel.settings import KIB, TunnelSettings
from appproxy.tunnel.stream import Stream
from tests.tunnel.support import End, Pair, Recorder, request, stream_of

SETTINGS = TunnelSettings(max_streams=12, initial_window=4 * KIB, max_window=64 * KIB, growth_limit=128 * KIB)


def pattern(key: int, size: int) -> bytes:
    """Bytes that tell streams apart: their order and their stream can be read from them."""
    return hashlib.shake_128(b"%d" % key).digest(size)


class Serving:
    """What the acceptor does with one stream: answers with a body of its own, in pieces."""

    def __init__(self, recorder: Recorder, message: OpenMessage) -> None:
        self.recorder = recorder
        self.stream = stream_of(recorder)
        self.claims = message.head.split(b" ")[1]
        self.key = int(message.head.split(b" ")[2])
        self.body = pattern(-self.key, int(message.head.split(b" ")[3]))
        self.sent = 0
        self.begun = False
        self.given_up = False

    def step(self, size: int) -> None:
        """Send a little more, if wanted."""
        if self.stream.closed or self.sent > len(self.body):
            return
        if not self.begun:
            self.begun = True
            self.stream.head(b"200")
        elif self.sent == len(self.body):
            self.sent += 1
            self.stream.end()
        elif self.recorder.can_write:
            piece = self.body[self.sent : self.sent + size]
            self.sent += len(piece)
            self.stream.write(piece)


class Asking:
    """What the opener does with one stream: uploads a body, in pieces."""

    def __init__(self, key: int, recorder: Recorder, stream: Stream, upload: bytes, answer_size: int) -> None:
        self.key = key
        self.recorder = recorder
        self.stream = stream
        self.upload = upload
        self.answer = pattern(-key, answer_size)
        self.sent = 0
        self.given_up = False

    def step(self, size: int) -> None:
        """Send a little more, if wanted."""
        if self.stream.closed or self.sent > len(self.upload):
            return
        if self.sent == len(self.upload):
            self.sent += 1
            self.stream.end()
        elif self.recorder.can_write:
            piece = self.upload[self.sent : self.sent + size]
            self.sent += len(piece)
            self.stream.write(piece)


class World:
    """Both ends, what is on the way, and everything that was promised."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pair = Pair(SETTINGS, SETTINGS, greeted=False)
        self.pair.acceptor.listener.on_opened = self.serve
        self.on_the_way: dict[str, bytes] = {"up": b"", "down": b""}
        self.asking: list[Asking] = []
        self.serving: dict[int, Serving] = {}
        self.numbers: dict[int, bytes] = {}
        self.last_number = 0
        self.key = 0
        self.wrong: list[str] = []

    def serve(self, recorder: Recorder, message: OpenMessage) -> None:
        """The acceptor's side: note the stream; the principal must be the one that the opener meant."""
        serving = Serving(recorder, message)
        self.serving[serving.key] = serving
        claims = self.pair.acceptor.session.claims_of(message.principal_number) or b"-"
        if claims != serving.claims:
            self.wrong.append(f"{claims!r} was served as {serving.claims!r}")

    # -- things that happen

    def move(self, direction: str) -> None:
        """A turn's write, then some of the bytes on the way arrive."""
        sender, receiver = (
            (self.pair.opener, self.pair.acceptor)
            if direction == "up"
            else (self.pair.acceptor, self.pair.opener)
        )
        if self.random.random() < 0.7:
            self.on_the_way[direction] += sender.take(self.random.choice((100, 5_000, 300_000)))
        way = self.on_the_way[direction]
        size = self.random.choice((1, 7, 1000, len(way), len(way)))
        self.on_the_way[direction] = way[size:]
        receiver.session.receive(way[:size])

    def principal(self) -> None:
        """A user signs in, or in again with other claims."""
        number = self.last_number + self.random.choice((1, 1, 5))
        claims = b"user-%d" % number
        try:
            self.pair.opener.session.send_principal(number, claims)
        except TunnelRefused:
            return
        self.last_number = number
        self.numbers[number] = claims

    def forget(self) -> None:
        """A user signs out."""
        if self.numbers:
            number = self.random.choice(list(self.numbers))
            del self.numbers[number]
            self.pair.opener.session.send_forget(number)

    def open(self) -> None:
        """A request of somebody."""
        self.key += 1
        number = self.random.choice([0, *self.numbers])
        claims = self.numbers.get(number, b"-")
        upload = pattern(self.key, self.random.choice((0, 0, 10, 3000, 40_000)))
        answer = self.random.choice((0, 100, 3000, 50_000))
        body = self.random.choice((UNTIL_END, len(upload))) if upload else NO_BODY
        more = self.random.choice((0, 0, 0, 100, 20_000, 60_000))
        message = replace(
            request(b"GET %s %d %d %s" % (claims, self.key, answer, b"x" * more), body),
            principal_number=number,
            principal_digest=digest_of(claims) if number else bytes(8),
        )
        recorder = Recorder()
        try:
            stream = self.pair.opener.session.open(message, recorder)
        except TunnelRefused:
            return
        recorder.stream = stream
        self.asking.append(Asking(self.key, recorder, stream, upload, answer))

    def work(self) -> None:
        """Somebody sends a little, pauses, goes on, or gives up."""
        size = self.random.choice((1, 500, 20_000))
        what = self.random.random()
        one: Asking | Serving | None = None
        if self.asking and what < 0.5:
            one = self.random.choice(self.asking)
        elif self.serving:
            one = self.random.choice(list(self.serving.values()))
        if one is None:
            return
        action = self.random.random()
        if action < 0.85:
            one.step(size)
        elif action < 0.9:
            one.stream.pause()
        elif action < 0.97:
            one.stream.resume()
        else:
            one.stream.reset("backend_timeout")
            one.given_up = True

    def run(self, steps: int) -> None:
        """Let things happen, then let everything that is under way come to its end."""
        happenings: list[Callable[[], None]] = [
            lambda: self.move("up"),
            lambda: self.move("down"),
            self.principal,
            self.forget,
            self.open,
            self.work,
        ]
        for _ in range(steps):
            happening = self.random.choices(happenings, (6, 6, 1, 0.5, 2, 12))[0]
            happening()
            self.check()
        for _ in range(3000):
            if not self.settle():
                return

    def settle(self) -> bool:
        """Everybody reads and writes to the end; whether anything still moved."""
        everybody: list[Asking | Serving] = [*self.asking, *self.serving.values()]
        for one in everybody:
            one.stream.resume()
            one.step(20_000)
        moved = False
        for direction, sender, receiver in (
            ("up", self.pair.opener, self.pair.acceptor),
            ("down", self.pair.acceptor, self.pair.opener),
        ):
            data = self.on_the_way[direction] + sender.take()
            self.on_the_way[direction] = b""
            receiver.session.receive(data)
            moved = moved or bool(data)
        return moved

    # -- what must hold at any time

    def check(self) -> None:
        """Bounds of memory, and no byte of anybody else."""
        for end in (self.pair.opener, self.pair.acceptor):
            self.check_end(end)
        for asking in self.asking:
            if not asking.answer.startswith(asking.recorder.body):
                self.wrong.append(f"stream {asking.key} got bytes that are not its own")
            serving = self.serving.get(asking.key)
            if serving and not asking.upload.startswith(serving.recorder.body):
                self.wrong.append(f"stream {asking.key} got an upload that is not its own")

    def check_end(self, end: End) -> None:
        """What one end holds is bounded, and its books agree with its streams."""
        state = end.session._state
        streams = list(state.streams.values())
        if sum(each.queued for each in streams) != state.box.queued:
            self.wrong.append("the sum of what is queued is wrong")
        if sum(each._window - SETTINGS.initial_window for each in streams) > SETTINGS.growth_limit:
            self.wrong.append("windows grew too much together")
        if any(each._room < 0 or each._credit < 0 for each in streams):
            self.wrong.append("credit below nothing")


class SimulationTests(SynchronousTestCase):
    """Random lives of a tunnel."""

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 2**32))
    def test_any_life(self, seed: int) -> None:
        """
        Whatever happens in whatever order: nobody is served as somebody else, no byte goes to
        another stream, what is not given up is delivered whole, and nothing is left behind.
        """
        world = World(seed)
        world.run(250)
        self.assertEqual(world.wrong, [])
        for asking in world.asking:
            calls = asking.recorder.calls
            gone = asking.given_up or ("reset" in [call[0] for call in calls])
            if not gone:
                self.assertEqual(bytes(asking.recorder.body), asking.answer)
                self.assertEqual(calls[-1], ("ended",))
                serving = world.serving[asking.key]
                if not serving.given_up:
                    self.assertEqual(bytes(serving.recorder.body), asking.upload)
            self.assertLessEqual([call[0] for call in calls].count("ended"), 1)
        for end in (world.pair.opener, world.pair.acceptor):
            self.assertEqual(end.session.active_streams, 0)
            self.assertEqual(end.session.queued, 0)
            self.assertEqual(end.session._state._growth_left, SETTINGS.growth_limit)
            self.assertFalse(end.session.pending_output)
