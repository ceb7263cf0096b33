"""
Tests of L{appproxy.pki.join} and L{appproxy.pki.join_token}.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from appproxy.pki.authority import IssuerAway, read_connector
from appproxy.pki.certificates import (
    CLIENT_USAGE,
    SERVER_USAGE,
    Role,
    chain_from_pem,
    fingerprint,
    make_key,
    make_request,
    opened_groups,
    verify_chain,
)
from appproxy.pki.enrolment_messages import EnrolmentAnswer, EnrolmentRefused, EnrolmentRequest
from appproxy.pki.join import MAXIMUM_VALID_SECONDS, BadToken, JoinToken, make_token, parse_token, redeem
from appproxy.pki.join_token import MAXIMUM_ADDRESSES, new_token
from appproxy.store.keys import CONNECTORS, JOIN_TOKENS
from tests.pki.support import HOST, NOW, clock_now, new_folder, open_authority, result
from tests.store.support import memory_store

ADDRESSES = ("edge.example.com:443", "[2001:db8::1]:8443")
TOKEN = new_token(ADDRESSES, HOST, "ab" * 32, "connector")


class TokenTextTests(SynchronousTestCase):
    """Tokens as text."""

    def test_round_trip(self) -> None:
        """A token is read as it was written: one line without blanks that says what it is."""
        self.assertEqual(parse_token(TOKEN.text), TOKEN)
        self.assertTrue(TOKEN.text.startswith("apj1."))
        self.assertRegex(TOKEN.text, r"\A[A-Za-z0-9._-]+\Z")
        self.assertEqual((TOKEN.addresses, TOKEN.connect_host), (ADDRESSES, HOST))

    def test_pasted(self) -> None:
        """Line breaks and blanks that a terminal added do no harm."""
        text = TOKEN.text
        self.assertEqual(parse_token(f"  {text[:40]}\r\n {text[40:]}\n"), TOKEN)

    def test_secrets_differ(self) -> None:
        """No two tokens have the same secret, and it is long."""
        secrets = {new_token(ADDRESSES, HOST, "ab" * 32, "relay").secret for _ in range(100)}
        self.assertEqual(len(secrets), 100)
        self.assertTrue(all(len(secret) == 43 for secret in secrets))

    def test_secret_is_not_shown(self) -> None:
        """The secret is not in what a log or traceback would show."""
        request = EnrolmentRequest(secret=TOKEN.secret, csr="")
        self.assertNotIn(TOKEN.secret, repr(TOKEN) + str(TOKEN) + repr(request))

    def bad(self, text: str) -> None:
        """A text is refused, and the error does not repeat it."""
        with self.assertRaises(BadToken) as caught:
            parse_token(text)
        self.assertLess(len(str(caught.exception)), 80)
        self.assertNotIn(TOKEN.secret, str(caught.exception))

    def test_bad(self) -> None:
        """What is no token is refused."""
        for text in (
            "",
            "apj1.",
            "apj2." + TOKEN.text[5:],
            TOKEN.text[:-7],
            "apj1." + "A" * 5000,
            "apj1.e30",
        ):
            self.bad(text)

    def test_bad_parts(self) -> None:
        """A token with any part missing, added or wrong is refused."""
        good: dict[str, Any] = {
            "addresses": list(ADDRESSES),
            "connect_host": HOST,
            "ca_sha256": "ab" * 32,
            "role": "connector",
            "secret": TOKEN.secret,
        }
        changes: list[dict[str, Any]] = [
            {"addresses": []},
            {"addresses": ["edge.example.com"]},
            {"addresses": [443]},
            {"addresses": "edge.example.com:443"},
            {"addresses": ["a:1"] * (MAXIMUM_ADDRESSES + 1)},
            {"connect_host": "not a host"},
            {"connect_host": None},
            {"ca_sha256": "AB" * 32},
            {"ca_sha256": ""},
            {"role": "root"},
            {"role": ["connector"]},
            {"secret": ""},
            {"secret": "short"},
            {"more": "x"},
        ]
        self.assertEqual(parse_token(_packed(good)).addresses, ADDRESSES)
        for change in changes:
            self.bad(_packed(good | change))
        for name in good:
            self.bad(_packed({key: value for key, value in good.items() if key != name}))

    @settings(max_examples=100, deadline=None)
    @given(st.one_of(st.text(), st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode())))
    def test_junk(self, text: str) -> None:
        """Whatever is pasted, the answer is a token or a refusal."""
        self.assertRaises(BadToken, parse_token, "apj1." + text)


def _packed(plain: dict[str, Any]) -> str:
    return "apj1." + base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


class JoinTestCase(SynchronousTestCase):
    """An authority in memory that makes and redeems tokens."""

    def setUp(self) -> None:
        """A store with a CA."""
        self.clock = clock_now()
        self.store = memory_store(self.clock)
        self.folder = new_folder(self.mktemp())
        self.authority = open_authority(self.clock, self.folder, self.store)
        self.csr = make_request(make_key()).decode()

    def make(self, role: Role = "connector", group: str = "hq", **more: Any) -> Deferred[JoinToken]:
        """Make a token."""
        return make_token(
            self.authority, addresses=ADDRESSES, connect_host=HOST, role=role, group=group, **more
        )

    def redeem(self, token: JoinToken, csr: str | None = None, name: str = "") -> Deferred[EnrolmentAnswer]:
        """Redeem a token."""
        csr = self.csr if csr is None else csr
        return redeem(self.authority, EnrolmentRequest(secret=token.secret, csr=csr, name=name))

    def refused(self, token: JoinToken, csr: str | None = None) -> str:
        """Why a token is not redeemed."""
        error = self.failureResultOf(self.redeem(token, csr), EnrolmentRefused).value
        assert isinstance(error, EnrolmentRefused)
        return error.reason

    def connectors(self) -> int:
        """How many are enrolled."""
        return len(result(self.store.list(CONNECTORS)).items)


class MakeTests(JoinTestCase):
    """Making tokens."""

    def test_made(self) -> None:
        """A token pins the CA; the store has its hash, but not its secret."""
        token = result(self.make())
        self.assertEqual(token.ca_sha256, fingerprint(self.authority.root))
        (item,) = result(self.store.list(JOIN_TOKENS)).items
        self.assertEqual(item.key, JOIN_TOKENS + token.digest)
        self.assertNotIn(token.secret.encode(), item.value)
        self.assertNotIn(token.secret, item.key)

    def test_leased(self) -> None:
        """A token that nobody used disappears by itself."""
        result(self.make(valid_seconds=60))
        self.clock.advance(61)
        self.assertEqual(result(self.store.list(JOIN_TOKENS)).items, ())

    def test_refused(self) -> None:
        """A token without group, with a bad name, address or too long a life is not made."""
        self.failureResultOf(self.make(group=""), ValueError)
        self.failureResultOf(self.make(name="a b"), ValueError)
        self.failureResultOf(self.make(name="x" * 64), ValueError)
        for seconds in (0, -1, MAXIMUM_VALID_SECONDS + 1, float("nan")):
            self.failureResultOf(self.make(valid_seconds=seconds), ValueError)
        bad = make_token(self.authority, addresses=["nowhere"], connect_host=HOST, group="hq")
        self.failureResultOf(bad, ValueError)
        self.assertEqual(result(self.store.list(JOIN_TOKENS)).items, ())

    def test_infrastructure_key_away(self) -> None:
        """A relay's token is made only while a relay could enrol; a connector's always."""
        (self.folder / "infrastructure.key").unlink()
        self.failureResultOf(self.make(role="relay", group=""), IssuerAway)
        result(self.make())


class RedeemTests(JoinTestCase):
    """Redeeming tokens."""

    def test_redeemed(self) -> None:
        """The newcomer gets a certificate of the token's role, and is written down with the token's group."""
        answer = result(self.redeem(result(self.make(name="one"))))
        chain = chain_from_pem(answer.certificate.encode())
        peer = verify_chain(chain, self.authority.root, roles=["connector"], usage=CLIENT_USAGE, now=NOW)
        item = result(self.store.get(CONNECTORS + answer.id))
        assert item is not None
        record = read_connector(item)
        self.assertEqual(
            (peer.id, answer.name, answer.group, answer.role), (answer.id, "one", "hq", "connector")
        )
        self.assertEqual((record.name, record.group, record.role), ("one", "hq", "connector"))
        self.assertEqual(record.fingerprints, (peer.fingerprint,))
        self.assertEqual(answer.ca.encode(), self.authority.ca_pem)

    def test_answer_lost(self) -> None:
        """The same key gets the same certificate again, while the token lives; nobody is enrolled twice."""
        token = result(self.make())
        first = result(self.redeem(token))
        self.clock.advance(60)
        self.assertEqual(result(self.redeem(token)), first)
        self.assertEqual(self.connectors(), 1)

    def test_told_where_to_dial(self) -> None:
        """A connector is told the relays' addresses, a relay none; the same again if the answer was lost."""
        token = result(self.make())
        request = EnrolmentRequest(secret=token.secret, csr=self.csr)
        first = result(redeem(self.authority, request, ["relay.example.com:443"]))
        self.assertEqual(first.addresses, ("relay.example.com:443",))
        self.assertEqual(result(redeem(self.authority, request)), first)
        relay = result(self.make(role="relay", group=""))
        request = EnrolmentRequest(secret=relay.secret, csr=self.csr)
        self.assertEqual(result(redeem(self.authority, request, ["relay.example.com:443"])).addresses, ())

    def test_used_with_other_key(self) -> None:
        """A used token gives another key nothing, and the first one keeps what it got."""
        token = result(self.make())
        first = result(self.redeem(token))
        self.assertEqual(self.refused(token, make_request(make_key()).decode()), "token_used")
        self.assertEqual(result(self.redeem(token)), first)
        self.assertEqual(self.connectors(), 1)

    def test_expired(self) -> None:
        """An expired token is like one that never was, used before or not."""
        token, used = result(self.make(valid_seconds=60)), result(self.make(valid_seconds=60))
        result(self.redeem(used))
        self.clock.advance(60)
        self.assertEqual(self.refused(token), "token_unknown")
        self.assertEqual(self.refused(used), "token_unknown")

    def test_unknown(self) -> None:
        """A token that was never made here gets the same answer as an expired one."""
        self.assertEqual(self.refused(TOKEN), "token_unknown")
        strange = JoinToken(ADDRESSES, HOST, "ab" * 32, "connector", "\udcff/../x")
        self.assertEqual(self.refused(strange), "token_unknown")

    def test_taken_back(self) -> None:
        """A token that an administrator deleted is unknown at once."""
        token = result(self.make())
        result(self.store.transact(deletes=[JOIN_TOKENS + token.digest]))
        self.assertEqual(self.refused(token), "token_unknown")

    def test_bad_request(self) -> None:
        """A flawed signing request does not use up the token."""
        token = result(self.make())
        for csr in ("", "junk", "\udcff"):
            self.assertEqual(self.refused(token, csr), "csr_unreadable")
        result(self.redeem(token))

    def test_role_of_the_token(self) -> None:
        """Whatever a token's text is made to say, the role is the one that was written down."""
        token = result(self.make())
        forged = JoinToken(token.addresses, HOST, token.ca_sha256, "edge", token.secret)
        self.assertEqual(result(self.redeem(forged)).role, "connector")

    def test_relay(self) -> None:
        """A relay's token gives a certificate for the connect host."""
        answer = result(self.redeem(result(self.make(role="relay", group=""))))
        chain = chain_from_pem(answer.certificate.encode())
        verify_chain(chain, self.authority.root, roles=["relay"], usage=SERVER_USAGE, now=NOW, host_name=HOST)

    def test_edge_groups(self) -> None:
        """An edge's certificate lists the group of its token, or every one."""
        for group, opened in (("hq", {"hq"}), ("", {"*"})):
            csr = make_request(make_key()).decode()
            answer = result(self.redeem(result(self.make(role="edge", group=group)), csr))
            self.assertEqual(opened_groups(chain_from_pem(answer.certificate.encode())[0]), opened)

    def test_issuer_went_away(self) -> None:
        """If the issuer's key was taken away since, a relay is refused, and may try again later."""
        token = result(self.make(role="relay", group=""))
        aside = self.folder / "aside.key"
        (self.folder / "infrastructure.key").rename(aside)
        self.assertEqual(self.refused(token), "issuer_away")
        aside.rename(self.folder / "infrastructure.key")
        result(self.redeem(token))

    def test_names(self) -> None:
        """The token's name counts, else the suggested one, else one is made; no two share one."""
        named = result(self.redeem(result(self.make(name="one")), name="other"))
        suggested = result(self.redeem(result(self.make()), make_request(make_key()).decode(), "one"))
        made = result(self.redeem(result(self.make()), make_request(make_key()).decode()))
        self.assertEqual((named.name, suggested.name), ("one", "one-2"))
        self.assertEqual(made.name, f"connector-{made.id[:6]}")

    def test_long_names(self) -> None:
        """A number is put behind even the longest name without making it too long."""
        answers = [
            result(self.redeem(result(self.make(name="x" * 63)), make_request(make_key()).decode()))
            for _ in range(3)
        ]
        self.assertEqual([answer.name for answer in answers], ["x" * 63, "x" * 61 + "-2", "x" * 61 + "-3"])

    def test_name_of_a_revoked_one(self) -> None:
        """Who replaces a revoked connector may have its name."""
        first = result(self.redeem(result(self.make(name="one"))))
        result(self.authority.revoke(first.id))
        second = result(self.redeem(result(self.make(name="one")), make_request(make_key()).decode()))
        self.assertEqual(second.name, "one")

    def test_two_at_once(self) -> None:
        """Of two keys that redeem one token at once, one is enrolled."""
        token = result(self.make())
        transact = self.store.transact
        others: list[Deferred[EnrolmentAnswer]] = []

        def late(*arguments: Any, **keywords: Any) -> Deferred[int]:
            self.patch(self.store, "transact", transact)
            others.append(self.redeem(token, make_request(make_key()).decode()))
            return transact(*arguments, **keywords)

        self.patch(self.store, "transact", late)
        self.assertEqual(self.refused(token), "token_used")
        result(others[0])
        self.assertEqual(self.connectors(), 1)

    def test_token_ends_meanwhile(self) -> None:
        """A token that ends while it is redeemed enrols nobody."""
        token = result(self.make(valid_seconds=60))
        transact = self.store.transact

        def late(*arguments: Any, **keywords: Any) -> Deferred[int]:
            self.clock.advance(61)
            return transact(*arguments, **keywords)

        self.patch(self.store, "transact", late)
        self.assertEqual(self.refused(token), "token_unknown")
        self.assertEqual(self.connectors(), 0)

    def test_secret_is_not_logged(self) -> None:
        """Neither secret nor certificate request is in any log event of an enrolment."""
        token = result(self.make())
        with capturedLogs() as events:
            result(self.redeem(token))
            self.refused(token, "junk")
        self.assertIn("enrolled", [event.get("event") for event in events])
        self.assertNotIn(token.secret, repr(events))
