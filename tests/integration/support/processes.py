"""
Processes that a test starts, and ends.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

START_SECONDS: Final = 60.0
"""Until a process answers: the machine may be busy with a browser."""

END_SECONDS: Final = 60.0
"""Until a process has ended by itself, likewise."""

STOP_SECONDS: Final = 10.0
"""What a process that is no longer needed may take to end, before it is killed."""

POLL_SECONDS: Final = 0.02
SHOWN_CHARACTERS: Final = 12_000
"""Of a log, in a failed test's output: its end."""


class NotReady(AssertionError):
    """A process ended, or did not become what it should in time."""


def allow_open_files(wanted: int) -> Callable[[], None]:
    """
    Let this process, and what it starts from now on, open so many files.

    @return: puts it back.
    @raise NotReady: if the system does not allow it.
    """
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
        except (ValueError, OSError) as error:
            raise NotReady(f"{wanted} open files are needed (ulimit -n): {error}") from error
    # Lowering the hard limit is for ever, unless one is root: the soft one is enough.
    return lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (before[0], resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )


def wait_until(ready: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """
    Ask again and again.

    @param what: said when it does not become true in time.
    @raise NotReady: then.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise NotReady(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts connections."""
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


class Running:
    """
    A process with its output in a file.

    @ivar log: the file, in which errors stand too.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """
        Start it.

        @param folder: where it runs, and where its log goes.
        @param environment: besides this process's own; C{CI} and the like are left out.
        """
        self.name = name
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                list(map(str, command)),
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, or L{None} while it runs."""
        return self._process.poll()

    @property
    def text(self) -> str:
        """All that it wrote so far."""
        return self.log.read_text("utf-8", "replace")

    @property
    def last_words(self) -> str:
        """The end of its log, under its name."""
        text = self.text
        cut = "..." if len(text) > SHOWN_CHARACTERS else ""
        return f"--- {self.name} ({self.log}) ---\n{cut}{text[-SHOWN_CHARACTERS:]}"

    @property
    def memory(self) -> int:
        """Resident bytes, now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        return int(found[1]) * 1024 if found else 0

    @property
    def peak_memory(self) -> int:
        """The most resident bytes that it ever had."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        return int(found[1]) * 1024 if found else 0

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
        """
        Wait for something that this process brings about.

        @raise NotReady: if it takes too long or the process ends first; with the end of its log.
        """

        def ready_or_ended() -> bool:
            if self.exit_code is not None:
                raise NotReady(f"{self.name} ended with {self.exit_code} before {what}\n{self.last_words}")
            return ready()

        try:
            wait_until(ready_or_ended, f"{self.name}: {what}", seconds)
        except NotReady as error:
            if self.exit_code is None:
                raise NotReady(f"{error}\n{self.last_words}") from None
            raise

    def wait_for_line(self, pattern: str, seconds: float = START_SECONDS) -> re.Match[str]:
        """Wait until its output has this."""
        expression = re.compile(pattern, re.MULTILINE)
        self.wait_until(lambda: expression.search(self.text) is not None, f"writes {pattern!r}", seconds)
        found = expression.search(self.text)
        assert found is not None
        return found

    def wait_for_port(self, port: int, seconds: float = START_SECONDS) -> None:
        """Wait until it listens."""
        self.wait_until(lambda: answers(port), f"listens on {port}", seconds)

    def wait_for_end(self, seconds: float = END_SECONDS) -> int:
        """Its exit code, once it has ended by itself."""
        return self._process.wait(seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.exit_code is None:
            self._process.send_signal(number)

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """End it, gently at first; what it started in its session ends with it."""
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
        self._end_session()
        return self._process.wait(seconds)

    def _end_session(self) -> None:
        """Children that outlived it are in the session that was made for it alone."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    seconds: float = START_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever that is."""
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        input=stdin,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def must_run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    seconds: float = START_SECONDS,
) -> str:
    """
    Run a command that must succeed.

    @return: its standard output.
    """
    done = run(command, cwd=cwd, stdin=stdin, environment=environment, seconds=seconds)
    if done.returncode:
        raise AssertionError(f"{command[0]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout
