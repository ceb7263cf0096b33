"""
One thing at a time that goes wrong around real daemons: a clear line in the log, the old state kept, and all
well once it is over.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from appproxy.cli.client import AdminClient, Refused
from bench.sessions import GROUP
from tests.integration.support.attacker import Wire
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.clock import SetClock
from tests.integration.support.faulted import APPLICATION, SIGN_ON, sign_in, sign_in_settings, sqlite_problems
from tests.integration.support.installation import PROGRAMS, Installation
from tests.integration.support.marked_backend import MarkedBackend
from tests.integration.support.processes import START_SECONDS, Running, wait_until

HOUR: Final = 3600
SPARE_DESCRIPTORS: Final = 12
"""That a process may open beyond those it has: some for connections, none to waste."""

CONNECTIONS: Final = 40
STANDARD_DESCRIPTORS: Final = 3
"""Input, output, errors: whoever may have no more can open nothing."""

BURNING: Final = 0.5
"""Of a processor: much more than an edge uses that waits, and less than one that runs in a circle."""

PIECE: Final = 1 << 16
NO_SUCH_NAME: Final = "backend.invalid"


class FaultCase(IntegrationTestCase):
    """
    An edge with its relay inside, a connector, and a few people who are signed in.

    @cvar limits: of the edge, where they are not the usual ones.
    """

    limits: Mapping[str, str] = {}

    def setUp(self) -> None:
        """Start them."""
        super().setUp()
        self.backend = MarkedBackend(self.folder / "backend")
        self.start(self.backend.process)
        self.site = Installation(self, settings=sign_in_settings(self.folder))
        self.store = self.site.folder / "edge" / "store.sqlite3"
        self.people = sign_in(self.site, 3)
        self.site.environment = self.daemons_environment()
        self.edge = self.site.start_edge({"limits": self.limits})
        self.admin = AdminClient(self.site.admin)
        self.publish()
        allowed = [f"127.0.0.1:{self.backend.port}", NO_SUCH_NAME]
        self.connector = self.site.start_connector("hq", allowed)
        self.wait_for_tunnel()

    def daemons_environment(self) -> dict[str, str]:
        """What edge and connector find in theirs."""
        return {}

    def publish(self, **more: str) -> None:
        """The application, and others of these addresses inside."""
        work = {"internal_url": self.backend.internal_url, "groups": [GROUP], "sso": SIGN_ON}
        others = {
            name: {"internal_url": url, "pre_authentication": "passthrough"} for name, url in more.items()
        }
        self.site.publish({APPLICATION: work, **others})

    def wait_for_tunnel(self) -> None:
        """Wait until the connector can be used: it has applied the catalog."""
        wait_until(
            lambda: any(row["revision"] >= 0 for row in self.admin.get("status")["tunnels"]), "the tunnel"
        )

    def tunnels(self) -> list[Any]:
        """Since when each is there."""
        return [row["since"] for row in self.admin.get("status")["tunnels"]]

    def wire(self, name: str = APPLICATION) -> Wire:
        """A connection to the edge."""
        made = Wire(self.site.port, self.site.authority.ca_file, f"{name}.{self.site.domain}")
        self.addCleanup(made.close)
        return made

    def ask(self, wire: Wire | None = None, name: str = APPLICATION) -> int:
        """Somebody asks; a good answer is their own."""
        person = self.people[0]
        headers = [(b"Cookie", person.cookie.encode()), (b"X-Mark", b"m")]
        answer = (wire or self.wire(name)).ask(f"{name}.{self.site.domain}", "/x", "GET", headers)
        if answer.status == 200:
            self.assertEqual(json.loads(answer.body)["user"], person.name)
        return answer.status

    def assert_works(self) -> None:
        """Everybody is served."""
        self.assertEqual(self.ask(), 200)

    def lines(self, event: str, process: Running | None = None) -> list[dict[str, Any]]:
        """What a daemon logged of a kind."""
        texts = (process or self.edge).text.splitlines()
        told = [json.loads(line) for line in texts if line.startswith("{")]
        return [line for line in told if line["event"] == event or event in line["message"]]

    def wait_for_line(self, event: str, process: Running | None = None) -> dict[str, Any]:
        """Wait for one, and see that it says whose fault it is."""
        wait_until(lambda: bool(self.lines(event, process)), f"a line about {event}")
        line = self.lines(event, process)[-1]
        self.assertEqual(line["fault"], "operator", line)
        return line


class StoreTests(FaultCase):
    """The store cannot be written, or is somebody else's."""

    def change(self) -> int:
        """Ask for a change of the catalog."""
        text = self.admin.get("export")["text"].replace('"Work"', '"Other work"')
        request = {"files": [{"name": "all.toml", "text": text}]}
        planned = self.admin.post("plan", request)
        made = self.admin.post("apply", {**request, "revision": planned["revision"]})
        return int(made["revision"])

    def assert_change_fails(self, words: str) -> None:
        """It is refused with these words, in the answer and in the log, and nothing is changed by it."""
        before = self.admin.get("export")
        error = self.assertRaises(Refused, self.change)
        self.assertEqual(error.code, "store_unreachable")
        self.assertIn(words, str(error))
        self.assertIn(words, self.wait_for_line("the store fails")["message"])
        self.assertEqual(self.admin.get("export"), before)

    def assert_change_works(self) -> None:
        """The next one is made."""
        revision = self.change()
        self.assertEqual(self.admin.get("export")["revision"], revision)
        self.assertIn("Other work", self.admin.get("export")["text"])
        self.assertEqual(sqlite_problems(str(self.store)), "")

    @contextmanager
    def largest_file(self, size: int) -> Iterator[None]:
        """The edge can make no file longer than this."""
        before = resource.prlimit(self.edge.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.edge.pid, resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.prlimit(self.edge.pid, resource.RLIMIT_FSIZE, before)

    def test_full(self) -> None:
        """Where the disk takes no more, a change is refused and people go on; with room again it is made."""
        log = self.store.with_name(f"{self.store.name}-wal")
        with self.largest_file(log.stat().st_size):
            self.assertLess(self.edge.log.stat().st_size, log.stat().st_size, "the log still has room")
            self.assert_change_fails("the store's file fails")
            self.assert_works()
        self.assert_change_works()

    def test_full_for_the_log(self) -> None:
        """Where the disk takes no line of the log, requests are served; lines that come later are whole."""
        self.edge = self.site.restart_edge({"log": {"access": True}})
        written = self.edge.log
        self.wait_for_tunnel()
        with self.largest_file(written.stat().st_size + 100):
            for _ in range(5):
                self.assert_works()
            limit, _ = resource.prlimit(self.edge.pid, resource.RLIMIT_FSIZE)
            wait_until(lambda: written.stat().st_size == limit, "no room")
        size = written.stat().st_size
        self.assert_works()
        wait_until(lambda: written.stat().st_size > size, "lines again")
        torn, after = written.read_bytes()[:limit], written.read_bytes()[limit:]
        self.assertFalse(torn.endswith(b"\n"), "the disk was full in the midst of a line")
        for line in after.splitlines()[1:]:
            self.assertEqual(json.loads(line)["daemon"], "edge")
        self.assertEqual(after[:1], b"\n", "what was begun is not continued by another line")

    def test_locked(self) -> None:
        """While another program holds the file, a change waits, then is refused; afterwards it is made."""
        other = sqlite3.connect(self.store, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            self.assert_change_fails("database is locked")
            self.assert_works()
        finally:
            other.close()
        self.assert_change_works()

    def test_second_edge(self) -> None:
        """A second edge for the same store says who has it, and ends; the first one is not disturbed."""
        command = (
            PROGRAMS / "twistd",
            "--nodaemon",
            "appproxy-edge",
            "--config",
            self.site.folder / "edge.toml",
        )
        second = self.start(Running("second", command, self.folder / "second"))
        self.assertEqual(second.wait_for_end(60), 69)
        line = self.wait_for_line("cannot_start", second)
        self.assertIn(f"is open in another process (id {self.edge.pid})", line["message"])
        self.assert_change_works()
        self.assert_works()


class ClockTests(FaultCase):
    """The system's clock is set while daemons run."""

    # Much more than a request takes on a busy machine, much less than the client waits.
    limits = {"head_timeout": "5s"}

    def daemons_environment(self) -> dict[str, str]:
        """A clock that this test sets."""
        self.need("faketime")
        self.clock = SetClock(self.folder / "clock")
        return self.clock.environment

    def test_jumps(self) -> None:
        """
        An hour back, two forward and two back again: nobody is signed out, no tunnel is lost, timers end
        when they should, and edge and connector say what happened.
        """
        since = self.tunnels()
        for ahead in (-HOUR, HOUR, -HOUR):
            self.clock.set(ahead)
            self.assert_works()
            for process in (self.edge, self.connector):
                self.wait_for_line("clock_jumped", process)
            self.assert_head_is_late()
        self.assertEqual(self.tunnels(), since)
        self.assert_works()

    def assert_head_is_late(self) -> None:
        """Whoever does not finish a request is let go."""
        with self.wire() as wire:
            wire.socket.settimeout(START_SECONDS)
            wire.send(b"GET / HTTP/1.1\r\n")
            told = b""
            while piece := wire.socket.recv(PIECE):
                told += piece
        # Nothing, where a busy machine let not even the first line come in time.
        self.assertIn(told[:13], (b"HTTP/1.1 408 ", b""))


class DescriptorTests(FaultCase):
    """The limit of open files is reached."""

    @contextmanager
    def descriptors(self, process: Running, limit: int) -> Iterator[None]:
        """The process can open none with this number or a higher one."""
        before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
        try:
            yield
        finally:
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)

    def processor_share(self) -> float:
        """How much of a processor the edge uses while nothing is asked of it."""
        used, began = self.processor_seconds(), time.monotonic()
        threading.Event().wait(1)
        return (self.processor_seconds() - used) / (time.monotonic() - began)

    def processor_seconds(self) -> float:
        """That the edge has used so far."""
        fields = Path(f"/proc/{self.edge.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def come_and_go(self, limit: int) -> None:
        """Many come while the edge can open nothing more: well for who was there, and afterwards for all."""
        here = self.wire()
        self.assertEqual(self.ask(here), 200)
        before = len(self.edge.text.splitlines())
        with ExitStack() as stack, self.descriptors(self.edge, limit):
            for _ in range(CONNECTIONS):
                stack.enter_context(socket.create_connection(("127.0.0.1", self.site.port)))
            self.wait_for_line("no_descriptors")
            self.assertLess(self.processor_share(), BURNING)
            self.assertEqual(self.ask(here), 200)
        self.assertEqual(len(self.lines("no_descriptors")), 1)
        self.assertLess(len(self.edge.text.splitlines()) - before, CONNECTIONS / 2)
        self.assert_works()

    def test_edge(self) -> None:
        """
        Who is connected is served on, who comes is let go; the edge says so once and burns no processor; it
        takes everybody again afterwards.
        """
        highest = max(int(each) for each in os.listdir(f"/proc/{self.edge.pid}/fd"))
        self.come_and_go(highest + SPARE_DESCRIPTORS)

    def test_nothing_in_reserve(self) -> None:
        """The same where not even one descriptor is left to turn people away with; and again after that."""
        self.come_and_go(STANDARD_DESCRIPTORS)
        here = self.wire()
        self.assertEqual(self.ask(here), 200)
        with ExitStack() as stack, self.descriptors(self.edge, STANDARD_DESCRIPTORS):
            for _ in range(CONNECTIONS):
                stack.enter_context(socket.create_connection(("127.0.0.1", self.site.port)))
            self.assertLess(self.processor_share(), BURNING)
        self.assert_works()

    def test_connector(self) -> None:
        """A connector that can open no connection says 502, and serves again afterwards."""
        with self.descriptors(self.connector, STANDARD_DESCRIPTORS):
            self.assertEqual(self.ask(), 502)
        self.assert_works()


class NameTests(FaultCase):
    """A backend's name cannot be resolved."""

    def daemons_environment(self) -> dict[str, str]:
        """Ask once, and not for long."""
        return {"RES_OPTIONS": "timeout:1 attempts:1"}

    def test_no_such_name(self) -> None:
        """Its users are told 502, the log names the name, and other applications go on."""
        self.publish(lost=f"http://{NO_SUCH_NAME}/")
        self.assertEqual(self.ask(name="lost"), 502)
        wait_until(lambda: NO_SUCH_NAME in self.connector.text, "the connector names it")
        self.assert_works()


class CertificateTests(FaultCase):
    """Certificates that are being written while the edge reads them."""

    def serial(self) -> str:
        """Of the certificate that browsers get."""
        with self.wire() as wire:
            shown = wire.socket.getpeercert()
        assert shown is not None
        return str(shown["serialNumber"])

    def reload(self) -> None:
        """Have the edge look now."""
        before = len(self.lines("config_reloaded"))
        self.edge.signal(signal.SIGHUP)
        wait_until(lambda: len(self.lines("config_reloaded")) > before, "it has looked")

    def test_half_written(self) -> None:
        """Wherever the new file ends, the old certificate stays in use; the whole file takes over."""
        path = self.site.folder / "certificates" / "public.pem"
        serial = self.serial()
        self.site.authority.issue(f"*.{self.site.domain}", to=self.folder / "new.pem")
        new = (self.folder / "new.pem").read_bytes()
        for part in (b"", new[:100], new[: len(new) // 2], new[:-60], new[: new.index(b"-----END CERT")]):
            path.write_bytes(part)
            self.reload()
            self.assertEqual(self.serial(), serial, len(part))
            line = self.lines("certificate_rejected")[-1]
            self.assertEqual((line["fault"], line["path"]), ("operator", str(path)))
            self.assertIn("what worked before stays in use", line["message"])
        path.write_bytes(new)
        self.reload()
        self.assertNotEqual(self.serial(), serial)
        self.assert_works()

    def test_folder_in_between(self) -> None:
        """A chain whose key is still the old one, or not there yet, replaces nothing."""
        folder = self.site.folder / "certificates"
        serial = self.serial()
        for number in range(2):
            self.site.authority.issue(f"*.{self.site.domain}", to=self.folder / f"{number}.pem")
        first, second = ((self.folder / f"{number}.pem").read_bytes() for number in range(2))
        shutil.rmtree(folder)
        self.reload()
        self.assertEqual(self.serial(), serial)
        bot = folder / "bot"
        bot.mkdir(parents=True)
        (bot / "fullchain.pem").write_bytes(first[first.index(b"-----BEGIN CERT") :])
        self.reload()
        self.assertIn("bot", [line["certificate"] for line in self.lines("certificate_rejected")])
        (bot / "privkey.pem").write_bytes(first)
        self.reload()
        got = self.serial()
        (bot / "fullchain.pem").write_bytes(second)
        self.reload()
        self.assertEqual(self.serial(), got)
        (bot / "privkey.pem").write_bytes(second)
        self.reload()
        self.assertNotEqual(self.serial(), got)
        self.assert_works()
