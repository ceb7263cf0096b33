"""
One connection over TLS, by the standard library's C{SSLObject} between two
buffers in memory.

Less can happen than in Twisted's own: the peer cannot renegotiate, so that after
the handshake a write never waits for a read. Hence nothing queues here, and
back-pressure is the affair of the transport below.
"""

from __future__ import annotations

import ssl
from typing import Any, Final

from cryptography import x509
from OpenSSL.crypto import X509
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    INegotiated,
    IProducer,
    IPushProducer,
    IReactorTime,
    ISystemHandle,
    ITransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import classImplements

from appproxy.bare import BareProtocol
from appproxy.transport.handshaking import LINGER_SECONDS, MAXIMUM_WRITE, Handshaking, verify_problem
from appproxy.transport.immediate import SendsAtOnce
from appproxy.transport.wire import READ_SIZE, Wire

RECORD_SIZE: Final = 16 * 1024
"""The most plaintext that one record holds (RFC 8446, section 5.1), so that one read empties it."""


class Sizes:
    """
    How much goes through a connection's buffers at a time, which never shrink.

    @ivar piece: bytes that are encrypted together.
    @ivar read: bytes that are read together.
    """

    def __init__(self, piece: int, read: int) -> None:
        self.piece = piece
        self.read = read


USUAL_SIZES: Final = Sizes(RECORD_SIZE, READ_SIZE)
"""For browsers and backends, of which there are thousands."""

_CARRIED: Final = READ_SIZE + 10 + 4 * 22
"""What C{READ_SIZE} bytes are in a tunnel: with a frame's header, in four records of TLS."""

TUNNEL_SIZES: Final = Sizes(MAXIMUM_WRITE + 2048, 2 * _CARRIED)
"""
For tunnels, which are few and carry everything. A frame of the largest size is written at once with its
header; and of a large body, what is read mostly ends where a record does: no part of one has to be kept.
"""

MAXIMUM_ANSWERS: Final = 1000
"""
How often a peer may make us answer by ourselves: key updates (RFC 8446, section 4.6.3), of which an honest
peer sends one in 2**24 records.
"""


class SecuredConnection(BareProtocol):
    """
    A protocol for the transport below, and a transport for the protocol above.

    @ivar disconnecting: whether the protocol above asked for the end.
    @ivar ended: told of the TLS object when a connection whose handshake succeeded is over.
    """

    disconnecting = False
    ended: Any = None

    # Whether the handshake is over and TLS still works.
    _open = False
    # Whether we announced the end.
    _closed = False
    # Whether the peer announced it: what came is all that there was.
    _complete = False
    _reason: Failure | None = None
    _linger: IDelayedCall | None = None
    _producing = False
    _answers = 0
    # Whether OpenSSL holds the first part of a record, which then is longer than what comes next.
    _in_record = True
    # Why nothing can be decrypted any more.
    _problem: ssl.SSLError | None = None

    def __init__(
        self,
        tls: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        sizes: Sizes,
        above: Handshaking,
        clock: IReactorTime,
    ) -> None:
        self._tls = tls
        # The methods of what SSLObject wraps: it only passes them on.
        within = getattr(tls, "_sslobj", tls)
        self._decrypt, self._encrypt = within.read, within.write
        self._incoming, self._outgoing = incoming, outgoing
        self._come, self._take = incoming.write, outgoing.read
        self._piece_size, self._read_size = sizes.piece, sizes.read
        self._above: Any = above
        self._receiver: BareProtocol | None = None
        self._wire: Wire | None = None
        self._clock = clock

    # -- a protocol, for the transport below

    def connectionMade(self) -> None:
        """Begin; a client has the first word."""
        if isinstance(self.transport, SendsAtOnce):
            wire = self._wire = self.transport.wire
            wire.read_size = self._read_size
        self._above.makeConnection(self)
        self._shake_hands()

    def dataReceived(self, data: bytes) -> None:
        """Decrypt what came, and hand it up record by record."""
        if not self._open:
            self._handshake_received(data)
            return
        self._come(data)
        # No more room than what came can fill: it is made anew for each piece.
        self._read(RECORD_SIZE if self._in_record else min(RECORD_SIZE, len(data)))

    def _handshake_received(self, data: bytes) -> None:
        if not self.disconnecting and self._reason is None:
            self._come(data)
            if self._shake_hands() and self._incoming.pending:
                self._read(RECORD_SIZE)

    def _read(self, size: int) -> None:
        chunk = self._next(size)
        # Asking once more only to hear that there is nothing costs more than half a read.
        rest = self._rest() if chunk and self._incoming.pending else None
        if self._outgoing.pending:
            self._answer()
        if chunk:
            self._hand_up(chunk)
        if rest is not None:
            for each in rest:
                # One by one: to join them first would copy every large body once more.
                self._hand_up(each)
        if self._problem is not None:
            self._fail(self._problem)
        elif self._complete:
            self._end()

    def _rest(self) -> list[bytes]:
        chunks = []
        while left := self._incoming.pending:
            chunk = self._next(min(RECORD_SIZE, left))
            if not chunk:
                break
            chunks.append(chunk)
        return chunks

    def _next(self, size: int) -> bytes:
        """What the next record holds; nothing if it has not come whole, or if there is none any more."""
        try:
            chunk: bytes = self._decrypt(size)
            self._in_record = False
            if not chunk:
                self._complete = True
            return chunk
        except ssl.SSLWantReadError:
            self._in_record = True
        except ssl.SSLZeroReturnError:
            self._complete = True
        except ssl.SSLError as error:
            self._problem = error
        return b""

    def _hand_up(self, chunk: bytes) -> None:
        receiver = self._receiver
        if receiver is not None and self._open:
            receiver.dataReceived(chunk)

    def hand_up_to(self, receiver: BareProtocol) -> None:
        """What comes is for this protocol alone: whatever stands in between would only pass it on."""
        self._receiver = receiver

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Whatever ends without the peer's announcement was broken off."""
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if self.ended is not None and (self._open or self._complete):
            self.ended(self._tls)
        self.connected = 0
        self._open = False
        if self._reason is not None:
            reason = self._reason
        elif not self._complete and reason.check(ConnectionDone):
            reason = Failure(ConnectionLost())
        above, self._above, self.ended = self._above, None, None
        self._receiver = self._wire = None
        above.connectionLost(reason)

    def _shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            if isinstance(error, ssl.SSLCertVerificationError):
                self._above.verdict.problem = verify_problem(error.verify_code)
            self._fail(error)
            return False
        self._open = True
        self._flush()
        handshaking = self._above
        handshaking.handshakeCompleted()
        if self._above is handshaking and handshaking.application is not None:
            # From here on it would only pass on what comes.
            self._above = handshaking.application
        return self._open

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._send(self._take())

    def _answer(self) -> None:
        """What TLS itself has to say; who makes it talk without listening would fill our memory."""
        self._answers += 1
        if self._answers > MAXIMUM_ANSWERS:
            self.abortConnection()
        else:
            self._flush()

    def _fail(self, error: ssl.SSLError) -> None:
        """TLS is broken; the peer gets the alert that says why."""
        self._open = False
        if self._reason is None:
            self._reason = Failure(error.with_traceback(None))
        self._flush()
        self.transport.loseConnection()

    def _end(self) -> None:
        """The peer announced its end: so do we, and the connection is over."""
        if self._open:
            self._announce_end()
            self.transport.loseConnection()
            # A peer that reads no more would hold what waits to leave, and whoever makes it, for ever.
            self._wait_for_end()

    # -- a transport, for the protocol above

    def write(self, data: bytes) -> None:
        """
        Encrypt and send.

        What is written before the handshake is over, or after the end, is dropped.
        """
        if self._takes_no_more() or not data:
            return
        if len(data) <= self._piece_size:
            self._encrypt(data)
            self._send(self._take())
            return
        view = memoryview(data)
        for start in range(0, len(data), MAXIMUM_WRITE):
            self._write_pieces(view[start : start + MAXIMUM_WRITE])

    def _write_pieces(self, data: memoryview) -> None:
        encrypt, take, size = self._encrypt, self._take, self._piece_size
        pieces = []
        for at in range(0, len(data), size):
            encrypt(data[at : at + size])
            pieces.append(take())
        self._send_pieces(pieces)

    def writeSequence(self, data: Any) -> None:
        """Encrypt piece by piece, and send all of them together."""
        if self._takes_no_more():
            return
        encrypt, take, size = self._encrypt, self._take, self._piece_size
        pieces = []
        for piece in data:
            for at in range(0, len(piece), size):
                encrypt(piece[at : at + size] if len(piece) > size else piece)
                pieces.append(take())
        self._send_pieces(pieces)

    def _send(self, data: bytes) -> None:
        wire = self._wire
        if wire is not None:
            wire.write(data)
        else:
            self.transport.write(data)

    def _send_pieces(self, pieces: list[bytes]) -> None:
        wire = self._wire
        if wire is not None:
            wire.write_sequence(pieces)
        else:
            self.transport.writeSequence(pieces)

    def _takes_no_more(self) -> bool:
        """Before the handshake is over, or after the end."""
        return not self._open or self._closed or (self.disconnecting and not self._producing)

    def loseConnection(self) -> None:
        """Announce the end when the producer is done, and wait for the peer's own announcement."""
        if self.disconnecting or not self.connected:
            return
        self.disconnecting = True
        if not self._open:
            # There is nobody yet to whom an end could be announced.
            self.transport.abortConnection()
        elif not self._producing:
            self._close()

    def abortConnection(self) -> None:
        """Break off: no announcement, so that the peer does not take what it has for all."""
        self.disconnecting = True
        self._open = False
        self.transport.abortConnection()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """The transport below paces it: what it queues is all that is queued."""
        if not self.connected or self._reason is not None or self._complete:
            producer.stopProducing()
            return
        self.transport.registerProducer(producer, streaming)
        self._producing = True

    def unregisterProducer(self) -> None:
        """The end may come now, if it was asked for."""
        if not self._producing:
            return
        self._producing = False
        self.transport.unregisterProducer()
        if self.disconnecting:
            self._close()

    def pauseProducing(self) -> None:
        """Read no more."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The protocol above is done."""
        self.loseConnection()

    def _close(self) -> None:
        if not self._open or self._closed:
            return
        self._announce_end()
        if self._complete:
            self.transport.loseConnection()
        self._wait_for_end()

    def _wait_for_end(self) -> None:
        if self._linger is None and self.connected:
            self._linger = self._clock.callLater(LINGER_SECONDS, self._linger_is_over)

    def _announce_end(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                # Sends ours, and looks for the peer's.
                self._tls.unwrap()
                self._complete = True
            except ssl.SSLError:
                # Mostly "want read": the peer's has not come. Whatever else there is, reading will show it.
                pass
            self._flush()

    def _linger_is_over(self) -> None:
        self._linger = None
        self.transport.abortConnection()

    # -- what else is known

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """The protocol that ALPN chose (RFC 7301)."""
        chosen = self._tls.selected_alpn_protocol()
        return None if chosen is None else chosen.encode("ascii")

    def getHandle(self) -> ssl.SSLObject:
        """The TLS object."""
        return self._tls

    def getPeerCertificate(self) -> X509 | None:
        """The certificate that the peer showed, in the form that Twisted's users expect."""
        der = self._tls.getpeercert(True)
        return None if der is None else X509.from_cryptography(x509.load_der_x509_certificate(der))

    def getHost(self) -> Any:
        """Our address."""
        return self.transport.getHost()

    def getPeer(self) -> Any:
        """The peer's."""
        return self.transport.getPeer()

    def __getattr__(self, name: str) -> Any:
        """C{setTcpNoDelay} and its like, where the transport below has them; nothing else goes past TLS."""
        if name[:6] in ("getTcp", "setTcp"):
            return getattr(self.transport, name)
        raise AttributeError(name)


classImplements(SecuredConnection, ITransport, IConsumer, IPushProducer, INegotiated, ISystemHandle)
