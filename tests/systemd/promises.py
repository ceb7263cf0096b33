"""
Promises, and whether they hold.
"""

from __future__ import annotations

import inspect
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator

EXPECTED: tuple[type[Exception], ...] = (AssertionError, OSError, subprocess.SubprocessError)
"""How a promise that does not hold ends; of anything else, a mistake of the test, the traceback is shown."""


class Verdicts:
    """
    Tries promises one after another, and says of each whether it holds.

    @ivar held: how many did.
    @ivar broken: those that did not.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self.held = 0
        self.broken: list[str] = []

    def try_all(self, title: str, promises: object) -> None:
        """The public methods of an object, in the order in which they were written."""
        self._tell(f"\n{title}")
        for promise, attempt in _promises_of(promises):
            begun = time.monotonic()
            try:
                attempt()
            except Exception as error:
                self.broken.append(f"{title}: {promise}")
                why = str(error) if isinstance(error, EXPECTED) and str(error) else traceback.format_exc()
                self._tell(
                    f"  BROKEN  {promise}\n          {why.strip().replace(chr(10), chr(10) + ' ' * 10)}"
                )
            else:
                self.held += 1
                self._tell(f"  held    {promise} ({time.monotonic() - begun:.1f} s)")


def _promises_of(promises: object) -> Iterator[tuple[str, Callable[[], object]]]:
    for name in vars(type(promises)):
        attempt = getattr(promises, name)
        if not name.startswith("_") and inspect.ismethod(attempt):
            yield " ".join((attempt.__doc__ or name).split()), attempt


def equal(found: object, expected: object, what: str = "") -> None:
    """Say what was found instead."""
    assert found == expected, f"{what}: {found!r}, not {expected!r}"
