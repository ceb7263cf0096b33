"""Tests of L{appproxy.threads.schedule}."""

from __future__ import annotations

from hypothesis import strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from appproxy.threads.errors import Overloaded
from appproxy.threads.schedule import Entry, Limits, Schedule

ROOMY = Limits(threads=8, lane_threads=7, waiting=1000, lane_waiting=500, user_waiting=100)


def taken(schedule: Schedule[str], count: int) -> list[str]:
    """The next jobs, each done before the next is taken."""
    jobs = []
    for _ in range(count):
        entry = schedule.take()
        assert entry is not None
        jobs.append(entry.job)
        schedule.done(entry)
    return jobs


class OrderTests(SynchronousTestCase):
    """Who is next."""

    def test_lanes_take_turns(self) -> None:
        """A lane with one call waiting is served second, however many wait in the first."""
        schedule: Schedule[str] = Schedule(ROOMY)
        for number in range(50):
            schedule.add("loud", "anna", f"loud {number}")
        schedule.add("quiet", "ben", "quiet")
        self.assertEqual(taken(schedule, 3), ["loud 0", "quiet", "loud 1"])

    def test_users_take_turns(self) -> None:
        """A user with one call waiting is served second, however many another has."""
        schedule: Schedule[str] = Schedule(ROOMY)
        for number in range(50):
            schedule.add("realm", "anna", f"anna {number}")
        schedule.add("realm", "ben", "ben")
        self.assertEqual(taken(schedule, 4), ["anna 0", "ben", "anna 1", "anna 2"])

    def test_silent_lane_leaves_threads(self) -> None:
        """A lane whose calls never return keeps to its share; another lane's call runs at once."""
        schedule: Schedule[str] = Schedule(Limits(4, 2, 100, 50, 50))
        for number in range(10):
            schedule.add("silent", "anna", str(number))
        stuck = [schedule.take() for _ in range(4)]
        self.assertEqual([entry.job for entry in stuck if entry], ["0", "1"])
        schedule.add("well", "anna", "well")
        entry = schedule.take()
        assert entry is not None
        self.assertEqual(entry.job, "well")

    def test_several_silent_lanes(self) -> None:
        """When two lanes are silent, the last thread still waits for a third."""
        schedule: Schedule[str] = Schedule(Limits(4, 3, 100, 50, 50))
        for lane in ("one", "two"):
            for number in range(10):
                schedule.add(lane, "anna", str(number))
        while schedule.take():
            pass
        self.assertEqual(schedule.running, 3)
        schedule.add("three", "anna", "three")
        entry = schedule.take()
        assert entry is not None
        self.assertEqual(entry.job, "three")


class BoundTests(SynchronousTestCase):
    """What is refused."""

    def test_user(self) -> None:
        """One user's calls fill their own queue alone."""
        schedule: Schedule[str] = Schedule(Limits(4, 2, 100, 50, 2))
        schedule.add("realm", "anna", "1")
        schedule.add("realm", "anna", "2")
        with self.assertRaisesRegex(Overloaded, "2 calls of the same user"):
            schedule.add("realm", "anna", "3")
        schedule.add("realm", "ben", "1")

    def test_lane(self) -> None:
        """One lane's calls fill its own queue alone."""
        schedule: Schedule[str] = Schedule(Limits(4, 2, 100, 3, 2))
        for user in ("anna", "ben", "carl"):
            schedule.add("realm", user, "1")
        with self.assertRaisesRegex(Overloaded, "3 calls wait already for the same server"):
            schedule.add("realm", "dora", "1")
        schedule.add("other", "dora", "1")

    def test_all(self) -> None:
        """The queue of all lanes is bounded, too."""
        schedule: Schedule[str] = Schedule(Limits(4, 2, 2, 2, 2))
        schedule.add("one", "anna", "1")
        schedule.add("two", "anna", "1")
        with self.assertRaisesRegex(Overloaded, "2 calls wait already"):
            schedule.add("three", "anna", "1")

    def test_impossible_limits(self) -> None:
        """A lane cannot be given all threads, or none; no queue has no room."""
        for limits in ((2, 2, 1, 1, 1), (1, 1, 1, 1, 1), (2, 0, 1, 1, 1), (2, 1, 0, 1, 1)):
            with self.assertRaises(ValueError):
                Limits(*limits)


class RemovalTests(SynchronousTestCase):
    """What is withdrawn."""

    def test_waiting(self) -> None:
        """A withdrawn call is never taken, and its place is free."""
        schedule: Schedule[str] = Schedule(Limits(4, 2, 1, 1, 1))
        entry = schedule.add("realm", "anna", "1")
        self.assertTrue(schedule.remove(entry))
        self.assertFalse(schedule.remove(entry))
        schedule.add("realm", "anna", "2")
        self.assertEqual(taken(schedule, 1), ["2"])

    def test_running(self) -> None:
        """What runs cannot be withdrawn, and keeps its lane's thread until it is done."""
        schedule: Schedule[str] = Schedule(Limits(4, 1, 10, 10, 10))
        schedule.add("realm", "anna", "1")
        schedule.add("realm", "anna", "2")
        entry = schedule.take()
        assert entry is not None
        self.assertFalse(schedule.remove(entry))
        self.assertIsNone(schedule.take())
        schedule.done(entry)
        self.assertEqual(taken(schedule, 1), ["2"])

    def test_clear(self) -> None:
        """All that waits is given back once; what runs is not."""
        schedule: Schedule[str] = Schedule(ROOMY)
        for user in ("anna", "ben"):
            schedule.add("realm", user, user)
            schedule.add("other", user, f"other {user}")
        entry = schedule.take()
        assert entry is not None
        self.assertEqual(sorted(schedule.clear()), ["ben", "other anna", "other ben"])
        self.assertEqual((schedule.waiting, schedule.running), (0, 1))


class ScheduleMachine(RuleBasedStateMachine):
    """Any order of calls, against plain lists."""

    LIMITS = Limits(threads=4, lane_threads=3, waiting=12, lane_waiting=8, user_waiting=4)

    def __init__(self) -> None:
        super().__init__()
        self.schedule: Schedule[int] = Schedule(self.LIMITS)
        self.waiting: list[Entry[int]] = []
        self.running: list[Entry[int]] = []
        self.number = 0

    @rule(lane=strategies.sampled_from("ABC"), user=strategies.sampled_from("xyz"))
    def add(self, lane: str, user: str) -> None:
        """Refused exactly when a bound is met."""
        same_lane = [entry for entry in self.waiting if entry.lane == lane]
        same_user = [entry for entry in same_lane if entry.user == user]
        full = len(self.waiting) >= 12 or len(same_lane) >= 8 or len(same_user) >= 4
        self.number += 1
        try:
            self.waiting.append(self.schedule.add(lane, user, self.number))
            assert not full
        except Overloaded:
            assert full

    @rule()
    def take(self) -> None:
        """Something runs unless nothing may; a user's own calls keep their order."""
        entry = self.schedule.take()
        if entry is None:
            assert not [each for each in self.waiting if self.may_run(each)]
            return
        assert self.may_run(entry)
        earlier = [each for each in self.waiting if (each.lane, each.user) == (entry.lane, entry.user)]
        assert earlier[0] is entry
        self.waiting.remove(entry)
        self.running.append(entry)

    def may_run(self, entry: Entry[int]) -> bool:
        """As L{Limits} and L{Schedule} promise."""
        of_lane = len([each for each in self.running if each.lane == entry.lane])
        free = 4 - len(self.running)
        return of_lane < 3 and (free > 1 or (free == 1 and not of_lane))

    @precondition(lambda self: self.running)
    @rule(data=strategies.data())
    def done(self, data: strategies.DataObject) -> None:
        """A thread is free again."""
        entry = data.draw(strategies.sampled_from(self.running))
        self.running.remove(entry)
        self.schedule.done(entry)

    @precondition(lambda self: self.waiting or self.running)
    @rule(data=strategies.data())
    def remove(self, data: strategies.DataObject) -> None:
        """What waits can be withdrawn, and nothing else."""
        entry = data.draw(strategies.sampled_from(self.waiting + self.running))
        assert self.schedule.remove(entry) == (entry in self.waiting)
        if entry in self.waiting:
            self.waiting.remove(entry)

    @invariant()
    def counts(self) -> None:
        """The counters are true."""
        assert self.schedule.waiting == len(self.waiting)
        assert self.schedule.running == len(self.running)


class AnyOrderTests(SynchronousTestCase):
    """Whatever happens in whatever order."""

    def test_any_order(self) -> None:
        """No bound is passed, no call is lost or runs twice, and who may run does."""
        run_state_machine_as_test(ScheduleMachine)
