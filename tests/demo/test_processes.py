"""
Tests of L{appproxy.demo.processes} and L{appproxy.demo.child}, with real processes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from appproxy.demo.ports import free_port
from appproxy.demo.processes import Daemon, DemoFailed, program, run_command

_NOTIFY = """
import os, signal, socket, sys
{before}
print("running", flush=True)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.sendto(b"STATUS=x\\nREADY=1", os.environ["NOTIFY_SOCKET"])
signal.pause()
"""

_PARENT = """
import os, subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-m", "appproxy.demo.child", str(os.getpid()), sys.executable, "-c",
     "import signal; print('up', flush=True); signal.pause()"], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


_LISTEN = """
import signal, socket, time
print("running", flush=True)
held = [socket.create_server(("127.0.0.1", port)) for port in {ports}]
signal.pause()
"""


class DaemonTests(TestCase):
    """L{Daemon}."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.daemon = Daemon(reactor, "edge", self.folder / "log" / "edge.log", self.folder)

    def start(self, code: str) -> None:
        """Run some Python as the daemon."""
        self.daemon.start([sys.executable, "-c", code])

    async def test_ready_and_stopped(self) -> None:
        """It is ready when it says so, its output is in the log, and stopping ends it."""
        self.start(_NOTIFY.format(before=""))
        await self.daemon.wait_until_ready(30)
        self.assertEqual(self.daemon.log.read_text(), "running\n")
        ended = self.daemon.when_ended()
        await self.daemon.stop()
        self.assertEqual(await ended, "has ended by signal 15")
        self.assertEqual([each.name for each in self.folder.iterdir()], ["log"])

    async def test_listens(self) -> None:
        """One that says nothing is ready when it listens at all of its places."""
        ports = [free_port(), free_port()]
        code = _LISTEN.format(ports=ports)
        self.daemon.start([sys.executable, "-c", code], {}, [("127.0.0.1", port) for port in ports])
        await self.daemon.wait_until_ready(30)
        await self.daemon.stop()

    async def test_listens_elsewhere(self) -> None:
        """One that listens at some of them only is not."""
        ports = [free_port(), free_port()]
        code = _LISTEN.format(ports=ports[:1])
        self.daemon.start([sys.executable, "-c", code], {}, [("127.0.0.1", port) for port in ports])
        with self.assertRaises(DemoFailed) as raised:
            await self.daemon.wait_until_ready(1)
        self.assertIn("was not ready after", str(raised.exception))
        await self.daemon.stop()

    async def test_environment(self) -> None:
        """It has what is added to the demo's own environment."""
        code = "import os; print(os.environ['KRB5_CONFIG'])"
        self.daemon.start([sys.executable, "-c", code], {"KRB5_CONFIG": "/x"})
        await self.daemon.when_ended()
        self.assertEqual(self.daemon.log.read_text(), "/x\n")

    async def test_stopped_twice(self) -> None:
        """Stopping what is gone does nothing."""
        self.start("pass")
        await self.daemon.when_ended()
        await self.daemon.stop()
        self.assertEqual(await self.daemon.when_ended(), "has ended")

    async def test_deaf(self) -> None:
        """What does not listen to SIGTERM is killed."""
        self.patch(sys.modules["appproxy.demo.processes"], "STOP_SECONDS", 0.1)
        self.start(_NOTIFY.format(before="signal.signal(signal.SIGTERM, signal.SIG_IGN)"))
        await self.daemon.wait_until_ready(30)
        await self.daemon.stop()
        self.assertEqual(await self.daemon.when_ended(), "has ended by signal 9")

    async def test_fails(self) -> None:
        """If it ends before it is ready, the end of its log says why."""
        self.start("import sys; print('the reason', flush=True); sys.exit(78)")
        with self.assertRaises(DemoFailed) as caught:
            await self.daemon.wait_until_ready(30)
        self.assertIn("exit code 78", str(caught.exception))
        self.assertIn("the reason", str(caught.exception))

    async def test_never_ready(self) -> None:
        """If it never says that it is ready, waiting ends."""
        self.start("import signal; signal.pause()")
        with self.assertRaises(DemoFailed) as caught:
            await self.daemon.wait_until_ready(0.05)
        self.assertIn("not ready", str(caught.exception))
        await self.daemon.stop()


class CommandTests(TestCase):
    """L{run_command}."""

    async def test_output(self) -> None:
        """What a command prints comes back; it reads what it is given."""
        code = "import sys; print(sys.stdin.read().upper()); print('aside', file=sys.stderr)"
        self.assertEqual(await run_command(reactor, [sys.executable, "-c", code], "in"), "IN\n")

    async def test_failure(self) -> None:
        """A command that fails says what and why."""
        code = "import sys; print('no such thing', file=sys.stderr); sys.exit(5)"
        with self.assertRaises(DemoFailed) as caught:
            await run_command(reactor, [sys.executable, "-c", code])
        self.assertIn("exit code 5", str(caught.exception))
        self.assertIn("no such thing", str(caught.exception))

    def test_missing(self) -> None:
        """A command that is not installed is named."""
        self.assertIn("appproxy-nonsense", str(self.assertRaises(DemoFailed, program, "appproxy-nonsense")))


class ChildTests(TestCase):
    """C{python -m appproxy.demo.child}."""

    def test_dies_with_parent(self) -> None:
        """Nothing goes on running when the demo itself is killed."""
        parent = subprocess.Popen(
            [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert parent.stdout is not None and parent.stdin is not None
        child = int(parent.stdout.readline())
        self.assertNotEqual(os.getpgid(child), os.getpgid(parent.pid))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdin.close()
        parent.stdout.close()
        return self._gone(child)  # type: ignore[return-value]

    def test_parent_gone_before(self) -> None:
        """If the parent is gone already, nothing is started."""
        command = [sys.executable, "-m", "appproxy.demo.child", "1", "/bin/echo", "started"]
        ended = subprocess.run(command, capture_output=True, check=False)
        self.assertEqual((ended.returncode, ended.stdout), (1, b""))

    def _gone(self, pid: int) -> Deferred[None]:
        clock: Any = reactor
        done: Deferred[None] = Deferred()

        def look() -> None:
            if _is_running(pid):
                clock.callLater(0.01, look)
            else:
                done.callback(None)

        look()
        return done.addTimeout(20, clock)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
