"""Tests of L{tests.corpus.cases}, and of what the corpus says about others."""

from __future__ import annotations

from typing import Any

import httptools
from twisted.trial.unittest import SynchronousTestCase

from tests.corpus.cases import ANSWERS, PATHS, REQUESTS, Got, RequestCase, bytes_of, read_request


class Nothing:
    """Listens to a parser, and wants to know nothing."""


def llhttp_takes(make: Any, data: bytes) -> bool:
    """Whether llhttp, in strict mode, sees no flaw."""
    try:
        make(Nothing()).feed_data(data)
    except httptools.HttpParserUpgrade:
        return True
    except httptools.HttpParserError:
        return False
    return True


class FormTests(SynchronousTestCase):
    """How cases are written."""

    def test_bytes(self) -> None:
        """Characters are bytes; repetitions and lists are written out."""
        written = ["a\u00e4", {"repeat": "bc", "times": 3}, [{"repeat": ["d", "e"], "times": 2}]]
        self.assertEqual(bytes_of(written), b"a\xe4bcbcbcdede")
        self.assertRaises(UnicodeEncodeError, bytes_of, "\u0100")

    def test_request(self) -> None:
        """All of a case is read, and the host put in where it belongs."""
        table = {
            "lines": ["GET / HTTP/1.1", "Host: $host"],
            "body": "x",
            "gets": [{"target": "/", "has": {"A": "b"}, "lacks": ["C"]}],
            "status": 400,
            "rule": "one",
            "rule_in_pieces": "two",
            "llhttp_takes_it": True,
        }
        case = read_request("name", table)
        got = Got(target=b"/", has={b"A": b"b"}, lacks=(b"C",))
        template = b"GET / HTTP/1.1\r\nHost: $host\r\n\r\nx"
        expected = RequestCase("name", template, (got,), 400, ("one", "two"), True, "", True)
        self.assertEqual(case, expected)
        self.assertEqual(case.message(b"h"), b"GET / HTTP/1.1\r\nHost: h\r\n\r\nx")

    def test_mistakes(self) -> None:
        """A case with a key that nobody reads, or that expects nothing, is an error."""
        sound: dict[str, Any] = {"raw": "x", "gets": [{}]}
        read_request("sound", sound)
        for mistake in (
            {**sound, "llhttp_take_it": True},
            {"raw": "x"},
            {"raw": "x", "status": 400},
            {"raw": "x", "rule": "y"},
            {**sound, "ends": "well"},
            {"raw": "x", "gets": [{"header": "y"}]},
        ):
            self.assertRaises(ValueError, read_request, "mistake", mistake)

    def test_targets_once(self) -> None:
        """No target has two verdicts."""
        targets = [case.target for case in PATHS]
        self.assertEqual(sorted(targets), sorted(set(targets)))


class LlhttpTests(SynchronousTestCase):
    """Why we have checks of our own."""

    def test_laxities(self) -> None:
        """Of what we refuse, llhttp takes just what the corpus says: there only we stand in the way."""
        for case in REQUESTS:
            if case.status and not case.ends:
                takes = llhttp_takes(httptools.HttpRequestParser, case.message())
                self.assertEqual(takes, case.llhttp_takes_it, case.name)
        for answer in ANSWERS:
            if answer.rules and not answer.rules[0].startswith("closed_"):
                takes = llhttp_takes(httptools.HttpResponseParser, answer.data)
                self.assertEqual(takes, answer.llhttp_takes_it, answer.name)
