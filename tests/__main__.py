"""
C{python -m tests [NAMES]}: all tests, or those of some packages, modules, classes.

The last line is C{N passed, N failed, N skipped}. Where C{CI} is set, a skipped
test is a failed run: what could not be tested was not tested.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from twisted.trial.reporter import TreeReporter
from twisted.trial.runner import TestLoader, TrialRunner

LOG_FOLDER = "_trial_temp"


class CountingReporter(TreeReporter):
    """Trial's reporter, which also knows how many tests ended how."""

    @property
    def passed(self) -> int:
        """Tests that did what they should; an expected failure did."""
        return int(self.successes) + len(self.expectedFailures)

    @property
    def failed(self) -> int:
        """Tests that did not, whatever the reason."""
        return len(self.failures) + len(self.errors) + len(self.unexpectedSuccesses)

    @property
    def summary(self) -> str:
        """The last line of the run."""
        return f"{self.passed} passed, {self.failed} failed, {len(self.skips)} skipped"


def exit_code(reporter: CountingReporter, environment: Mapping[str, str]) -> int:
    """0 if everything ran and passed; nothing run is a failure too."""
    complete = not reporter.skips or environment.get("CI", "").lower() in ("", "0", "false")
    return 0 if reporter.passed and not reporter.failed and complete else 1


def run(names: Sequence[str]) -> CountingReporter:
    """Run the tests of these names."""
    suite = TestLoader().loadByNames(list(names), recurse=True)
    runner = TrialRunner(CountingReporter, workingDirectory=LOG_FOLDER)
    reporter = runner.run(suite)
    assert isinstance(reporter, CountingReporter)
    return reporter


def main() -> int:
    """Run, and say how it went."""
    reporter = run(sys.argv[1:] or ["tests"])
    code = exit_code(reporter, os.environ)
    if code and not reporter.failed:
        print("nothing failed, but not everything was tested, which CI demands", flush=True)
    print(reporter.summary, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
