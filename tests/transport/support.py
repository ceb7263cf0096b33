"""
Certificates with roles, and two TLS ends joined in memory or over loopback.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

T = TypeVar("T")

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Authority:
    """A root that issues what a test asks for, good or bad."""

    def __init__(self, name: str = "root") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key.public_key(), timedelta(days=365))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.pem = _pem(builder.sign(self._key, hashes.SHA256()))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, lasts: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return x509.CertificateBuilder(
            self._name, subject, key, x509.random_serial_number(), now - timedelta(days=400), now + lasts
        )

    def issue(
        self,
        *,
        names: Iterable[str] = (),
        uris: Iterable[str] = (),
        usage: x509.ObjectIdentifier | None = None,
        lasts: timedelta = timedelta(days=30),
    ) -> tuple[bytes, bytes]:
        """A certificate and its key, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(x509.Name([]), key.public_key(), lasts)
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        alternatives += [x509.UniformResourceIdentifier(uri) for uri in uris]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return _pem(builder.sign(self._key, hashes.SHA256())), key_pem


class Recorder(Protocol):
    """
    Keeps what happens to it; echoes if told to.

    @ivar lost: why the connection ended, L{None} while it lasts.
    """

    transport: Any

    def __init__(self, echo: bool = False) -> None:
        self.received = b""
        self.lost: Failure | None = None
        self.made = False
        self._echo = echo
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Fires as soon as something happened that makes the condition true."""
        done: Deferred[None] = Deferred()
        self._waiting.append((condition, done))
        self._look()
        return done

    def until_lost(self) -> Deferred[None]:
        """Fires when the connection has ended."""
        return self.until(lambda: self.lost is not None)

    def until_received(self, size: int) -> Deferred[None]:
        """Fires when this many bytes came."""
        return self.until(lambda: len(self.received) >= size)

    def _look(self) -> None:
        waiting, self._waiting = self._waiting, []
        for condition, done in waiting:
            if condition():
                done.callback(None)
            else:
                self._waiting.append((condition, done))

    def connectionMade(self) -> None:
        self.made = True
        self._look()

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self._echo:
            self.transport.write(data)
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason
        self._look()


def run_reactor(
    reactor: EPollReactor, main: Callable[[], Coroutine[Any, Any, T]], seconds: float = 20.0
) -> T:
    """
    Run a reactor of a test's own until C{main} is done.

    @raise Exception: what C{main} failed with.
    """
    outcome: list[T | Failure] = []

    def begin() -> None:
        done: Deferred[T] = Deferred.fromCoroutine(main())
        done.addTimeout(seconds, reactor)
        # One more turn, so that connections that were just closed are gone.
        done.addBoth(outcome.append).addBoth(lambda _: deferLater(reactor, 0.01))
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    result = outcome[0]
    if isinstance(result, Failure):
        result.raiseException()
    assert not isinstance(result, Failure)
    return result
