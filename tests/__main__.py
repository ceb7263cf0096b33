"""
C{python -m tests [--compiled | --both] [NAMES]}: all tests, or those of some packages, modules, classes.

They run on the sources; with C{--compiled} on what C{make compiled} left beside these; with C{--both} on the
sources, then (L{tests.compiled}) on a compiled copy of them.

What failed is told once more at the end, behind thousands of lines about what did not, and
the last line is C{N passed, N failed, N skipped}. Where C{CI} is set, a skipped
test is a failed run: what could not be tested was not tested.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from twisted.trial.reporter import TreeReporter
from twisted.trial.runner import TestLoader, TrialRunner

from tests import compiled
from tests.outcome import Outcome

LOG_FOLDER = "_trial_temp"

REASON_CHARACTERS = 400
"""Of a failure's message, where it is told once more; whole, with its traceback, it stands further up."""


class CountingReporter(TreeReporter):
    """Trial's reporter, which also knows how many tests ended how."""

    @property
    def outcome(self) -> Outcome:
        """An expected failure passed; an unexpected success, and every error, failed."""
        return Outcome(
            int(self.successes) + len(self.expectedFailures),
            len(self.failures) + len(self.errors) + len(self.unexpectedSuccesses),
            len(self.skips),
        )

    def reasons(self) -> list[str]:
        """A line for each test that failed: its name, and what it said."""
        failed = [
            (test, why if isinstance(why, str) else why.getErrorMessage())
            for test, why in (*self.failures, *self.errors)
        ]
        surprises = [(test, "it passed, unexpectedly") for test, _ in self.unexpectedSuccesses]
        return [
            f"failed: {test.id()}: {' '.join(why.split())[:REASON_CHARACTERS]}"
            for test, why in (*failed, *surprises)
        ]


def exit_code(outcome: Outcome, environment: Mapping[str, str]) -> int:
    """0 if everything ran and passed; nothing run is a failure too."""
    complete = not outcome.skipped or environment.get("CI", "").lower() in ("", "0", "false")
    return 0 if outcome.passed and not outcome.failed and complete else 1


def run(names: Sequence[str]) -> CountingReporter:
    """Run the tests of these names."""
    suite = TestLoader().loadByNames(list(names), recurse=True)
    runner = TrialRunner(CountingReporter, workingDirectory=LOG_FOLDER)
    reporter = runner.run(suite)
    assert isinstance(reporter, CountingReporter)
    return reporter


def choose_form(form: str) -> None:
    """
    Before anything of the package is imported, here or in a process of ours.

    @raise SystemExit: if there is nothing compiled that could run.
    """
    os.environ["APPPROXY_INTERPRETED"] = "1" if form == "interpreted" else "0"
    from appproxy.form import form as found

    if found() != form:
        raise SystemExit(f"what would run is {found()}")


def main() -> int:
    """Run, and say how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests")
    parser.add_argument("--compiled", action="store_true", help="test what was compiled in place")
    parser.add_argument("--both", action="store_true", help="test the sources, then a compiled copy")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    choose_form("compiled" if arguments.compiled else "interpreted")
    built = compiled.build() if arguments.both else Outcome()
    reporter = run(arguments.names or ["tests"])
    outcome = built + reporter.outcome
    if arguments.both and built == Outcome():
        outcome += compiled.test()
    code = exit_code(outcome, os.environ)
    if code and not outcome.failed:
        print("nothing failed, but not everything was tested, which CI demands", flush=True)
    print(*reporter.reasons(), outcome, sep="\n", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
