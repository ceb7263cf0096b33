"""L{appproxy.edge.explained}: steps as a connector tells them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.edge.explained import LONGEST_TEXT, MAXIMUM_STEPS, steps_of

STEP: dict[str, Any] = {
    "name": "the clock",
    "outcome": "failed",
    "detail": "6 min apart",
    "cause": "clock_skew",
    "advice": "Set it.",
    "milliseconds": 1.5,
}

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def told(*steps: Any) -> list[dict[str, object]]:
    """What is believed of these steps."""
    return steps_of(json.dumps({"steps": steps}).encode())


class StepsTests(SynchronousTestCase):
    """A connector is believed nothing."""

    def test_as_they_are(self) -> None:
        """Steps as a connector sends them are taken, without what is not known here."""
        self.assertEqual(told(STEP, {**STEP, "outcome": "ok", "more": 1}), [STEP, {**STEP, "outcome": "ok"}])

    @given(st.sampled_from(sorted(STEP)), ANYTHING)
    def test_any_value(self, name: str, value: object) -> None:
        """Whatever stands in a step, it is taken in its own type or left out."""
        for step in told({**STEP, name: value}):
            self.assertEqual(
                {key: type(each) for key, each in step.items()}, {k: type(v) for k, v in STEP.items()}
            )
            self.assertIn(step["outcome"], ("ok", "failed", "skipped"))

    @given(ANYTHING)
    def test_any_answer(self, value: object) -> None:
        """What is no answer has no steps."""
        self.assertEqual(told(value), [])
        self.assertEqual(steps_of(json.dumps(value).encode()), [])
        self.assertEqual(steps_of(json.dumps({"steps": value}).encode()), [])

    def test_no_json(self) -> None:
        """Nor has what cannot be read."""
        for body in (b"", b"\xff", b"[" * 60_000, b'{"steps":' + b"[" * 60_000):
            self.assertEqual(steps_of(body), [])

    def test_bounded(self) -> None:
        """Too many are left out, too long ones are cut."""
        steps = told(*[{**STEP, "detail": "x" * 9999}] * 99)
        self.assertEqual(len(steps), MAXIMUM_STEPS)
        self.assertEqual({len(str(step["detail"])) for step in steps}, {LONGEST_TEXT})
        self.assertEqual(told({**STEP, "milliseconds": 10**400}), [])
