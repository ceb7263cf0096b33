"""
Tests of L{appproxy.pki.enrolment}, its messages and its client.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from appproxy.pki import enrolment as enrolment_module
from appproxy.pki import enrolment_client
from appproxy.pki.authority import Authority, new_id
from appproxy.pki.certificates import Role, key_to_pem, make_key, make_request
from appproxy.pki.enrolment import (
    ALPN,
    EnrolmentAnswer,
    EnrolmentFactory,
    EnrolmentFailed,
    EnrolmentRefused,
    EnrolmentRequest,
    WrongAuthority,
    enroll,
)
from appproxy.pki.enrolment_messages import (
    DEADLINE,
    MAXIMUM_MESSAGE_SIZE,
    BadMessage,
    MessageReader,
    decode_answer,
    decode_request,
    encode_answer,
    encode_refusal,
    encode_request,
    is_name,
)
from appproxy.pki.identity import Identity, NotEnrolled, load
from appproxy.pki.join import JoinToken, make_token, redeem
from appproxy.store.istore import StoreUnavailable
from appproxy.store.keys import CONNECTORS
from appproxy.transport.addresses import ListenAddress
from appproxy.transport.contexts import ServerContext, server_context
from appproxy.transport.listener import listen
from appproxy.transport.peeking import Route
from tests.pki.support import HOST, clock_now, new_folder, open_authority, result
from tests.store.support import memory_store

REQUEST = EnrolmentRequest(secret="s" * 43, csr="-----BEGIN", name="one")
ANSWER = EnrolmentAnswer(id="abc", name="one", role="connector", group="hq", certificate="C", ca="R")


class MessageTests(SynchronousTestCase):
    """The messages as bytes."""

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.integers(min_value=1, max_value=40), max_size=20))
    def test_any_split(self, sizes: list[int]) -> None:
        """A message is found whatever pieces it comes in, and only once it is whole."""
        data = encode_request(REQUEST)
        reader, start = MessageReader(), 0
        for size in [*sizes, len(data)]:
            piece, start = data[start : start + size], start + size
            message = reader.feed(piece)
            self.assertEqual(message is not None, start >= len(data))
            if message is not None:
                self.assertEqual(decode_request(message), REQUEST)
                break

    def test_round_trip(self) -> None:
        """An answer and a refusal are read as they were written."""
        self.assertEqual(decode_answer(encode_answer(ANSWER)[4:]), ANSWER)
        with self.assertRaises(EnrolmentRefused) as caught:
            decode_answer(encode_refusal("token_used")[4:])
        self.assertEqual(caught.exception.reason, "token_used")

    def test_strange_refusal(self) -> None:
        """A reason is a name, or it is not repeated on anybody's terminal."""
        for reason in ("\x1b[2J", "a" * 100, ""):
            with self.assertRaises(EnrolmentRefused) as caught:
                decode_answer(encode_refusal(reason)[4:])
            self.assertEqual(caught.exception.reason, "unavailable")

    def test_too_long(self) -> None:
        """A message that announces too much, or is followed by anything, is refused at once."""
        too_long = (MAXIMUM_MESSAGE_SIZE + 1).to_bytes(4, "big")
        for data in (too_long, b"\xff\xff\xff\xff", encode_request(REQUEST) + b"x"):
            self.assertRaises(BadMessage, MessageReader().feed, data)

    def test_bad_request(self) -> None:
        """What is no request is refused."""
        good = {"v": 1, "secret": "s", "csr": "c", "name": "one"}
        decode_request(json.dumps(good).encode())
        changes: list[dict[str, Any]] = [
            {"v": 2},
            {"secret": 1},
            {"csr": None},
            {"name": ["one"]},
            {"name": "a b"},
            {"name": "\x1b"},
            {"name": "x" * 64},
            {"more": "x"},
        ]
        for change in changes:
            self.assertRaises(BadMessage, decode_request, json.dumps(good | change).encode())
        for data in (b"", b"{", b"[]", b"null", b"\xff", b"[" * 30_000, b'{"v":1}'):
            self.assertRaises(BadMessage, decode_request, data)
            self.assertRaises(BadMessage, decode_answer, data)

    def test_names(self) -> None:
        """A name has letters, digits, dots, underscores and hyphens, and begins with none of the marks."""
        for name in ("one", "HQ-1", "a.b_c", "x" * 63, "7"):
            self.assertTrue(is_name(name))
        for name in ("", "-a", ".a", "a b", "a/b", "a\n", "é", "x" * 64):
            self.assertFalse(is_name(name))


class _Transport(StringTransport):
    """Remembers how it was ended."""

    aborted = False

    def abortConnection(self) -> None:
        """End at once."""
        self.aborted = True


class ServerTests(SynchronousTestCase):
    """The edge's side, without a network."""

    def setUp(self) -> None:
        """A server whose answers the test gives."""
        self.clock = clock_now()
        self.asked: list[EnrolmentRequest] = []
        self.answer: Deferred[EnrolmentAnswer] = Deferred()
        self.factory = EnrolmentFactory(self.redeem, self.clock)

    def redeem(self, request: EnrolmentRequest) -> Deferred[EnrolmentAnswer]:
        """Stands for the real one."""
        self.asked.append(request)
        return self.answer

    def connect(self) -> tuple[Protocol, _Transport]:
        """One more connection."""
        transport = _Transport()
        protocol = self.factory.buildProtocol(None)
        protocol.makeConnection(transport)
        return protocol, transport

    def lose(self, protocol: Protocol) -> None:
        """The connection is gone."""
        protocol.connectionLost(Failure(connectionDone.value))

    def test_answered(self) -> None:
        """A request is answered once, and then the connection is closed."""
        protocol, transport = self.connect()
        for byte in encode_request(REQUEST):
            protocol.dataReceived(bytes([byte]))
        self.assertEqual(self.asked, [REQUEST])
        self.answer.callback(ANSWER)
        self.assertEqual(transport.value(), encode_answer(ANSWER))
        self.assertTrue(transport.disconnecting)
        self.lose(protocol)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused(self) -> None:
        """A refusal is sent by its name."""
        protocol, transport = self.connect()
        protocol.dataReceived(encode_request(REQUEST))
        self.answer.errback(EnrolmentRefused("token_used"))
        self.assertEqual(transport.value(), encode_refusal("token_used"))

    def test_our_fault(self) -> None:
        """When the store is away the newcomer learns that, and no more; the log has the rest."""
        protocol, transport = self.connect()
        protocol.dataReceived(encode_request(REQUEST))
        self.answer.errback(StoreUnavailable("the disk at /secret/place is full"))
        self.assertEqual(transport.value(), encode_refusal("unavailable"))
        self.assertEqual(len(self.flushLoggedErrors(StoreUnavailable)), 1)

    def test_bad_message(self) -> None:
        """Who sends anything else is cut off, and nothing of it is logged."""
        protocol, transport = self.connect()
        with capturedLogs() as events:
            protocol.dataReceived(b"\x00\x00\x00\x06canary")
        self.assertTrue(transport.aborted)
        self.assertEqual(self.asked, [])
        self.assertNotIn("canary", repr(events))

    def test_deadline(self) -> None:
        """Who takes longer than ten seconds is cut off, however he trickles."""
        protocol, transport = self.connect()
        for _ in range(int(DEADLINE)):
            self.assertFalse(transport.aborted)
            protocol.dataReceived(b"\x00" if self.clock.seconds() % 4 == 0 else b"")
            self.clock.advance(1)
        self.assertTrue(transport.aborted)

    def test_gone(self) -> None:
        """An answer for somebody who is gone harms nobody."""
        protocol, transport = self.connect()
        protocol.dataReceived(encode_request(REQUEST))
        protocol.connected = 0
        self.lose(protocol)
        self.answer.callback(ANSWER)
        self.assertEqual(transport.value(), b"")

    def test_second_request(self) -> None:
        """What comes after the request is not looked at."""
        protocol, _ = self.connect()
        protocol.dataReceived(encode_request(REQUEST))
        protocol.dataReceived(encode_request(REQUEST))
        self.assertEqual(len(self.asked), 1)

    def test_bounded(self) -> None:
        """Only so many enrol at one time; when one is gone, another may."""
        self.patch(enrolment_module, "MAXIMUM_ENROLMENTS", 2)
        connections = [self.connect() for _ in range(3)]
        self.assertEqual([transport.aborted for _, transport in connections], [False, False, True])
        self.lose(connections[2][0])
        self.lose(connections[0][0])
        self.assertFalse(self.connect()[1].aborted)


class _Listening(Protocol):
    """A server that only takes note of what it hears."""

    def __init__(self, heard: list[bytes]) -> None:
        self._heard = heard

    def dataReceived(self, data: bytes) -> None:
        """Take note, and close."""
        self._heard.append(data)
        assert self.transport is not None
        self.transport.loseConnection()


class EnrollTests(TestCase):
    """Both sides, over TLS on this machine."""

    def setUp(self) -> None:
        """An authority, and a folder for the newcomer."""
        self.clock = clock_now()
        self.store = memory_store(self.clock)
        self.authority = open_authority(self.clock, new_folder(self.mktemp()), self.store)
        self.folder = new_folder(self.mktemp()) / "identity"
        self.heard: list[bytes] = []

    def context(
        self, authority: Authority | None = None, role: Role = "edge", host: str = HOST
    ) -> ServerContext:
        """What a server of this authority shows."""
        key = make_key()
        chain = (authority or self.authority).issue(make_request(key), role, new_id(), host_name=host)
        return server_context(chain, key_to_pem(key), minimum_version="1.3", alpn=(ALPN,))

    async def serve(
        self, context: ServerContext | None = None, build: Callable[[], Protocol] | None = None
    ) -> str:
        """
        Listen, by default as an edge does.

        @return: the address.
        """
        factory = EnrolmentFactory(lambda request: redeem(self.authority, request), self.clock)
        chosen = context or self.context()
        route = Route(chosen, lambda hello: build() if build else factory.buildProtocol(None))
        (port,) = await listen(
            reactor, ListenAddress.parse("127.0.0.1:0"), lambda hello, peer: route, cast(Any, reactor)
        )
        self.addCleanup(port.stopListening)
        return f"127.0.0.1:{cast(Any, port.getHost()).port}"

    def token(self, *addresses: str, **more: Any) -> JoinToken:
        """A connector's token for these addresses."""
        return result(make_token(self.authority, addresses=addresses, connect_host=HOST, group="hq", **more))

    def enroll(self, token: JoinToken, folder: Path | None = None, name: str = "") -> Deferred[Identity]:
        """Enrol as the command line does, in a thread beside the server."""
        return deferToThread(enroll, token, folder or self.folder, name, self.clock.seconds)

    async def fails(self, kind: type[Exception], token: JoinToken) -> str:
        """How an enrolment fails; it has to leave no identity behind, and tell no secret."""
        try:
            await self.enroll(token)
        except kind as error:
            self.assertIs(type(error), kind)
            self.assertNotIn(token.secret, str(error))
            self.assertRaises(NotEnrolled, load, self.folder)
            return str(error)
        raise AssertionError(f"{kind.__name__} not raised")

    async def test_enrolled(self) -> None:
        """With a token one becomes a connector: the identity is in its folder, and the edge knows it."""
        token = self.token(await self.serve())
        identity = await self.enroll(token, name="one")
        self.assertEqual(load(self.folder).fingerprint, identity.fingerprint)
        self.assertEqual((identity.role, identity.name, identity.group), ("connector", "one", "hq"))
        self.assertEqual((identity.addresses, identity.connect_host), (token.addresses, HOST))
        self.assertEqual(identity.ca_pem, self.authority.ca_pem)
        self.assertIsNotNone(result(self.store.get(CONNECTORS + identity.id)))

    async def test_dials_elsewhere(self) -> None:
        """One enrols at the edge and dials the relays that it names, if these are addresses at all."""
        named = ["Relay.example.com:443", "relay-2.example.com:8443"]
        factory = EnrolmentFactory(lambda request: redeem(self.authority, request, named), self.clock)
        address = await self.serve(build=lambda: factory.buildProtocol(None))
        identity = await self.enroll(self.token(address))
        self.assertEqual(identity.addresses, ("relay.example.com:443", "relay-2.example.com:8443"))
        self.assertEqual(load(self.folder).addresses, identity.addresses)

    async def test_dials_nonsense(self) -> None:
        """An edge that names something else enrols nobody."""
        factory = EnrolmentFactory(lambda request: redeem(self.authority, request, ["nowhere"]), self.clock)
        address = await self.serve(build=lambda: factory.buildProtocol(None))
        await self.fails(EnrolmentFailed, self.token(address))

    async def test_answer_lost(self) -> None:
        """If the answer is lost on the way, trying again gives the very certificate that was issued."""
        token = self.token(await self.serve())
        lost: list[EnrolmentAnswer] = []

        def lose_answer(request: EnrolmentRequest) -> Deferred[EnrolmentAnswer]:
            redeem(self.authority, request).addCallback(lost.append)
            return fail(EnrolmentRefused("unavailable"))

        losing = EnrolmentFactory(lose_answer, self.clock)
        address = await self.serve(build=lambda: losing.buildProtocol(None))
        elsewhere = JoinToken((address,), HOST, token.ca_sha256, token.role, token.secret)
        await self.fails(EnrolmentRefused, elsewhere)
        identity = await self.enroll(token)
        self.assertEqual(identity.chain_pem, lost[0].certificate.encode())
        self.assertEqual(len(result(self.store.list(CONNECTORS)).items), 1)

    async def test_used_elsewhere(self) -> None:
        """A token that another machine used is refused here."""
        token = self.token(await self.serve())
        await self.enroll(token, new_folder(self.mktemp()))
        self.assertEqual(await self.fails(EnrolmentRefused, token), "token_used")

    async def test_expired(self) -> None:
        """An expired token is refused; a new one helps."""
        address = await self.serve()
        token = self.token(address, valid_seconds=60)
        self.clock.advance(61)
        self.assertEqual(await self.fails(EnrolmentRefused, token), "token_unknown")
        await self.enroll(self.token(address))

    async def test_other_ca(self) -> None:
        """A server of another CA hears nothing at all from us, whatever names it shows."""
        stranger = open_authority(self.clock, new_folder(self.mktemp()))
        address = await self.serve(self.context(stranger), lambda: _Listening(self.heard))
        self.assertIn("not from the CA", await self.fails(WrongAuthority, self.token(address)))
        self.assertEqual(self.heard, [])

    async def test_right_root_beside_wrong_chain(self) -> None:
        """Showing the right root beside a chain that is not under it convinces nobody."""
        stranger = open_authority(self.clock, new_folder(self.mktemp()))
        key = make_key()
        chain = stranger.issue(make_request(key), "edge", new_id(), host_name=HOST)
        context = server_context(chain + self.authority.ca_pem, key_to_pem(key), alpn=(ALPN,))
        address = await self.serve(context, lambda: _Listening(self.heard))
        self.assertIn("not an edge", await self.fails(WrongAuthority, self.token(address)))
        self.assertEqual(self.heard, [])

    async def test_connector_as_server(self) -> None:
        """A connector of the same CA that plays the edge hears nothing."""
        key = make_key()
        chain = self.authority.issue(make_request(key), "connector", new_id()) + self.authority.ca_pem
        context = server_context(chain, key_to_pem(key), alpn=(ALPN,))
        address = await self.serve(context, lambda: _Listening(self.heard))
        self.assertIn("not an edge", await self.fails(WrongAuthority, self.token(address)))
        self.assertEqual(self.heard, [])

    async def test_other_host(self) -> None:
        """An edge of the same CA that is not the connect host hears nothing."""
        context = self.context(host="other.example.com")
        address = await self.serve(context, lambda: _Listening(self.heard))
        self.assertIn(HOST, await self.fails(WrongAuthority, self.token(address)))
        self.assertEqual(self.heard, [])

    async def test_expired_server(self) -> None:
        """An edge whose certificate has expired hears nothing."""
        context = self.context()
        self.clock.advance(366 * 86400)
        address = await self.serve(context, lambda: _Listening(self.heard))
        self.assertIn("valid from", await self.fails(WrongAuthority, self.token(address)))
        self.assertEqual(self.heard, [])

    async def test_next_address(self) -> None:
        """If one address does not answer, or is a stranger's, the next one is tried."""
        stranger = open_authority(self.clock, new_folder(self.mktemp()))
        wrong = await self.serve(self.context(stranger), lambda: _Listening(self.heard))
        identity = await self.enroll(self.token("127.0.0.1:1", wrong, await self.serve()))
        self.assertEqual(identity.role, "connector")
        self.assertEqual(self.heard, [])

    async def test_nobody_there(self) -> None:
        """If nobody answers, the error names each address with its reason."""
        message = await self.fails(EnrolmentFailed, self.token("127.0.0.1:1", "127.0.0.1:2"))
        self.assertIn("127.0.0.1:1: ", message)
        self.assertIn("127.0.0.1:2: ", message)
        self.assertIn("refused", message)

    async def test_no_enrolment_there(self) -> None:
        """An edge's web port that does not speak the protocol is told apart from a stranger."""
        key = make_key()
        chain = self.authority.issue(make_request(key), "edge", new_id(), host_name=HOST)
        context = server_context(chain, key_to_pem(key), alpn=(b"http/1.1",))
        message = await self.fails(EnrolmentFailed, self.token(await self.serve(context)))
        self.assertIn("TLS failed: tlsv1 alert no application protocol", message)

    async def test_closed_without_answer(self) -> None:
        """An edge that hangs up is an error, not a wait."""
        address = await self.serve(build=lambda: _Listening(self.heard))
        message = await self.fails(EnrolmentFailed, self.token(address))
        self.assertIn("without an answer", message)
        self.assertEqual(len(self.heard), 1)

    async def test_useless_certificate(self) -> None:
        """A certificate that is for another key is refused by the newcomer."""

        def other_key(request: EnrolmentRequest) -> Deferred[EnrolmentAnswer]:
            csr = make_request(make_key()).decode()
            return redeem(self.authority, EnrolmentRequest(request.secret, csr, request.name))

        factory = EnrolmentFactory(other_key, self.clock)
        address = await self.serve(build=lambda: factory.buildProtocol(None))
        message = await self.fails(EnrolmentFailed, self.token(address))
        self.assertIn("of no use", message)

    async def test_clock_is_set(self) -> None:
        """A newcomer whose clock is set while it enrols, as it may be soon after a boot, has as much time."""
        for jump in (3600, -60):
            times = iter([self.clock.seconds()])

            def now(jump: float = jump, times: Iterator[float] = times) -> float:
                return next(times, self.clock.seconds() + jump)

            token = self.token(await self.serve())
            identity = await deferToThread(enroll, token, new_folder(self.mktemp()), "", now)
            self.assertEqual(identity.role, "connector")

    async def test_deadline(self) -> None:
        """An edge that accepts and never answers is given up on."""
        self.patch(enrolment_client, "DEADLINE", 0.2)
        address = await self.serve(build=Protocol)
        message = await self.fails(EnrolmentFailed, self.token(address))
        self.assertIn("timed out", message)
