"""The corpus against running daemons: hostile clients, applications and connectors."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Mapping
from typing import Final

from tests.corpus.cases import ANSWERS, PATHS, REQUESTS, TUNNEL_ANSWERS, Got, RequestCase
from tests.integration.support.attacked import AttackTestCase
from tests.integration.support.attacker import ENDLESS, SILENT, Answer, Wire
from tests.integration.support.processes import wait_until
from tests.integration.support.stolen import TUNNEL, MachineTestCase, StolenConnector

GOING: Final[Mapping[str, Callable[[Wire], None]]] = {
    "hang_up": Wire.close,
    "half_close": Wire.half_close,
    "close_notify": Wire.close_notify,
}
LAST: Final = b"/last"
"""Asked for on a connection that lives on: it has no other answer waiting."""


class CorpusTestCase(AttackTestCase):
    """Something of the corpus against an application that is open to all."""

    def setUp(self) -> None:
        """Know its host."""
        super().setUp()
        self.open = self.host("open").encode()

    def request(self, target: bytes, *headers: bytes) -> bytes:
        """A sound request."""
        return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: " + self.open, *headers, b"", b""])

    def answered(self, wire: Wire, name: str) -> Answer:
        """The next answer, which comes."""
        answer = wire.answer()
        assert answer is not None, f"{name}: no answer"
        return answer

    def assert_got(self, answer: Answer, got: Got, name: str) -> None:
        """The application got this request, and its answer came."""
        self.assertEqual(answer.status, 200, name)
        seen = answer.seen
        self.assertEqual((seen.line.split(b" ")[0], seen.target), (got.method, got.target), name)
        self.assertEqual(seen.body, got.body, name)
        headers: dict[bytes, list[bytes]] = {}
        for key, value in seen.headers:
            headers.setdefault(key.lower(), []).append(value)
        for key, value in got.has.items():
            self.assertEqual(headers.get(key.lower()), [value], (name, key))
        for key in got.lacks:
            self.assertNotIn(key.lower(), headers, name)

    def assert_works(self) -> None:
        """The edge serves another client."""
        self.assertEqual(self.ask("open", "/control").seen.target, b"/control")


class RequestTests(CorpusTestCase):
    """Hostile clients."""

    def test_requests(self) -> None:
        """
        Every request is refused with its status and the end of the connection, or the application gets
        exactly it; nobody reads what stands behind a refusal.

        Security row 7, security row 9, security row 26, security row 27, security row 28, security row 30.
        """
        for case in REQUESTS:
            if not case.ends:
                with self.wire("open") as wire:
                    wire.send(case.message(self.open) + (self.request(b"/smuggled") if case.closes else b""))
                    self.check(case, wire)
        self.assertNotIn(b"/smuggled", self.backend.begun)
        self.assertEqual([each for each in self.backend.begun if b"evil" in each], [])

    def check(self, case: RequestCase, wire: Wire) -> None:
        """The answers are those of the case, and no others come."""
        for got in case.gets:
            self.assert_got(self.answered(wire, case.name), got, case.name)
        if case.status:
            self.assertEqual(self.answered(wire, case.name).status, case.status, case.name)
        if case.closes:
            self.assertEqual(wire.rest(), b"", case.name)
        else:
            wire.send(self.request(LAST, b"Connection: close"))
            self.assertEqual(self.answered(wire, case.name).seen.target, LAST, case.name)
            self.assertEqual(wire.rest(), b"", case.name)

    def test_stalled(self) -> None:
        """
        Who stalls within a head gets a 408 in time, and loses the connection. (Bodies have longer:
        C{tests.edge.test_channel} has the clock for them.)

        Security row 30.
        """
        heads = [case for case in REQUESTS if case.ends == "stall" and "body_too_slow" not in case.rules]
        stalled = [(case, self.wire("open")) for case in heads]
        for case, wire in stalled:
            wire.send(case.message(self.open))
        for case, wire in stalled:
            self.check(case, wire)

    def test_gone(self) -> None:
        """
        A request of which the end never came is no request to the application either; and who sends no
        more is gone: what was asked for is given up.

        Security row 26.
        """
        for ends, how in GOING.items():
            self.leave(how, ends)
        self.assertEqual({seen.target for seen in self.backend.seen}, {SILENT})
        self.assert_works()

    def test_gone_in_the_answer(self) -> None:
        """Nor does an application go on answering somebody who is gone."""
        for ends, how in GOING.items():
            wire = self.wire("open")
            wire.send(self.request(ENDLESS))
            self.assertTrue(wire.socket.recv(1), ends)
            count = len(self.backend.broken)
            with contextlib.suppress(ssl.SSLError):  # there is more to come than the end
                how(wire)
            wait_until(lambda: len(self.backend.broken) > count, f"{ends} is noticed")  # noqa: B023
        self.assert_works()

    def leave(self, how: Callable[[Wire], None], ends: str) -> None:
        """Send each such case, and leave it; what reached the application breaks off there."""
        for case in REQUESTS:
            if case.ends == ends:
                wire = self.wire("open")
                wire.send(case.message(self.open))
                if b"\r\n\r\n" in case.template:
                    self.leave_begun(wire, how, case.name)
                else:
                    how(wire)
                if ends != "hang_up":
                    self.assertEqual(wire.rest(), b"", case.name)

    def leave_begun(self, wire: Wire, how: Callable[[Wire], None], name: str) -> None:
        """Leave a request that is on its way, once the application has its head."""
        begun, broken = self.backend.begun, self.backend.broken
        count = len(broken)
        wait_until(lambda: len(begun) > count, f"{name} begins")
        how(wire)
        wait_until(lambda: len(broken) > count, f"{name} breaks off")

    def test_between_refusals(self) -> None:
        """What only the gate refuses leaves the connection in step: the requests around it are answered."""
        with self.wire("open") as wire:
            for target in (b"/1", b"/%00", b"/2", b"/a/../b", b"/3"):
                wire.send(self.request(target))
            statuses = [self.answered(wire, "between").status for _ in range(5)]
        self.assertEqual(statuses, [200, 400, 200, 400, 200])
        self.assertEqual(self.backend.begun, [b"/1", b"/2", b"/3"])


class TargetTests(CorpusTestCase):
    """Targets, of an application alone at its host, and of one in two parts."""

    def test_alone(self) -> None:
        """
        What is not refused reaches the application byte for byte.

        Security row 7.
        """
        for case in PATHS:
            answer = self.ask("open", case.target.decode("latin-1"))
            if case.rule:
                self.assertEqual(answer.status, 400, case.target)
            else:
                self.assertEqual((answer.status, answer.seen.target), (200, case.target), case.target)

    def test_in_parts(self) -> None:
        """
        Where paths decide, none is open to strangers, and the ambiguous ones are refused to everybody.

        Security row 7, security row 8.
        """
        browser = self.signed_in()
        begun = list(self.backend.begun)
        for case in PATHS:
            target = case.target.decode("latin-1")
            self.assertEqual(self.ask("echo", target).status, 400 if case.rule else 302, case.target)
            if case.rule or case.ambiguous:
                answer = self.ask("echo", target, headers=[self.cookie(browser)])
                self.assertIn(answer.status, (400, 403), case.target)
        self.assertEqual(self.backend.begun, begun)


class AnswerTests(CorpusTestCase):
    """Hostile applications."""

    def test_answers(self) -> None:
        """
        An application says one answer, its own, or the client gets a 502.

        Security row 26, security row 27, security row 28.
        """
        self.addCleanup(self.backend.answers.clear)
        for number, case in enumerate(ANSWERS):
            target = b"/answer/%d" % number
            self.backend.answers[target] = case.data
            with self.wire("open") as wire:
                wire.send(self.request(target).replace(b"GET", case.asked, 1))
                answer = wire.answer(head_only=case.asked == b"HEAD")
                assert answer is not None, case.name
                self.assertNotIn(b"evil", answer.body, case.name)
                if case.rules and answer.status != 502:
                    # The flaw came in a later piece than the head.
                    self.assertFalse(answer.whole, case.name)
                    continue
                while answer is not None and answer.status < 200:
                    answer = wire.answer()
                assert answer is not None, case.name
                self.assertEqual(answer.status, case.status, case.name)
                if not case.rules:
                    self.assertEqual(answer.body, case.gives, case.name)
                wire.send(self.request(LAST))
                self.assertEqual(self.answered(wire, case.name).seen.target, LAST, case.name)


class ConnectorTests(MachineTestCase):
    """Hostile connectors."""

    def setUp(self) -> None:
        """Publish an application of a group whose only connector was stolen."""
        super().setUp()
        settings = {
            "internal_url": self.backend.internal_url,
            "pre_authentication": "passthrough",
            "connector_group": "taken",
        }
        self.attacked.publish_more({"taken": settings}, "taken")

        created = self.site.appproxy_json("connector", "token", "--group", "taken", "--name", "taken")
        identity = self.enrol("taken", created["token"])
        pair = (identity / "key.pem").read_bytes() + (identity / "certificate.pem").read_bytes()
        self.certificate = self.file("taken", pair)

    def stolen(self) -> StolenConnector:
        """A tunnel of a connector of that group, in an attacker's hands."""
        return StolenConnector(self.machine(TUNNEL, self.certificate))

    def test_answers(self) -> None:
        """
        The edge takes from a connector's answer what is one, and no more.

        Security row 26, security row 28.
        """
        connector = self.stolen()
        host = self.host("taken").encode()
        for case in TUNNEL_ANSWERS:
            with self.wire("taken") as wire:
                wire.send(case.asked + b" / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
                connector.answer(case)
                answer = wire.answer(head_only=case.asked == b"HEAD")
                while answer is not None and answer.status == 103:
                    answer = wire.answer()
                after = wire.rest()
            self.assertEqual(after, b"", case.name)
            if answer is None:
                self.assertEqual(case.status, 0, case.name)
            elif case.status:
                self.assertEqual((answer.status, answer.body), (case.status, case.body), case.name)
                self.assertEqual([each for name in case.lacks for each in answer.values(name)], [], case.name)
            else:
                self.assertTrue(answer.status == 502 or not answer.whole, (case.name, answer))
            if answer is not None:
                self.assertNotIn(b"evil", answer.raw_head, case.name)
            if case.ends == "hang_up":
                connector = self.stolen()
