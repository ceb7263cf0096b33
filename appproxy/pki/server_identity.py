"""
The edge's own certificate, for the connect host: from the built-in CA that it
keeps itself, renewed without a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.model.application import Connector
from appproxy.pki.authority import Authority, IssuerAway, new_id
from appproxy.pki.certificates import SERVER_USAGE, BadCertificate, moment, rfc3339, verify_chain
from appproxy.pki.identity import Enrolment, Identity, NotEnrolled, create_key_and_csr, load, save

CHECK_INTERVAL: Final = 3600.0
"""Seconds between two looks at the certificate, which lives for a year."""

_log = Logger()


class ServerIdentity:
    """
    Keeps the edge's identity in a folder good for the connect host.

    @ivar current: the identity, once L{start} has fired.
    @ivar former_seconds: how long the one before it would have been good, when it was replaced.
    """

    current: Identity
    former_seconds = 0.0

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

    def look(self) -> None:
        """Look whether the certificate is due now."""
        if self._looping.running:
            self._look_again()

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
        if identity.fingerprint != self.current.fingerprint:
            self.former_seconds = max(0.0, self.current.expires_at - self._authority.clock.seconds())
            self.current = identity
            _log.info(
                "{event}: until {expires_at}",
                event="renewed",
                expires_at=rfc3339(moment(identity.expires_at)),
            )
            for callback in self._callbacks:
                callback(identity)

    def _failed(self, failure: Failure) -> None:
        _log.failure("the edge's certificate could not be renewed", failure, fault="operator")


def ensure_server_identity(
    authority: Authority, directory: Path, connect_host: str, name: str = "edge"
) -> Deferred[Identity]:
    """
    The edge's identity in a folder: as it is if it will do, renewed if it is time, or new.

    @raise IssuerAway: (as a failure) if one is needed and the issuer's key is not at hand. A
        certificate that is due but still valid goes on being used.
    """
    return Deferred.fromCoroutine(_ensure(authority, directory, connect_host, name))


async def _ensure(authority: Authority, directory: Path, connect_host: str, name: str) -> Identity:
    now = authority.clock.seconds()
    present = _present(authority, directory, connect_host)
    if present is not None and not present.renewal_due(now):
        return present
    try:
        return await _make(authority, directory, connect_host, name, present)
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


def _present(authority: Authority, directory: Path, connect_host: str) -> Identity | None:
    """The identity in the folder, unless it is of no use to this edge."""
    try:
        identity = load(directory)
        now = authority.clock.seconds()
        verify_chain(
            identity.chain,
            authority.root,
            roles=["edge"],
            usage=SERVER_USAGE,
            now=now,
            host_name=connect_host,
        )
    except (NotEnrolled, BadCertificate):
        return None
    return identity


async def _make(
    authority: Authority, directory: Path, connect_host: str, name: str, present: Identity | None
) -> Identity:
    holder_id = new_id() if present is None else present.id
    chain = authority.issue(
        create_key_and_csr(directory), "edge", holder_id, host_name=connect_host, groups=["*"]
    )
    now = authority.clock.seconds()
    record = Connector(name=name, role="edge", enrolled_at=rfc3339(moment(now)))
    await authority.register(holder_id, record, chain)
    enrolment = Enrolment(name=name, group="", addresses=(), connect_host=connect_host)
    return save(directory, chain, authority.ca_pem, enrolment, now)
