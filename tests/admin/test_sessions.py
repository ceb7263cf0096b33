"""Tests of listing and ending sessions, over a real store."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from appproxy.admin.errors import AdminError
from appproxy.admin.sessions import EndRequest, SessionObjects
from appproxy.model.principal import Principal
from appproxy.session.record import SessionRecord, Tokens, encode_record, session_key
from appproxy.store.istore import Put
from appproxy.store.keys import SESSIONS
from tests.admin.support import ADA, SEALER, EdgeTestCase

BOB = "0123456789abcdef" * 2
BOB_TOO = "123456789abcdef0" * 2
EVE = "23456789abcdef01" * 2


class SessionObjectsTests(EdgeTestCase):
    """Who is signed in, and an end to it."""

    def setUp(self) -> None:
        """Two sessions of Bob, one of Eve, and a record that nobody can read."""
        super().setUp()
        for number, (session_id, user) in enumerate(((BOB, "bob"), (BOB_TOO, "bob"), (EVE, "eve"))):
            principal = Principal(
                "https://idp.example", user, session_id, user_principal_name=f"{user}@example.com"
            )
            began = 1.7e9 + number
            record = SessionRecord(principal, Tokens(id_token="the-id-token"), began, began + 3600, 0)
            self.put(session_key(session_id), encode_record(record, SEALER))
        self.put(SESSIONS + "f" * 32, b"of another key")
        self.sessions = SessionObjects(self.store, SEALER, self.edge)

    def put(self, key: str, value: bytes) -> None:
        """Write one document."""
        self.successResultOf(self.store.transact(puts=[Put(key, value)]))

    def refused(self, coroutine: Any) -> AdminError:
        """Why it is not done."""
        failure = self.failureResultOf(Deferred.fromCoroutine(coroutine), AdminError)
        assert isinstance(failure.value, AdminError)
        return failure.value

    def audited(self, coroutine: Any) -> tuple[Any, list[tuple[str, str, str]]]:
        """What something comes to, and who did what to which objects, by the audit log."""
        with capturedLogs() as logs:
            result = self.result(coroutine)
        lines = [each for each in logs if each.get("event") == "audit"]
        return result, [(each["actor"], each["action"], each["object"]) for each in lines]

    def test_list(self) -> None:
        """
        Each session has its user and times; never a token or its whole id.

        Security row 25.
        """
        rows = self.result(self.sessions.list_all())
        self.assertEqual(
            [(row["id"], row["user"]) for row in rows],
            [
                ("01234567", "bob@example.com"),
                ("12345678", "bob@example.com"),
                ("23456789", "eve@example.com"),
            ],
        )
        told = str(rows) + str(self.result(self.sessions.show("01234567")))
        self.assertNotIn("the-id-token", told)
        self.assertNotIn(BOB, told)

    def test_list_of_user(self) -> None:
        """A user's sessions are found by the name that assignments use, in any case."""
        rows = self.result(self.sessions.list_of("EVE@example.com"))
        self.assertEqual([row["id"] for row in rows], ["23456789"])
        self.assertEqual(self.result(self.sessions.list_of("nobody@example.com")), [])

    def test_delete(self) -> None:
        """Deleting a session ends it."""
        _, audited = self.audited(self.sessions.delete("01234567", ADA))
        self.assertEqual(self.edge.ended, [(BOB, "administrator")])
        self.assertEqual(audited, [("ada", "delete", "sessions/01234567")])

    def test_name(self) -> None:
        """Too short a name, or none there is, ends nothing."""
        self.assertEqual(self.refused(self.sessions.delete("0", ADA)).status, 400)
        self.assertEqual(self.refused(self.sessions.delete("76543210", ADA)).status, 404)

    def test_end_of_user(self) -> None:
        """All sessions of a user end, each with its audit line, and nobody else's."""
        told, audited = self.audited(self.sessions.end(EndRequest(user="Bob@example.com"), ADA))
        self.assertEqual(told, {"ended": 2})
        self.assertEqual(self.edge.ended, [(BOB, "administrator"), (BOB_TOO, "administrator")])
        self.assertEqual(
            audited, [("ada", "delete", "sessions/01234567"), ("ada", "delete", "sessions/12345678")]
        )

    def test_end_of_nobody(self) -> None:
        """A mistyped name is told, not taken for a success."""
        error = self.refused(self.sessions.end(EndRequest(user="bop@example.com"), ADA))
        self.assertEqual((error.status, self.edge.ended), (404, []))
        self.assertIn("bob@example.com", error.message)

    def test_end_of_everybody(self) -> None:
        """All records go, those too that cannot be read; one audit line says so."""
        told, audited = self.audited(self.sessions.end(EndRequest(everybody=True), ADA))
        self.assertEqual(told, {"ended": 4})
        self.assertEqual({each for each, _ in self.edge.ended}, {BOB, BOB_TOO, EVE, "f" * 32})
        self.assertEqual(audited, [("ada", "delete", "sessions")])

    def test_end_of_whom(self) -> None:
        """Nobody is taken for everybody, and both is neither."""
        for request in (EndRequest(), EndRequest(user="bob@example.com", everybody=True)):
            self.assertEqual(self.refused(self.sessions.end(request, ADA)).status, 400)
        self.assertEqual(self.edge.ended, [])

    def test_rotate_keys(self) -> None:
        """New keys end every session; one audit line says so."""
        told, audited = self.audited(self.sessions.rotate_keys(ADA))
        self.assertEqual((told, self.edge.ended), ({"ended": 3}, [("*", "keys")]))
        self.assertEqual(audited, [("ada", "rotate", "keys/cookie")])
