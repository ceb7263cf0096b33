"""The runner of C{make test} and what it prepares."""

from __future__ import annotations

import io

from twisted.trial.unittest import SynchronousTestCase, makeTodo

from appproxy.demo.active_directory.packages import find_command, install_commands, missing_packages
from tests.__main__ import CountingReporter, exit_code
from tests.outcome import Outcome
from tests.prepare import PACKAGES


class Example(SynchronousTestCase):
    """Not found by the runner: its method has another name."""

    def passes(self) -> None:
        """Pass."""


def reporter_after(*outcomes: str) -> CountingReporter:
    """A reporter that saw a test end in each of these ways."""
    reporter = CountingReporter(io.StringIO())
    error = (AssertionError, AssertionError("it\nis 3"), None)
    for outcome in outcomes:
        test = Example("passes")
        reporter.startTest(test)
        match outcome:
            case "success":
                reporter.addSuccess(test)
            case "failure":
                reporter.addFailure(test, error)
            case "error":
                reporter.addError(test, error)
            case "skip":
                reporter.addSkip(test, "no chromium")
            case "surprise":
                reporter.addUnexpectedSuccess(test, makeTodo("one day"))
        reporter.stopTest(test)
    return reporter


def outcome_after(*outcomes: str) -> Outcome:
    """What it counts."""
    return reporter_after(*outcomes).outcome


class ReporterTests(SynchronousTestCase):
    """The last line, and the exit code."""

    def test_summary(self) -> None:
        """Passed, failed (errors too), skipped."""
        outcome = outcome_after("success", "success", "failure", "error", "skip")
        self.assertEqual(str(outcome), "2 passed, 2 failed, 1 skipped")
        self.assertEqual(Outcome.of(f"{outcome}\n"), outcome)
        self.assertEqual(exit_code(outcome, {}), 1)

    def test_reasons(self) -> None:
        """Each test that failed is told by name and reason, and no other."""
        reasons = reporter_after("success", "failure", "error", "skip", "surprise").reasons()
        name = f"failed: {Example('passes').id()}: "
        self.assertEqual(reasons, [f"{name}it is 3", f"{name}it is 3", f"{name}it passed, unexpectedly"])
        self.assertEqual(reporter_after("success", "skip").reasons(), [])

    def test_two_runs(self) -> None:
        """The line counts both; what fails in the second one fails the whole."""
        outcome = Outcome(3, 0, 1) + Outcome(2, 1, 0)
        self.assertEqual(str(outcome), "5 passed, 1 failed, 1 skipped")
        self.assertEqual(exit_code(outcome, {}), 1)
        self.assertIsNone(Outcome.of("Ran 5 tests"))

    def test_skips(self) -> None:
        """A skipped test is a failed run in CI, and only there."""
        outcome = outcome_after("success", "skip")
        self.assertEqual(exit_code(outcome, {}), 0)
        self.assertEqual(exit_code(outcome, {"CI": "true"}), 1)

    def test_nothing_ran(self) -> None:
        """A run of no tests proves nothing."""
        self.assertEqual(exit_code(outcome_after(), {}), 1)
        self.assertEqual(exit_code(outcome_after("success"), {"CI": "true"}), 0)


class PrepareTests(SynchronousTestCase):
    """What is installed."""

    def test_only_what_is_missing(self) -> None:
        """A command that is there needs no package."""
        self.assertEqual(missing_packages(PACKAGES, lambda command: command), [])
        without_node = missing_packages(PACKAGES, lambda command: None if command == "node" else command)
        self.assertEqual(without_node, ["nodejs"])
        self.assertEqual(len(missing_packages(PACKAGES, lambda _command: None)), len(PACKAGES))

    def test_files(self) -> None:
        """What is no command is looked for as the file that it is."""
        self.assertEqual(find_command(__file__), __file__)
        self.assertIsNone(find_command(f"{__file__}/nowhere"))

    def test_one_update(self) -> None:
        """The lists are read once, however many packages are missing."""
        update, install = install_commands(["a", "b"])
        self.assertEqual(update[-1], "update")
        self.assertEqual(install[-2:], ["a", "b"])
