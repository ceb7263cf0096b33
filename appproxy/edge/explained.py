"""
What a connector tells of a sign-on, as far as an edge believes it.
"""

from __future__ import annotations

import json
from typing import Final

MAXIMUM_STEPS: Final = 32
"""What a connector sends at most."""

LONGEST_TEXT: Final = 2000
"""Characters; the same."""

LONGEST_MILLISECONDS: Final = 3_600_000
"""Far beyond what an edge waits for all of them."""

_TEXTS: Final = ("name", "outcome", "detail", "cause", "advice")

_OUTCOMES: Final = frozenset({"ok", "failed", "skipped"})


def steps_of(body: bytes) -> list[dict[str, object]]:
    """
    The steps of an answer (C{docs/tunnel.md}, section 14).

    A connector is believed nothing: what is of another form is left out, and what is longer is cut.

    @return: empty for what is no answer.
    """
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return []
    steps = told.get("steps") if isinstance(told, dict) else None
    if not isinstance(steps, list):
        return []
    return [step for each in steps[:MAXIMUM_STEPS] if (step := _step_of(each)) is not None]


def _step_of(told: object) -> dict[str, object] | None:
    if not isinstance(told, dict):
        return None
    texts = {name: told.get(name) for name in _TEXTS}
    if not all(isinstance(text, str) for text in texts.values()) or texts["outcome"] not in _OUTCOMES:
        return None
    milliseconds = told.get("milliseconds")
    if not isinstance(milliseconds, int | float) or not 0 <= milliseconds <= LONGEST_MILLISECONDS:
        return None
    cut: dict[str, object] = {name: str(text)[:LONGEST_TEXT] for name, text in texts.items()}
    return cut | {"milliseconds": float(milliseconds)}
