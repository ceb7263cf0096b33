"""Tests of join tokens over a real store and authority."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, eventAsText

from appproxy.admin.errors import AdminError
from appproxy.admin.tokens import TokenObjects, TokenRequest
from appproxy.catalog.documents import encode, key_of
from appproxy.pki.certificates import make_key, make_request
from appproxy.pki.enrolment_messages import EnrolmentRefused, EnrolmentRequest
from appproxy.pki.join import parse_token, redeem
from appproxy.store.istore import Put
from tests.admin.support import ADA, EdgeTestCase
from tests.catalog.examples import group


class TokenTests(EdgeTestCase):
    """Made, listed, taken back."""

    def setUp(self) -> None:
        """A group to join."""
        super().setUp()
        puts = [Put(key_of("connector_group", "hq"), encode(group()))]
        self.successResultOf(self.store.transact(puts=puts))
        around = self.edge.around
        self.tokens = TokenObjects(around.authority, around.addresses, around.connect_host)

    def make(self, **request: Any) -> dict[str, Any]:
        """A new token."""
        asked = TokenRequest.model_validate({"role": "connector", "group": "hq", **request})
        made: dict[str, Any] = self.result(self.tokens.make(asked, ADA))
        return made

    def refused(self, coroutine: Any) -> AdminError:
        """Why it is not done."""
        failure = self.failureResultOf(Deferred.fromCoroutine(coroutine), AdminError)
        assert isinstance(failure.value, AdminError)
        return failure.value

    def redeem(self, text: str) -> Any:
        """Join with a token."""
        secret = parse_token(text).secret
        request = EnrolmentRequest(secret=secret, csr=make_request(make_key()).decode(), name="")
        return redeem(self.edge.around.authority, request)

    def test_make(self) -> None:
        """A token names the edge's address and opens the way into its group."""
        made = self.make(name="dublin")
        self.assertEqual(parse_token(made["token"]).addresses, ("connect.apps.example.com:443",))
        answer = self.successResultOf(self.redeem(made["token"]))
        self.assertEqual((answer.name, answer.group), ("dublin", "hq"))
        self.assertEqual(self.edge.connectors.current[answer.id].name, "dublin")

    def test_no_secret_is_kept(self) -> None:
        """
        Neither list nor log has anything of a token that could be used.

        Security row 39.
        """
        with capturedLogs() as events:
            made = self.make()
        secret = parse_token(made["token"]).secret
        told = str(self.result(self.tokens.list_all())) + "".join(map(eventAsText, events)) + str(events)
        self.assertNotIn(secret, told)
        self.assertNotIn(made["token"], told)
        self.assertEqual(
            [event["object"] for event in events if event.get("event") == "audit"],
            [f"join-tokens/{made['id']}"],
        )

    def test_expires(self) -> None:
        """After its time a token is listed no more."""
        self.make(valid_seconds=60)
        self.assertEqual(len(self.result(self.tokens.list_all())), 1)
        self.clock.advance(61)
        self.assertEqual(self.result(self.tokens.list_all()), [])

    def test_delete(self) -> None:
        """A token that was taken back opens nothing."""
        made = self.make()
        self.result(self.tokens.delete(made["id"], ADA))
        self.failureResultOf(self.redeem(made["token"]), EnrolmentRefused)

    def test_used(self) -> None:
        """A used token is marked so."""
        made = self.make()
        self.successResultOf(self.redeem(made["token"]))
        self.assertTrue(self.result(self.tokens.show(made["id"]))["used"])

    def test_unknown_group(self) -> None:
        """There is no token for a group that is not in the catalog."""
        request = TokenRequest(role="connector", group="hqq")
        self.assertEqual(self.refused(self.tokens.make(request, ADA)).status, 404)

    def test_relay_needs_the_key(self) -> None:
        """A relay's token is made only while the infrastructure's key is in place."""
        request = TokenRequest(role="relay")
        self.assertEqual(self.result(self.tokens.make(request, ADA))["role"], "relay")
        self.edge.infrastructure_key.unlink()
        error = self.refused(self.tokens.make(request, ADA))
        self.assertEqual(error.status, 409)
        self.assertIn("key", error.message)
