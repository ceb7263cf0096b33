"""
Tests of L{appproxy.relay.documents} and L{appproxy.relay.catalog}.
"""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.relay.catalog import RelayCatalog
from appproxy.relay.documents import (
    RenewalAnswer,
    RenewalRequest,
    read_catalog,
    read_report,
    write_catalog,
    write_renewal,
    write_report,
)
from appproxy.transport.peer import PeerIdentity
from tests.relay.support import document, holder

ROW = {
    "connector": "hq",
    "connector_group": "main",
    "role": "connector",
    "address": "192.0.2.7",
    "since": "2026-01-01T00:00:00Z",
    "streams": 3,
    "revision": 7,
    "software": "appproxy/1.0",
    "round_trip_seconds": 0.01,
    "drained": False,
}


class CatalogTests(SynchronousTestCase):
    """What an edge tells a relay."""

    def test_round_trip(self) -> None:
        """The relay reads what the edge wrote: documents byte for byte, and the group of each application."""
        groups = {"main": document("wiki", "mail"), "lab": document()}
        catalog = RelayCatalog(7, groups, {"hq": holder("connector", "hq").record("main")}, 5)
        read = read_catalog(7, write_catalog(catalog))
        self.assertEqual((read.revision, read.groups, read.registry_revision), (7, groups, 5))
        self.assertEqual(read.connectors, catalog.connectors)
        self.assertEqual(read.applications, {"wiki": "main", "mail": "main"})

    def test_roots_and_drained(self) -> None:
        """
        The CA's roots, the one that serves, and who is drained are told where there is something to tell; of
        a holder's record nothing is that an earlier relay would stumble over.
        """
        record = (
            holder("connector", "hq")
            .record("main")
            .model_copy(update={"root": "ab", "trusts": "cd", "drained_at": "2026-01-01T00:00:00Z"})
        )
        plain = RelayCatalog(7, {}, {"hq": record}, 5)
        written = json.loads(write_catalog(plain))
        self.assertEqual(set(written), {"groups", "registry_revision", "connectors"})
        self.assertEqual(set(written["connectors"]["hq"]) & {"root", "trusts", "drained_at"}, set())
        roots = ({"root": "PEM", "link": ""},)
        full = replace(plain, roots=roots, serving_root="ab", drained=frozenset({"hq"}))
        read = read_catalog(7, write_catalog(full))
        self.assertEqual((read.roots, read.serving_root, read.drained), (roots, "ab", {"hq"}))
        self.assertEqual(replace(plain, registry_revision=4).newer_of(full).drained, {"hq"})

    def test_unknown_names(self) -> None:
        """A newer edge may say more."""
        read = read_catalog(1, b'{"groups":{},"registry_revision":1,"connectors":{},"more":[]}')
        self.assertEqual(read.registry_revision, 1)

    def test_junk(self) -> None:
        """Anything else is refused."""
        for junk in (
            b"",
            b"[]",
            b"{}",
            b'{"groups":{"a":"no"},"registry_revision":1,"connectors":{}}',
            b'{"groups":{"a":"{}"},"registry_revision":1,"connectors":{}}',
            b'{"groups":{"a":"[]"},"registry_revision":1,"connectors":{}}',
            b'{"groups":{"a":"{\\"applications\\":[{\\"id\\":[]}]}"},"registry_revision":1,"connectors":{}}',
            b'{"groups":{},"registry_revision":-1,"connectors":{}}',
            b'{"groups":{},"registry_revision":1,"connectors":{"a":{}}}',
        ):
            self.assertRaises(ValueError, read_catalog, 1, junk)

    @settings(max_examples=100)
    @given(st.binary(max_size=64))
    def test_noise(self, junk: bytes) -> None:
        """No bytes make it fail otherwise."""
        for read in (lambda: read_catalog(1, junk), lambda: read_report(junk)):
            try:
                read()
            except ValueError:
                continue

    def test_newer_of(self) -> None:
        """Of each half the newer one counts; of equals, our own."""
        ours = RelayCatalog(3, {"ours": b""}, {}, 8, {"a": "ours"})
        theirs = RelayCatalog(
            4, {"theirs": b""}, {"x": holder("connector", "x").record()}, 8, {"a": "theirs"}
        )
        merged = ours.newer_of(theirs)
        self.assertEqual((merged.revision, merged.groups), (4, theirs.groups))
        self.assertEqual((merged.applications, merged.connectors), (theirs.applications, {}))
        self.assertIs(ours.newer_of(RelayCatalog()), ours)

    def test_trusted(self) -> None:
        """Trusted is who is registered, not revoked, in its own role, with a certificate issued last."""
        who = holder("connector", "hq")
        identity = PeerIdentity("connector", "hq", who.fingerprint)
        for record, expected in (
            (who.record("main"), True),
            (who.record("main", revoked=True), False),
            (who.record().model_copy(update={"role": "edge"}), False),
            (who.record().model_copy(update={"fingerprints": ()}), False),
        ):
            trusted = RelayCatalog(connectors={"hq": record}).trusted(identity)
            self.assertEqual(trusted is not None, expected)
        self.assertIsNone(RelayCatalog().trusted(identity))


class ReportTests(SynchronousTestCase):
    """What a relay tells an edge."""

    def test_round_trip(self) -> None:
        """The edge shows what the relay reported."""
        (row,) = read_report(write_report([{**ROW, "serving": True, "more": 1}]))
        self.assertTrue(row.serving)
        self.assertEqual(row.as_dict(), ROW)

    def test_junk(self) -> None:
        """A report with values of other kinds is refused."""
        for name, value in (("connector", 3), ("streams", "3"), ("revision", None), ("address", "a" * 300)):
            self.assertRaises(ValueError, read_report, write_report([{**ROW, "serving": True, name: value}]))
        self.assertRaises(ValueError, read_report, write_report([ROW]))


class RenewalTests(SynchronousTestCase):
    """RENEW between edge and relay."""

    def test_round_trip(self) -> None:
        """Questions and answers are read as they were written; what is empty is left out."""
        request = RenewalRequest(id=3, csr="C")
        self.assertEqual(write_renewal(request), b'{"id":3,"csr":"C"}')
        self.assertEqual(RenewalRequest.model_validate_json(write_renewal(request)), request)
        answer = RenewalAnswer(id=3, refused="no")
        self.assertEqual(RenewalAnswer.model_validate_json(write_renewal(answer)), answer)
