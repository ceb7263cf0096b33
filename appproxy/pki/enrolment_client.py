"""
Enrolment over the network: the newcomer's side, waiting for its answer as a
command line may.

It checks whom it talks to, by the CA's hash in the token, before the token's
secret leaves it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography import x509
from OpenSSL import SSL

from appproxy.pki.certificates import (
    SERVER_USAGE,
    BadCertificate,
    certificate_to_pem,
    chain_from_pem,
    fingerprint,
    verify_chain,
)
from appproxy.pki.enrolment_messages import (
    ALPN,
    DEADLINE,
    BadMessage,
    EnrolmentAnswer,
    EnrolmentRequest,
    MessageReader,
    decode_answer,
    encode_request,
)
from appproxy.pki.identity import Enrolment, Identity, create_key_and_csr, save
from appproxy.pki.join_token import JoinToken
from appproxy.pki.trust import MAXIMUM_ROOTS
from appproxy.transport.addresses import HostPort
from appproxy.transport.blocking_proxy import connect_through
from appproxy.transport.connect_proxy import INSPECTED, ConnectProxy, ProxyRefused

_READ_SIZE: Final = 16 << 10


class EnrolmentFailed(Exception):
    """No address of the token would enrol us; the message says why for each."""


class WrongAuthority(EnrolmentFailed):
    """Whoever answered is not the edge that the token comes from. The secret was not sent."""


def enroll(
    token: JoinToken,
    directory: Path,
    name: str = "",
    now: Callable[[], float] = time.time,
    proxy: ConnectProxy | None = None,
) -> Identity:
    """
    Enrol, and wait for it.

    @param directory: where the identity is put. A repeated call with the same token gets the
        same certificate if the answer to an earlier one was lost.
    @param name: what to be called, unless the token says.
    @param now: the calendar's time in seconds, which certificates go by.
    @param proxy: the way out.
    @raise EnrolmentRefused: if the edge says no.
    @raise WrongAuthority: if no address is the token's edge.
    @raise EnrolmentFailed: if no address answers as it should.
    @raise OSError: if the identity cannot be written.
    """
    csr = create_key_and_csr(directory)
    request = EnrolmentRequest(secret=token.secret, csr=csr.decode(), name=name)
    answer, root = _ask_any(token, encode_request(request), now, proxy)
    try:
        addresses = tuple(str(HostPort.parse(address)) for address in answer.addresses) or token.addresses
    except ValueError as error:
        raise EnrolmentFailed(f"the edge names an address that is none: {error}") from error
    enrolment = Enrolment(answer.name, answer.group, addresses, token.connect_host)
    try:
        roots = _roots(answer, root)
        return save(directory, answer.certificate.encode(), certificate_to_pem(*roots), enrolment, now())
    except BadCertificate as error:
        raise EnrolmentFailed(f"the edge sent a certificate that is of no use: {error}") from error


def _roots(answer: EnrolmentAnswer, pinned: x509.Certificate) -> list[x509.Certificate]:
    """
    All that are to be trusted, the pinned one last: while a CA is replaced, edges and relays may
    have certificates of the one before. Whoever tells them has proved to be an edge.
    """
    others = [each for each in chain_from_pem(answer.ca.encode()) if each != pinned]
    return [*others[:MAXIMUM_ROOTS], pinned]


def _ask_any(
    token: JoinToken, request: bytes, now: Callable[[], float], proxy: ConnectProxy | None
) -> tuple[EnrolmentAnswer, x509.Certificate]:
    """The answer of the first address that gives one, and the root that the token pins."""
    failures: dict[str, Exception] = {}
    for address in token.addresses:
        try:
            return _ask(HostPort.parse(address), token, request, now, proxy)
        except (OSError, SSL.Error, BadMessage, EnrolmentFailed, ProxyRefused) as error:
            failures[address] = error
    is_wrong = any(isinstance(error, WrongAuthority) for error in failures.values())
    message = "; ".join(f"{address}: {_told(error)}" for address, error in failures.items())
    raise (WrongAuthority if is_wrong else EnrolmentFailed)(message)


def _told(error: Exception) -> str:
    if not isinstance(error, SSL.Error):
        return str(error) or type(error).__name__
    # OpenSSL's errors are lists of (library, function, reason).
    parts = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return ": ".join(["TLS failed", *(str(part[-1]) for part in parts)])


def _ask(
    address: HostPort, token: JoinToken, request: bytes, now: Callable[[], float], proxy: ConnectProxy | None
) -> tuple[EnrolmentAnswer, x509.Certificate]:
    with connect_through(proxy, address, DEADLINE) as raw:
        # Not before: a ticket for the proxy may take a while. Not the calendar's, which may be set meanwhile.
        deadline = time.monotonic() + DEADLINE
        conversation = _Conversation(raw, token.connect_host, lambda: deadline - time.monotonic())
        root = _pinned_root(conversation.handshake(), token, now())
        conversation.send(request)
        reader = MessageReader()
        while (message := reader.feed(conversation.receive())) is None:
            pass
        return decode_answer(message), root


def _pinned_root(chain: list[x509.Certificate], token: JoinToken, now: float) -> x509.Certificate:
    """
    @return: the root that the token names, once the server has been found to be an edge under it.
    @raise WrongAuthority: otherwise.
    """
    roots = [certificate for certificate in chain if fingerprint(certificate) == token.ca_sha256]
    if not roots:
        raise WrongAuthority("this is not the edge that the token comes from: " + INSPECTED)
    try:
        verify_chain(
            chain,
            roots[0],
            roles=["edge", "relay"],
            usage=SERVER_USAGE,
            now=now,
            host_name=token.connect_host,
        )
    except BadCertificate as error:
        raise WrongAuthority(f"this is not an edge: {error}") from error
    return roots[0]


class _Conversation:
    """
    TLS 1.3 over a blocking socket, within one deadline.

    OpenSSL is not asked to verify: a chain to a root that is only known by its
    hash is checked by L{_pinned_root} before anything is sent. That the server
    has its certificate's key, the handshake proves in any case (RFC 8446, section 4.4.3).
    """

    def __init__(self, raw: socket.socket, server_name: str, remaining: Callable[[], float]) -> None:
        self._raw = raw
        self._remaining = remaining
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_alpn_protos([ALPN])
        self._tls = SSL.Connection(context, None)
        self._tls.set_tlsext_host_name(server_name.encode())
        self._tls.set_connect_state()

    def handshake(self) -> list[x509.Certificate]:
        """
        @return: the certificates that the server showed, its own first; not verified.
        """
        while True:
            try:
                self._tls.do_handshake()
            except SSL.WantReadError:
                self._flush()
                self._fill()
                continue
            self._flush()
            break
        if self._tls.get_alpn_proto_negotiated() != ALPN:
            raise EnrolmentFailed("there is no enrolment at this address")
        return self._tls.get_peer_cert_chain(as_cryptography=True) or []

    def send(self, data: bytes) -> None:
        """Send all of it; a message of ours is far smaller than the kernel's buffer."""
        self._tls.sendall(data)
        self._flush()

    def receive(self) -> bytes:
        """
        @return: some bytes.
        @raise EnrolmentFailed: if there will be none.
        """
        while True:
            try:
                return self._tls.recv(_READ_SIZE)
            except SSL.WantReadError:
                self._fill()
            except SSL.ZeroReturnError:
                raise EnrolmentFailed("the edge closed the connection without an answer") from None

    def _flush(self) -> None:
        self._raw.settimeout(self._time_left())
        try:
            while True:
                self._raw.sendall(self._tls.bio_read(_READ_SIZE))
        except SSL.WantReadError:
            pass

    def _fill(self) -> None:
        self._raw.settimeout(self._time_left())
        data = self._raw.recv(_READ_SIZE)
        if not data:
            raise EnrolmentFailed("the edge closed the connection without an answer")
        self._tls.bio_write(data)

    def _time_left(self) -> float:
        remaining = self._remaining()
        if remaining <= 0:
            raise EnrolmentFailed(f"no answer within {DEADLINE:.0f} s")
        return remaining
