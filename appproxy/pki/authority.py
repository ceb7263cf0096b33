"""
The built-in CA: keeps its keys, issues, renews, revokes.

The connectors' issuer is online: its key stands sealed in the store. The keys
of the root and of the infrastructure's issuer stand in a file of their own,
which is read only when an edge or relay needs a certificate and may be kept
off the machine in between. So whoever takes over an edge's store can make
connectors, but neither edges nor relays.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from appproxy.model.application import Connector
from appproxy.pki.certificates import (
    CONNECTORS_ISSUER,
    INFRASTRUCTURE_ISSUER,
    Role,
    certificate_to_pem,
    chain_from_pem,
    fingerprint,
    key_from_pem,
    key_to_pem,
    make_key,
    moment,
    read_request,
    rfc3339,
)
from appproxy.pki.issuing import Issuer, make_certificate, make_issuer, make_root
from appproxy.store.files import UnsafeFile, create_private, read_private
from appproxy.store.istore import Compare, Conflict, IStore, Item, Put, StoreUnavailable
from appproxy.store.keys import AUTHORITIES, CONNECTORS, decode_document, encode_document
from appproxy.store.sealing import Sealer

ATTEMPTS: Final = 5
"""How often a change is tried anew when another one came between: more than that is no coincidence."""

KEPT_FINGERPRINTS: Final = 8
"""Certificates of one holder that can still be named: more than can be valid at once."""

_ID_BYTES: Final = 8
_PRIVATE_KEY: Final = re.compile(rb"-----BEGIN PRIVATE KEY-----.*?-----END PRIVATE KEY-----\n?", re.DOTALL)

_log = Logger()


class IssuerAway(Exception):
    """The infrastructure issuer's key is not at hand, or is not the right one."""


class NotTrusted(Exception):
    """
    A holder is not to be renewed or let in.

    @ivar reason: C{unknown}, C{revoked} or C{wrong_role}.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Authority:
    """
    The CA of one installation.

    @ivar store: where it keeps what it knows.
    @ivar clock: for time, which is that of the calendar.
    @ivar root: what join tokens pin and everybody trusts.
    """

    def __init__(
        self,
        store: IStore,
        clock: IReactorTime,
        root: x509.Certificate,
        connectors: Issuer,
        infrastructure: x509.Certificate,
        infrastructure_key_file: Path,
    ) -> None:
        """Not for callers: see L{Authority.open}."""
        self.store = store
        self.clock = clock
        self.root = root
        self._connectors = connectors
        self._infrastructure = infrastructure
        self._infrastructure_key_file = infrastructure_key_file

    @classmethod
    def open(
        cls, store: IStore, sealer: Sealer, clock: IReactorTime, infrastructure_key_file: Path
    ) -> Deferred[Authority]:
        """
        Read the CA from the store; make it, and the key file if there is none, the first time.

        @raise SealBroken: (as a failure) if the store was sealed with another key.
        @raise IssuerAway: (as a failure) if a CA is to be made and the key file is unusable.
        """
        return Deferred.fromCoroutine(_open(cls, store, sealer, clock, infrastructure_key_file))

    @property
    def ca_pem(self) -> bytes:
        """The root's certificate."""
        return certificate_to_pem(self.root)

    @property
    def ca_sha256(self) -> str:
        """What join tokens pin: SHA-256 (hex) of the root's certificate."""
        return fingerprint(self.root)

    @property
    def has_infrastructure_key(self) -> bool:
        """Whether edges and relays can be given certificates now."""
        try:
            self._infrastructure_issuer()
        except IssuerAway:
            return False
        return True

    def issue(
        self, csr_pem: bytes, role: Role, holder_id: str, *, host_name: str = "", groups: Sequence[str] = ()
    ) -> bytes:
        """
        A certificate with its chain (PEM). Nothing is written to the store.

        @param host_name: the DNS name of an edge or relay that connectors dial.
        @param groups: the connector groups that an edge may open; C{"*"} is every one.
        @raise RequestRefused: if the request is flawed, or names anything.
        @raise IssuerAway: for an edge or relay, if the infrastructure's key is not at hand.
        """
        key = read_request(csr_pem)
        issuer = self._connectors if role == "connector" else self._infrastructure_issuer()
        certificate = make_certificate(
            issuer, key, role, holder_id, self.clock.seconds(), host_name=host_name, groups=groups
        )
        if role == "connector":
            return certificate_to_pem(certificate, issuer.certificate)
        # A server shows the root too: at enrolment it is found there by its pinned hash.
        return certificate_to_pem(certificate, issuer.certificate, self.root)

    def renew(self, holder_id: str, csr_pem: bytes, *, host_name: str = "") -> Deferred[bytes]:
        """
        A new certificate for a connector or relay that proved its identity by its present one.

        @param host_name: for a relay, the DNS name that connectors dial.
        @return: the chain (PEM).
        @raise NotTrusted: (as a failure) if it is unknown or revoked, or an edge: those renew themselves.
        @raise RequestRefused: (as a failure) as L{issue}.
        @raise IssuerAway: (as a failure) as L{issue}.
        """
        return Deferred.fromCoroutine(self._renew(holder_id, csr_pem, host_name))

    def revoke(self, holder_id: str) -> Deferred[None]:
        """
        Trust a connector, edge or relay no more. Whoever watches the store learns it at once.

        @raise NotTrusted: (as a failure) with C{unknown}, if there is none of this id.
        """
        return Deferred.fromCoroutine(self._revoke(holder_id))

    def register(self, holder_id: str, newcomer: Connector, chain_pem: bytes) -> Deferred[None]:
        """
        Write down a certificate that was issued otherwise than for a join token.

        @param newcomer: the holder's record, if there is none yet.
        @raise NotTrusted: (as a failure) if the holder is revoked.
        """
        return Deferred.fromCoroutine(self._register(holder_id, newcomer, chain_pem))

    async def _renew(self, holder_id: str, csr_pem: bytes, host_name: str) -> bytes:
        read_request(csr_pem)
        for _ in range(ATTEMPTS):
            item, connector = await self._holder(holder_id)
            if connector.revoked_at:
                raise NotTrusted("revoked")
            if connector.role == "edge":
                raise NotTrusted("wrong_role")
            chain = self.issue(csr_pem, connector.role, holder_id, host_name=host_name)
            if await self._replace(item, with_certificate(connector, chain)):
                _log.info("{event}: {name} has a new certificate", event="renewed", name=connector.name)
                return chain
        raise StoreUnavailable("the connector's record changes all the time")

    async def _revoke(self, holder_id: str) -> None:
        for _ in range(ATTEMPTS):
            item, connector = await self._holder(holder_id)
            now = rfc3339(moment(self.clock.seconds()))
            revoked = connector.model_copy(update={"revoked_at": connector.revoked_at or now})
            if await self._replace(item, revoked):
                _log.info("{event}: {role} {name}", event="revoked", role=connector.role, name=connector.name)
                return
        raise StoreUnavailable("the connector's record changes all the time")

    async def _register(self, holder_id: str, newcomer: Connector, chain_pem: bytes) -> None:
        for _ in range(ATTEMPTS):
            item = await self.store.get(CONNECTORS + holder_id)
            connector = newcomer if item is None else read_connector(item)
            if connector.revoked_at:
                raise NotTrusted("revoked")
            put = put_connector(holder_id, with_certificate(connector, chain_pem))
            try:
                await self.store.transact([Compare(put.key, item.revision if item else 0)], [put])
                return
            except Conflict:
                continue
        raise StoreUnavailable("the connector's record changes all the time")

    async def _holder(self, holder_id: str) -> tuple[Item, Connector]:
        try:
            item = await self.store.get(CONNECTORS + holder_id)
        except ValueError:
            item = None
        if item is None:
            raise NotTrusted("unknown")
        return item, read_connector(item)

    async def _replace(self, item: Item, connector: Connector) -> bool:
        put = put_connector(item.key.removeprefix(CONNECTORS), connector)
        try:
            await self.store.transact([Compare(item.key, item.revision)], [put])
        except Conflict:
            return False
        return True

    def _infrastructure_issuer(self) -> Issuer:
        _, key = _read_infrastructure_keys(self._infrastructure_key_file)
        if key.public_key() != self._infrastructure.public_key():
            raise IssuerAway(f"{self._infrastructure_key_file} belongs to another CA")
        return Issuer(self._infrastructure, key)


def new_id() -> str:
    """A holder's id: random, so that it says nothing and is never used again."""
    return secrets.token_hex(_ID_BYTES)


def make_infrastructure_keys(path: Path) -> None:
    """
    Make the file (0600) with the keys of root and infrastructure issuer, unless it is there.

    @raise OSError: if it cannot be written.
    """
    try:
        create_private(path, key_to_pem(make_key()) + key_to_pem(make_key()))
    except FileExistsError:
        pass


def put_connector(holder_id: str, connector: Connector) -> Put:
    """The change that writes a holder's record."""
    return Put(CONNECTORS + holder_id, encode_document(connector.model_dump(mode="json")))


def read_connector(item: Item) -> Connector:
    """
    The record of a holder.

    @raise ValueError: if it cannot be read.
    """
    return Connector.model_validate(decode_document(item.value))


def with_certificate(connector: Connector, chain_pem: bytes) -> Connector:
    """The record once a certificate was issued."""
    certificate = chain_from_pem(chain_pem)[0]
    fingerprints = (*connector.fingerprints, fingerprint(certificate))[-KEPT_FINGERPRINTS:]
    expires_at = rfc3339(certificate.not_valid_after_utc)
    return connector.model_copy(update={"fingerprints": fingerprints, "expires_at": expires_at})


async def _open(
    kind: type[Authority], store: IStore, sealer: Sealer, clock: IReactorTime, key_file: Path
) -> Authority:
    listing = await store.list(AUTHORITIES)
    if not listing.items:
        try:
            await store.transact(
                [Compare(AUTHORITIES + "1", 0)], [_new_authority(sealer, clock.seconds(), key_file)]
            )
            _log.info("{event}: a new CA was made", event="ca_created")
        except Conflict:
            pass  # another edge was first: its CA is ours
        listing = await store.list(AUTHORITIES)
    newest = max(listing.items, key=lambda item: int(item.key.removeprefix(AUTHORITIES)))
    document = decode_document(sealer.unseal(newest.key, newest.value))
    root, connectors, infrastructure = (
        chain_from_pem(document[name].encode())[0] for name in ("root", "connectors", "infrastructure")
    )
    issuer = Issuer(connectors, key_from_pem(document["connectors_key"].encode()))
    return kind(store, clock, root, issuer, infrastructure, key_file)


def _new_authority(sealer: Sealer, now: float, key_file: Path) -> Put:
    """The first CA. Of the keys only that of the connectors' issuer goes into the store."""
    try:
        make_infrastructure_keys(key_file)
    except OSError as error:
        raise IssuerAway(f"{key_file} cannot be made: {error.strerror}") from error
    root_key, infrastructure_key = _read_infrastructure_keys(key_file)
    connectors_key = make_key()
    root = make_root(root_key, now)
    connectors = make_issuer(CONNECTORS_ISSUER, connectors_key.public_key(), root, now)
    infrastructure = make_issuer(INFRASTRUCTURE_ISSUER, infrastructure_key.public_key(), root, now)
    document = {
        "root": certificate_to_pem(root.certificate).decode(),
        "connectors": certificate_to_pem(connectors).decode(),
        "connectors_key": key_to_pem(connectors_key).decode(),
        "infrastructure": certificate_to_pem(infrastructure).decode(),
    }
    name = AUTHORITIES + "1"
    return Put(name, sealer.seal(name, encode_document(document)))


def _read_infrastructure_keys(path: Path) -> tuple[ec.EllipticCurvePrivateKey, ec.EllipticCurvePrivateKey]:
    """The keys of root and infrastructure issuer, in this order in the file."""
    try:
        root, infrastructure = (key_from_pem(pem) for pem in _PRIVATE_KEY.findall(read_private(path)))
    except FileNotFoundError as error:
        raise IssuerAway(f"the infrastructure issuer's key is not at hand: {path} is missing") from error
    except UnsafeFile as error:
        raise IssuerAway(str(error)) from error
    except (OSError, ValueError) as error:
        raise IssuerAway(f"{path} does not hold the two keys of root and infrastructure issuer") from error
    return root, infrastructure
