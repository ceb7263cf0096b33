"""Tests of L{appproxy.observe.logging}."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import ILogObserver, Logger, LogLevel, globalLogPublisher
from twisted.python import log as legacy
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from appproxy.observe.access_log import LineWriter
from appproxy.observe.logging import (
    HIDDEN,
    LineObserver,
    json_line,
    json_observer,
    make_observer,
    redact,
    text_line,
    text_observer,
)

SECRET = "s3cr3t-canary"


class Kept(LineWriter):
    """Keeps lines instead of writing them."""

    def __init__(self) -> None:
        LineWriter.__init__(self, 1)
        self.lines: list[bytes] = []

    def write_now(self, line: bytes) -> None:
        self.lines.append(line)


class ObserverTests(SynchronousTestCase):
    """Events become lines."""

    def setUp(self) -> None:
        self.kept = Kept()
        self.observer = make_observer(self.kept, "edge")
        self._log = Logger(observer=self.observer)

    def shown(self) -> dict[str, Any]:
        """The only line, read."""
        (line,) = self.kept.lines
        self.assertEqual(line.count(b"\n"), 1)
        shown: dict[str, Any] = json.loads(line)
        return shown

    def test_fields(self) -> None:
        """Common fields come first; the caller's own follow; the logging system's stay away."""
        self._log.info(
            "{event}: {tunnel} is up", event="tunnel_up", tunnel="7", streams=3, open=True, at=None
        )
        shown = self.shown()
        self.assertEqual(list(shown)[:5], ["time", "level", "event", "daemon", "message"])
        self.assertRegex(shown.pop("time"), r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")
        self.assertEqual(
            shown,
            {
                "level": "info",
                "event": "tunnel_up",
                "daemon": "edge",
                "message": "tunnel_up: 7 is up",
                "tunnel": "7",
                "streams": 3,
                "open": True,
                "at": None,
            },
        )

    def test_level(self) -> None:
        """Events below the level are not shown; the level can be changed while running."""
        for level, expected in (("debug", 5), ("info", 4), ("warn", 3), ("error", 2)):
            self.kept.lines.clear()
            self.observer.level = level
            for each in LogLevel.iterconstants():
                self._log.emit(each, "x", fault="peer")
            self.assertEqual(len(self.kept.lines), expected, level)
        for wrong in ("critical", "INFO", "warning", ""):
            with self.assertRaises(ValueError):
                self.observer.level = wrong
        with self.assertRaises(ValueError):
            make_observer(self.kept, "edge", format="xml")

    def test_fault(self) -> None:
        """From a warning up there is always somebody whose fault it is; ours, if nobody was named."""
        self._log.warn("x", fault="peer")
        self._log.error("x")
        self._log.info("x")
        self.assertEqual([json.loads(line).get("fault") for line in self.kept.lines], ["peer", "ours", None])

    def test_failure(self) -> None:
        """A traceback is a field of its own, without the values of variables."""
        try:
            password = SECRET
            raise RuntimeError(len(password))
        except RuntimeError:
            self._log.failure("{event}", event="bug", fault="ours")
        shown = self.shown()
        self.assertEqual(shown["level"], "error")
        self.assertIn("RuntimeError", shown["traceback"])
        self.assertNotIn(SECRET, shown["traceback"])

    def test_old_events(self) -> None:
        """Events of Twisted's older logging are shown too."""
        globalLogPublisher.addObserver(self.observer)
        self.addCleanup(globalLogPublisher.removeObserver, self.observer)
        legacy.msg("starting", "on", 443)
        self.assertEqual(self.shown()["message"], "starting on 443")

    def test_reserved_names(self) -> None:
        """No field can take the place of a common one."""
        event = {"event": "ready", "level": "debug", "daemon": "other", "message": "mine", "time": 0}
        self.observer({**event, "log_level": LogLevel.info, "log_time": 1.0, "log_format": "{event}"})
        shown = self.shown()
        self.assertEqual((shown["level"], shown["daemon"], shown["message"]), ("info", "edge", "ready"))

    def test_secret_fields(self) -> None:
        """A field whose name says that it is a secret is hidden, in the message too."""
        for name in (
            "client_secret",
            "password",
            "cookie",
            "join_token",
            "Authorization",
            "private_key",
            "ticket",
        ):
            self.kept.lines.clear()
            form = f"{{event}}: {{{name}}}"
            self._log.info(form, event="x", **{name: SECRET})
            self.assertNotIn(SECRET, self.kept.lines[0].decode())
            self.assertEqual(self.shown()[name], HIDDEN)

    def test_unusual_values(self) -> None:
        """Values that JSON does not know are shown as text; a format that fails is shown, not raised."""
        self._log.info(
            "{event} {missing}",
            event="x",
            thing={1, 2},
            raw=b"\xff\n",
            infinite=float("inf"),
            long="x" * 99_999,
        )
        shown = self.shown()
        self.assertEqual(shown["thing"], "{1, 2}")
        self.assertIn("Unable to format", shown["message"])
        self.assertLess(len(shown["long"]), 10_000)

    @settings(max_examples=100, deadline=None)
    @given(
        st.dictionaries(
            st.from_regex(r"[a-z_]{1,10}", fullmatch=True),
            st.text() | st.binary() | st.floats() | st.integers(),
        )
    )
    def test_always_one_line(self, fields: dict[str, Any]) -> None:
        """Whatever is in an event, it is one line of strict JSON, or of printable text."""
        event: Any = {**fields, "log_time": 1.0, "log_level": LogLevel.info, "log_format": "{event}: x\ny"}
        line = json_line(event, "edge")
        self.assertEqual(line.count(b"\n"), 1)
        json.loads(line, parse_constant=self.fail)
        self.assertEqual(text_line(event, "edge").decode().count("\n"), 1)

    def test_text(self) -> None:
        """For a person: time, level, message; control characters cannot move the terminal's cursor."""
        observer = make_observer(self.kept, "edge", format="text")
        Logger(observer=observer).warn("name {name}", name="\x1b[2Jwiki\nforged line")
        Logger(observer=observer).failure("broken", Failure(RuntimeError("x")))
        first, second = (line.decode() for line in self.kept.lines)
        self.assertRegex(first, r"\A\S+Z warn  name \\x1b\[2Jwiki\\nforged line\n\Z")
        self.assertIn("\n    ", second)

    def test_factories(self) -> None:
        """twistd's --logger can use both; they provide the interface."""
        for factory in (json_observer, text_observer):
            self.assertIsInstance(factory(), LineObserver)
            self.assertTrue(verifyObject(ILogObserver, factory()))

    def test_twistd(self) -> None:
        """A real twistd writes JSON lines, standard error's too, and loses none when it stops."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "app.tac").write_text(
            "import sys\n"
            "from twisted.application.service import Application, Service\n"
            "from twisted.internet import reactor\n"
            "class Stopping(Service):\n"
            "    def startService(self):\n"
            "        print('to stderr', file=sys.stderr)\n"
            "        reactor.callWhenRunning(reactor.stop)\n"
            "application = Application('x')\n"
            "Stopping().setServiceParent(application)\n"
        )
        result = subprocess.run(
            [
                sys.executable,
                "-c",
                "from twisted.scripts.twistd import run; run()",
                "-n",
                "--pidfile=",
                "--logger",
                "appproxy.observe.logging.json_observer",
                "-y",
                "app.tac",
            ],
            capture_output=True,
            check=False,
            timeout=30,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])},
        )
        messages = [json.loads(line)["message"] for line in result.stdout.splitlines()]
        self.assertIn("to stderr", messages, result.stderr)
        self.assertTrue(any("Server Shut Down" in message for message in messages), messages)


class RedactTests(SynchronousTestCase):
    """The last resort behind callers that log no secrets."""

    def test_secrets(self) -> None:
        """
        What looks like a secret is blotted out wherever it stands in a text.

        Security row 40.
        """
        for text in (
            f"Cookie: a=b; __Host-appproxy-session={SECRET}",
            f"Set-Cookie: x={SECRET}; Secure",
            f"headers: (b'Authorization', b'Bearer {SECRET}')",
            f"proxy-authorization: Basic {SECRET}",
            f'{{"client_secret": "{SECRET}"}}',
            f"grant_type=x&client_secret={SECRET}&y=z",
            f"refresh_token={SECRET}",
            f"GET /.appproxy/callback?code={SECRET}&state={SECRET}",
            f"GET /.appproxy/ticket?ticket={SECRET}",
            f"password = {SECRET}",
            f"token apj1.{SECRET} used",
            f"eyJhbGciOiJub25lIn0.{SECRET}.{SECRET}",
            f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n-----END EC PRIVATE KEY-----",
            f"-----BEGIN PRIVATE KEY-----\n{SECRET}",
        ):
            self.assertNotIn(SECRET, redact(text), text)

    def test_the_rest_stays(self) -> None:
        """Ordinary messages are left as they are."""
        for text in (
            "certificate_loaded: wiki for wiki.example until 2027",
            "answered 200 in 3 ms",
            "key_path: a.b",
        ):
            self.assertEqual(redact(text), text)
