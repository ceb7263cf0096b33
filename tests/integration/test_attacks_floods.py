"""Attacks on memory and patience, and on what only administrators may ask."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.integration.support.attacked import AttackTestCase
from tests.integration.support.attacker import Wire
from tests.integration.support.processes import wait_until

MIB: Final = 1 << 20
CONNECTIONS: Final = 100
SLOW_CONNECTION: Final = 200 << 10
"""What a connection may cost that sends as much of a head as is taken: 64 KiB, TLS, and Python's share."""


class FloodTests(AttackTestCase):
    """Who sends much, or slowly, gets nothing by it."""

    @contextmanager
    def many(self, count: int = CONNECTIONS) -> Iterator[Sequence[Wire]]:
        """Connections of one attacker."""
        with ExitStack() as stack:
            yield [stack.enter_context(self.wire("open")) for _ in range(count)]

    def grown_by(self, before: int) -> int:
        """How much memory the edge has taken since."""
        return self.site.edge.memory - before

    def start_of_head(self) -> bytes:
        """A request's first lines."""
        return b"GET / HTTP/1.1\r\nHost: " + self.host("open").encode() + b"\r\n"

    def test_heads_that_never_end(self) -> None:
        """
        A hundred heads that grow to their limit cost that and no more; each is answered 408 in the end.

        Security row 30.
        """
        before = self.site.edge.memory
        with self.many() as wires:
            for wire in wires:
                wire.send(self.start_of_head() + b"X-A: " + b"a" * 60_000)
            self.assertEqual(self.ask("open").status, 200)
            self.assertLess(self.grown_by(before), CONNECTIONS * SLOW_CONNECTION)
            answers = [wire.answer() for wire in wires]
            self.assertEqual({answer.status for answer in answers if answer}, {408})
            self.assertEqual({wire.rest() for wire in wires}, {b""})
        wait_until(lambda: self.grown_by(before) < CONNECTIONS * SLOW_CONNECTION, "the memory is given back")

    def test_dripping_heads(self) -> None:
        """
        A byte now and then does not put off the end of a head's time.

        Security row 30.
        """
        with self.many(10) as wires:
            for wire in wires:
                wire.send(self.start_of_head())
            ended: set[Wire] = set()

            def all_ended() -> bool:
                for wire in wires:
                    if wire not in ended:
                        wire.send(b"X: y\r\n")
                        wire.socket.settimeout(0.01)
                        try:
                            if wire.socket.recv(4096).startswith(b"HTTP/1.1 408"):
                                ended.add(wire)
                        except TimeoutError:
                            pass
                return len(ended) == len(wires)

            wait_until(all_ended, "each dripping head is refused")

    def test_huge(self) -> None:
        """
        What is too large is refused at its limit, not read to its end.

        Security row 30.
        """
        before = self.site.edge.memory
        much = b"a" * (MIB // 4)
        for start, status in (
            (b"GET /" + much, 414),
            (self.start_of_head() + b"X: " + much, 431),
            (self.start_of_head() + b"X: y\r\n" * 40_000, 431),
            (self.start_of_head() + b"Cookie: " + b"__Host-appproxy-session=x; " * 9_000, 431),
            (much, 414),
            (b"\r\n" * 100_000, 400),
        ):
            for _ in range(20):
                with self.wire("open") as wire:
                    wire.send(start)
                    answer = wire.answer()
                assert answer is not None, start[:40]
                self.assertIn(answer.status, (status, 400), start[:40])
        self.assertLess(self.grown_by(before), 32 * MIB)

    def test_questions_without_end(self) -> None:
        """
        Who sends thousands of requests and reads no answer has them wait outside.

        Security row 30.
        """
        before = self.site.edge.memory
        request = b"GET /.appproxy/session HTTP/1.1\r\nHost: " + self.host("open").encode() + b"\r\n\r\n"
        with self.many(10) as wires:
            for wire in wires:
                wire.socket.settimeout(0.5)
                for _ in range(30):
                    wire.send(request * 1000)
            self.assertEqual(self.ask("open").status, 200)
            self.assertLess(self.grown_by(before), 48 * MIB)

    def test_sign_ins_without_end(self) -> None:
        """
        Sign-ins that are begun and never finished cost the edge nothing, and the browser one cookie.

        Security row 30.
        """
        browser, html = self.site.browser(), {"Accept": "text/html"}
        for number in range(12):
            begun = browser.request("GET", self.site.url("echo", f"/{'x' * 1500}{number}"), html)
            away = browser.request("GET", begun.header("location"), html)
            self.assertEqual(away.status, 303)
        for name in ("auth", "echo"):
            for key, value in browser.jar.of(self.host(name)).items():
                self.assertLess(len(key) + len(value), 4096)


class AdminSocketTests(AttackTestCase):
    """What administrators ask is asked through a Unix socket, and nowhere else."""

    @property
    def path(self) -> Path:
        """The socket."""
        return Path(self.site.admin.removeprefix("unix:"))

    def say(self, head: str, body: str = "") -> bytes:
        """The status line of what the socket answers."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.path))
            rest = f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            connection.sendall(f"{head}\r\n{rest}".encode())
            return connection.makefile("rb").readline()

    def test_permissions(self) -> None:
        """
        Its owner and one group may use it.

        Security row 37.
        """
        status = self.path.stat()
        self.assertTrue(stat.S_ISSOCK(status.st_mode))
        self.assertEqual(stat.S_IMODE(status.st_mode), 0o660)

    def test_host(self) -> None:
        """
        Whatever brings a browser here does not know the one Host that is answered.

        Security row 38.
        """
        self.assertIn(b" 200 ", self.say("GET /v1/export HTTP/1.1\r\nHost: appproxy"))
        for host in (
            "localhost",
            "127.0.0.1",
            "evil.example",
            "appproxy.evil.example",
            "appproxy:80",
            "",
            "APPPROXY ",
        ):
            self.assertIn(b" 400 ", self.say(f"GET /v1/export HTTP/1.1\r\nHost: {host}"), host)
        for hosts in ("Host: appproxy\r\nHost: evil.example", "X: y"):
            self.assertIn(b" 400 ", self.say(f"GET /v1/export HTTP/1.1\r\n{hosts}"), hosts)

    def test_forms(self) -> None:
        """
        No form and no script of a web page can ask for a change.

        Security row 38.
        """
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "",
        ):
            head = f"POST /v1/tokens HTTP/1.1\r\nHost: appproxy\r\nContent-Type: {kind}"
            self.assertIn(b" 400 ", self.say(head, '{"role": "connector", "group": "hq"}'), kind)

    def test_nowhere_else(self) -> None:
        """
        Neither the public port nor the metrics port answers an administrator's question.

        Security row 11.
        """
        for name in ("echo", "auth", "portal", "open"):
            for target in ("/v1/export", "/.appproxy/v1/export", "/admin", "/metrics"):
                answer = self.ask(name, target)
                self.assertNotIn(b"internal_url", answer.body)
                self.assertNotIn(b"appproxy_", answer.body)
        for path in ("/v1/export", "/v1/status", "/debug", "/"):
            page = self.site.browser().request("GET", self.site.metrics_url + path, {"Host": "appproxy"})
            self.assertEqual(page.status, 404, path)
