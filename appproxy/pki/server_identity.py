"""
The edge's own certificate, for the connect host: from the built-in CA that it
keeps itself, renewed without a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.model.application import Connector
from appproxy.pki.authority import Authority, IssuerAway, new_id
from appproxy.pki.certificates import SERVER_USAGE, BadCertificate, fingerprint, moment, rfc3339, verify_chain
from appproxy.pki.generations import Generation
from appproxy.pki.identity import Enrolment, Identity, NotEnrolled, create_key_and_csr, load, save
from appproxy.pki.trust import root_of

CHECK_INTERVAL: Final = 3600.0
"""Seconds between two looks at the certificate, which lives for a year."""

_log = Logger()


class ServerIdentity:
    """
    Keeps the edge's identity in a folder good for the connect host.

    @ivar current: the identity, once L{start} has fired.
    @ivar former_seconds: how long the certificate before would have been good, when it was replaced;
        L{None} if the last change was none of the certificate, but of the roots that are trusted.
    """

    current: Identity
    former_seconds: float | None = None

    def __init__(self, authority: Authority, directory: Path, connect_host: str, name: str = "edge") -> None:
        self._authority = authority
        self._directory = directory
        self._connect_host = connect_host
        self._name = name
        self._callbacks: list[Callable[[Identity], None]] = []
        self._looping = LoopingCall(self._look_again)
        self._looping.clock = authority.clock

    def start(self) -> Deferred[Identity]:
        """
        Load the identity, or make it.

        @raise IssuerAway: (as a failure) if there is none that is any good and none can be made.
        @raise NotTrusted: (as a failure) if this edge is revoked.
        """
        return ensure_server_identity(
            self._authority, self._directory, self._connect_host, self._name
        ).addCallback(self._started)

    def stop(self) -> None:
        """Look no more."""
        if self._looping.running:
            self._looping.stop()

    def look(self) -> Deferred[None]:
        """Look now whether another certificate is due."""
        return self._look_again() if self._looping.running else succeed(None)

    def changed(self, callback: Callable[[Identity], None]) -> None:
        """Call back with each new identity: time for a new TLS context."""
        self._callbacks.append(callback)

    def _started(self, identity: Identity) -> Identity:
        self.current = identity
        self._looping.start(CHECK_INTERVAL, now=False)
        return identity

    def _look_again(self) -> Deferred[None]:
        looked = ensure_server_identity(self._authority, self._directory, self._connect_host, self._name)
        return looked.addCallbacks(self._looked, self._failed)

    def _looked(self, identity: Identity) -> None:
        if identity.roots != self.current.roots and identity.fingerprint == self.current.fingerprint:
            self.current, self.former_seconds = identity, None
            self._tell()
        elif identity.fingerprint != self.current.fingerprint:
            self.former_seconds = max(0.0, self.current.expires_at - self._authority.clock.seconds())
            self.current = identity
            _log.info(
                "{event}: until {expires_at}",
                event="renewed",
                expires_at=rfc3339(moment(identity.expires_at)),
            )
            self._tell()

    def _tell(self) -> None:
        for callback in self._callbacks:
            callback(self.current)

    def _failed(self, failure: Failure) -> None:
        _log.failure("the edge's certificate could not be renewed", failure, fault="operator")


def ensure_server_identity(
    authority: Authority,
    directory: Path,
    connect_host: str,
    name: str = "edge",
    generation: Generation | None = None,
    holder_id: str = "",
) -> Deferred[Identity]:
    """
    The edge's identity in a folder: as it is if it will do, renewed if it is time, or new.

    @param generation: that it is to be of, at least; the one that serves by default.
    @param holder_id: whose it is, if there is none yet; empty to make an edge known.
    @raise IssuerAway: (as a failure) if one is needed and the issuer's key is not at hand. A
        certificate that is due but still valid goes on being used.
    """
    wanted = generation or authority.serving
    return Deferred.fromCoroutine(_ensure(authority, directory, connect_host, name, wanted, holder_id))


async def _ensure(
    authority: Authority, directory: Path, connect_host: str, name: str, wanted: Generation, holder_id: str
) -> Identity:
    now = authority.clock.seconds()
    present, number = _present(authority, directory, connect_host)
    if present is not None and number >= wanted.number and not present.renewal_due(now):
        return present
    try:
        known_id = holder_id if present is None else present.id
        return await _make(authority, directory, connect_host, name, known_id or new_id(), wanted)
    except IssuerAway as error:
        if present is None:
            raise
        _log.warn(
            "{event}: the edge's certificate ends at {end} and cannot be renewed: {reason}",
            event="certificate_due",
            end=rfc3339(moment(present.expires_at)),
            reason=error,
            fault="operator",
        )
        return present


def _present(authority: Authority, directory: Path, connect_host: str) -> tuple[Identity | None, int]:
    """The identity in the folder, with its generation's number, unless it is of no use to this edge."""
    try:
        identity = load(directory)
        now = authority.clock.seconds()
        root = root_of(identity.chain, authority.roots)
        verify_chain(
            identity.chain,
            root,
            roles=["edge"],
            usage=SERVER_USAGE,
            now=now,
            host_name=connect_host,
        )
    except (NotEnrolled, BadCertificate):
        return None, 0
    if identity.roots != authority.roots:
        identity = identity.with_roots(authority.roots)
    return identity, authority.number_of(fingerprint(root))


async def _make(
    authority: Authority, directory: Path, connect_host: str, name: str, holder_id: str, of: Generation
) -> Identity:
    csr = create_key_and_csr(directory)
    chain = authority.issue(csr, "edge", holder_id, host_name=connect_host, groups=["*"], generation=of)
    now = authority.clock.seconds()
    record = Connector(name=name, role="edge", enrolled_at=rfc3339(moment(now)))
    await authority.register(holder_id, record, chain, of)
    enrolment = Enrolment(name=name, group="", addresses=(), connect_host=connect_host)
    return save(directory, chain, authority.ca_pem, enrolment, now)
