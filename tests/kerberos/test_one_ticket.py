"""Tests of L{appproxy.kerberos.one_ticket}."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.kerberos.one_ticket import KRB5_OID, only_ticket

ADA = "adà@CORP.EXAMPLE"
WIKI = "HTTP/wiki.corp.example@CORP.EXAMPLE"
OWN = "connector$@CORP.EXAMPLE"


def ticket(client: str, server: str, evidence: str = "") -> list[Any]:
    """One entry of a cache: client, server, key, four times, flags and so on, and the ticket."""
    return [client, server, [18, "a2V5"], 1, 1, 9, 9, False, 7, None, "dGlja2V0", evidence, None]


TICKETS: list[list[Any]] = [
    ticket(OWN, "krbtgt/CORP.EXAMPLE@CORP.EXAMPLE"),
    ticket(ADA, "krb5_ccache_conf_data/proxy_impersonator@X-CACHECONF:"),
    ticket(ADA, OWN),
    ticket(ADA, WIKI, "ZXZpZGVuY2U="),
]


def credentials(tickets: list[list[Any]], **changes: Any) -> list[Any]:
    """What MIT writes of a user's credentials."""
    fields = [
        1,
        [ADA, None, None],
        OWN,
        False,
        False,
        None,
        None,
        [ADA, *tickets],
        None,
        False,
        9,
        0,
        None,
        None,
    ]
    for name, value in changes.items():
        fields[int(name.removeprefix("field"))] = value
    return ["K5C1", fields]


def framed(document: Any, oid: bytes = KRB5_OID) -> bytes:
    """One mechanism's, as GSSAPI hands it out."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    return len(oid).to_bytes(4, "big") + oid + len(text).to_bytes(4, "big") + text


class OneTicketTests(SynchronousTestCase):
    """L{only_ticket}."""

    def test_alone(self) -> None:
        """
        Security row 45: what is kept for a user's requests is the ticket to the application, and neither the
        connector's own nor anything that another could be got with.
        """
        kept = only_ticket(framed(credentials(TICKETS)), WIKI)
        self.assertEqual(kept, framed(credentials([ticket(ADA, WIKI)], field2=None)))
        self.assertEqual(only_ticket(kept, WIKI), kept)

    def test_nobody_elses(self) -> None:
        """Only this user's ticket to this service counts, and there has to be one."""
        for tickets in (
            [],
            TICKETS[:-1],
            [*TICKETS[:-1], ticket("eve@CORP.EXAMPLE", WIKI)],
            [*TICKETS[:-1], ticket(ADA, "HTTP/wiki.corp.example@EVIL.EXAMPLE")],
            [*TICKETS, ticket(ADA, WIKI)],
        ):
            self.assertRaises(ValueError, only_ticket, framed(credentials(tickets)), WIKI)

    def test_other_forms(self) -> None:
        """What is not known to be right is not touched."""
        good = credentials(TICKETS)
        documents: tuple[Any, ...] = (
            None,
            [],
            {},
            ["K5C2", good[1]],
            ["K5C1", good[1][:-1]],
            ["K5C1", [*good[1], None]],
            credentials(TICKETS, field1=["eve@CORP.EXAMPLE", None, None]),
            credentials(TICKETS, field7="FILE:/tmp/krb5cc_0"),
            credentials(TICKETS, field7=[]),
            credentials(TICKETS, field8="FILE:/etc/krb5.keytab"),
            credentials(TICKETS, field13="secret"),
            credentials([each[:-1] for each in TICKETS]),
        )
        for document in documents:
            self.assertRaises(ValueError, only_ticket, framed(document), WIKI)

    def test_other_frames(self) -> None:
        """One mechanism's element, whole and alone."""
        good = framed(credentials(TICKETS))
        for exported in (b"", good[:-1], good + b"x", good + good, framed(credentials(TICKETS), b"\x2a\x03")):
            self.assertRaises(ValueError, only_ticket, exported, WIKI)

    @given(st.binary(max_size=80), st.integers(0, 40))
    def test_anything(self, data: bytes, start: int) -> None:
        """Whatever comes is read or refused, never anything else."""
        good = framed(credentials(TICKETS))
        for exported in (data, good[: start * 20] + data, good[:17] + data):
            try:
                only_ticket(exported, WIKI)
            except ValueError:
                pass
