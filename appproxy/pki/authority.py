"""
The built-in CA: keeps its keys, issues, renews, revokes.

The connectors' issuer is online: its key stands sealed in the store. The keys
of the root and of the infrastructure's issuer stand in a file of their own,
which is read only when an edge or relay needs a certificate and may be kept
off the machine in between. So whoever takes over an edge's store can make
connectors, but neither edges nor relays.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from appproxy.model.application import Connector
from appproxy.pki.certificates import (
    Role,
    certificate_to_pem,
    chain_from_pem,
    fingerprint,
    moment,
    read_request,
    rfc3339,
)
from appproxy.pki.generations import (
    Generation,
    IssuerAway,
    KeyFile,
    make_generation,
    make_infrastructure_keys,
    make_next,
    read_generation,
)
from appproxy.pki.issuing import make_certificate
from appproxy.pki.trust import AnnouncedRoot
from appproxy.store.istore import Compare, Conflict, IStore, Item, Put, StoreUnavailable
from appproxy.store.keys import AUTHORITIES, CONNECTORS, decode_document, encode_document
from appproxy.store.sealing import Sealer

__all__ = [
    "ATTEMPTS",
    "Authority",
    "IssuerAway",
    "NotNow",
    "NotTrusted",
    "make_infrastructure_keys",
    "new_id",
    "put_connector",
    "read_connector",
    "with_certificate",
]

ATTEMPTS: Final = 5
"""How often a change is tried anew when another one came between: more than that is no coincidence."""

KEPT_FINGERPRINTS: Final = 8
"""Certificates of one holder that can still be named: more than can be valid at once."""

_ID_BYTES: Final = 8

_log = Logger()


class NotTrusted(Exception):
    """
    A holder is not to be renewed or let in.

    @ivar reason: C{unknown}, C{revoked} or C{wrong_role}.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotNow(Exception):
    """What was asked of the CA cannot be done yet; the text says why and what to do."""


class Authority:
    """
    The CA of one installation.

    @ivar store: where it keeps what it knows.
    @ivar clock: for time, which is that of the calendar.
    @ivar generations: the oldest first; several only while the newest takes over.
    @ivar serving: the one that servers of tunnels show certificates of: the newest that every holder trusts.
    """

    def __init__(
        self,
        store: IStore,
        sealer: Sealer,
        clock: IReactorTime,
        keys: KeyFile,
        generations: Sequence[Generation],
    ) -> None:
        """Not for callers: see L{Authority.open}."""
        self.store = store
        self.clock = clock
        self.generations = tuple(generations)
        self.serving = generations[0]
        self._sealer = sealer
        self._keys = keys
        self._holders: Mapping[str, Connector] = {}
        self._callbacks: list[Callable[[], Awaitable[object]]] = []

    @classmethod
    def open(
        cls, store: IStore, sealer: Sealer, clock: IReactorTime, infrastructure_key_file: Path
    ) -> Deferred[Authority]:
        """
        Read the CA from the store; make it, and the key file if there is none, the first time.

        @raise SealBroken: (as a failure) if the store was sealed with another key.
        @raise IssuerAway: (as a failure) if a CA is to be made and the key file is unusable.
        """
        return Deferred.fromCoroutine(_open(cls, store, sealer, clock, KeyFile(infrastructure_key_file)))

    @property
    def newest(self) -> Generation:
        """The generation that newcomers and renewed connectors are of."""
        return self.generations[-1]

    @property
    def root(self) -> x509.Certificate:
        """The newest root: what join tokens pin."""
        return self.newest.root

    @property
    def roots(self) -> tuple[x509.Certificate, ...]:
        """All that are trusted, the newest last."""
        return tuple(each.root for each in self.generations)

    @property
    def ca_pem(self) -> bytes:
        """The certificates of all roots that are trusted, the newest last."""
        return certificate_to_pem(*self.roots)

    @property
    def ca_sha256(self) -> str:
        """What join tokens pin: SHA-256 (hex) of the newest root's certificate."""
        return fingerprint(self.root)

    @property
    def announced(self) -> tuple[AnnouncedRoot, ...]:
        """What holders are told; nothing before there ever was a second generation."""
        return tuple(each.announced for each in self.generations) if self.newest.number > 1 else ()

    @property
    def has_infrastructure_key(self) -> bool:
        """Whether edges and relays can be given certificates now."""
        try:
            self._keys.issuer_of(self.newest)
        except IssuerAway:
            return False
        return True

    def changed(self, callback: Callable[[], Awaitable[object]]) -> None:
        """Call back when roots come or go, or another generation serves; it is waited for."""
        self._callbacks.append(callback)

    def issue(
        self,
        csr_pem: bytes,
        role: Role,
        holder_id: str,
        *,
        host_name: str = "",
        groups: Sequence[str] = (),
        generation: Generation | None = None,
    ) -> bytes:
        """
        A certificate with its chain (PEM). Nothing is written to the store.

        @param host_name: the DNS name of an edge or relay that connectors dial.
        @param groups: the connector groups that an edge may open; C{"*"} is every one.
        @param generation: of which it is to be; the newest by default.
        @raise RequestRefused: if the request is flawed, or names anything.
        @raise IssuerAway: for an edge or relay, if the infrastructure's key is not at hand.
        """
        key = read_request(csr_pem)
        by = generation or self.newest
        issuer = by.connectors if role == "connector" else self._keys.issuer_of(by)
        certificate = make_certificate(
            issuer, key, role, holder_id, self.clock.seconds(), host_name=host_name, groups=groups
        )
        if role == "connector":
            return certificate_to_pem(certificate, issuer.certificate)
        # A server shows the root too: at enrolment it is found there by its pinned hash.
        return certificate_to_pem(certificate, issuer.certificate, by.root)

    def renew(
        self, holder_id: str, csr_pem: bytes, *, host_name: str = "", roots: Collection[str] = ()
    ) -> Deferred[bytes]:
        """
        A new certificate for a connector or relay that proved its identity by its present one.

        @param host_name: for a relay, the DNS name that connectors dial.
        @param roots: SHA-256 (hex) of those that it trusts; whoever says nothing stays with its own.
        @return: the chain (PEM).
        @raise NotTrusted: (as a failure) if it is unknown or revoked, or an edge: those renew themselves.
        @raise RequestRefused: (as a failure) as L{issue}.
        @raise IssuerAway: (as a failure) as L{issue}.
        """
        return Deferred.fromCoroutine(self._renew(holder_id, csr_pem, host_name, roots))

    def revoke(self, holder_id: str) -> Deferred[None]:
        """
        Trust a connector, edge or relay no more. Whoever watches the store learns it at once.

        @raise NotTrusted: (as a failure) with C{unknown}, if there is none of this id.
        """
        return Deferred.fromCoroutine(self._revoke(holder_id))

    def register(
        self, holder_id: str, newcomer: Connector, chain_pem: bytes, generation: Generation
    ) -> Deferred[None]:
        """
        Write down an edge's certificate, which was issued otherwise than for a join token.

        @param newcomer: the holder's record, if there is none yet.
        @param generation: that the certificate is of.
        @raise NotTrusted: (as a failure) if the holder is revoked.
        """
        return Deferred.fromCoroutine(self._register(holder_id, newcomer, chain_pem, generation))

    # -- one generation after the other

    def follow(self, holders: Mapping[str, Connector]) -> None:
        """The registry has changed: perhaps everybody trusts a newer generation now."""
        self._holders = holders
        serving = self._trusted_by_all()
        if serving.number != self.serving.number:
            self.serving = serving
            _log.info("{event}: generation {number}", event="ca_serving", number=serving.number)
            Deferred.fromCoroutine(self._tell()).addErrback(_told_in_vain)

    def number_of(self, root_hash: str) -> int:
        """
        The number of the generation with this root; 0 for one that is retired.

        @param root_hash: empty for the first one, as in records that are older than rotation.
        """
        if not root_hash:
            return 1 if self.generations[0].number == 1 else 0
        return next((each.number for each in self.generations if each.root_hash == root_hash), 0)

    async def behind(self) -> dict[str, Connector]:
        """All holders that are trusted and depend on an older generation, by id."""
        listing = await self.store.list(CONNECTORS)
        read = ((item.key.removeprefix(CONNECTORS), read_connector(item)) for item in listing.items)
        return {holder_id: each for holder_id, each in read if self._is_behind(each)}

    def _is_behind(self, holder: Connector) -> bool:
        numbers = self.number_of(holder.root), self.number_of(holder.trusts)
        return not holder.revoked_at and min(numbers) < self.newest.number

    def rotate(self) -> Deferred[None]:
        """
        Make the next generation: root, issuers, keys. From now on both are trusted.

        @raise NotNow: (as a failure) if the one before has not retired yet.
        @raise IssuerAway: (as a failure) if the root's key is not at hand.
        """
        return Deferred.fromCoroutine(self._rotate())

    def retire(self, *, force: bool = False) -> Deferred[list[str]]:
        """
        Trust the newest generation alone.

        @param force: revoke who depends on an older one, instead of refusing.
        @return: the names of those that were revoked.
        @raise NotNow: (as a failure) if there is nothing to retire, or somebody depends on it.
        """
        return Deferred.fromCoroutine(self._retire(force))

    def _trusted_by_all(self) -> Generation:
        holders = [each for each in self._holders.values() if not each.revoked_at and each.role != "edge"]
        least = min((self.number_of(each.trusts) for each in holders), default=self.newest.number)
        return next((each for each in self.generations if each.number >= least), self.newest)

    async def _tell(self) -> None:
        """Whoever has to do something about it has done it by then."""
        for callback in self._callbacks:
            await callback()

    async def _rotate(self) -> None:
        if len(self.generations) > 1:
            raise NotNow("a new CA is taking over already: `appproxy ca retire` ends that")
        made = make_next(self._keys, self.newest, self.clock.seconds())
        try:
            await self.store.transact([Compare(made.key, 0)], [made.put(self._sealer)])
        except Conflict:
            raise NotNow("a new CA was made meanwhile") from None
        self._keys.promote()
        self.generations = (*self.generations, made)
        self.serving = self._trusted_by_all()
        _log.info("{event}: generation {number}", event="ca_rotated", number=made.number)
        await self._tell()

    async def _retire(self, force: bool) -> list[str]:
        if len(self.generations) < 2:
            raise NotNow("there is only one CA: `appproxy ca rotate` makes the next one")
        behind = {key: each for key, each in (await self.behind()).items() if each.role != "edge"}
        if behind and not force:
            names = ", ".join(sorted(each.name for each in behind.values()))
            raise NotNow(f"{names} still depend on the CA before; --force revokes them")
        for holder_id in behind:
            await self._revoke(holder_id)
        self.serving = self.newest
        await self._tell()
        if await self.behind():
            raise NotNow(
                "the edge's own certificate is of the CA before: put the file of pki.infrastructure_key_file "
                "in its place, and try again"
            )
        old, newest = self.generations[:-1], self.newest
        await self.store.transact(deletes=[each.key for each in old])
        self.generations, self.serving = (newest,), newest
        try:
            self._keys.forget_old()
        except (IssuerAway, OSError) as error:
            _log.warn("{event}: {why}", event="old_key_kept", why=str(error), fault="operator")
        _log.info("{event}: generation {number} alone", event="ca_retired", number=newest.number)
        await self._tell()
        return sorted(each.name for each in behind.values())

    async def _renew(self, holder_id: str, csr_pem: bytes, host_name: str, roots: Collection[str]) -> bytes:
        read_request(csr_pem)
        for _ in range(ATTEMPTS):
            item, connector = await self._holder(holder_id)
            if connector.revoked_at:
                raise NotTrusted("revoked")
            if connector.role == "edge":
                raise NotTrusted("wrong_role")
            trusts = self._newest_of(roots, connector)
            by = trusts if connector.role == "connector" else self.serving
            chain = self.issue(csr_pem, connector.role, holder_id, host_name=host_name, generation=by)
            renewed = with_certificate(connector, chain, by, trusts)
            if await self._replace(item, renewed):
                _log.info("{event}: {name} has a new certificate", event="renewed", name=connector.name)
                return chain
        raise StoreUnavailable("the connector's record changes all the time")

    def _newest_of(self, roots: Collection[str], holder: Connector) -> Generation:
        """The newest generation that a holder trusts: it says so, or has a certificate of it."""
        known = [each for each in self.generations if each.root_hash in roots]
        if known:
            return known[-1]
        own = self.number_of(holder.trusts)
        return next((each for each in self.generations if each.number >= own), self.newest)

    async def _revoke(self, holder_id: str) -> None:
        for _ in range(ATTEMPTS):
            item, connector = await self._holder(holder_id)
            now = rfc3339(moment(self.clock.seconds()))
            revoked = connector.model_copy(update={"revoked_at": connector.revoked_at or now})
            if await self._replace(item, revoked):
                _log.info("{event}: {role} {name}", event="revoked", role=connector.role, name=connector.name)
                return
        raise StoreUnavailable("the connector's record changes all the time")

    async def _register(
        self, holder_id: str, newcomer: Connector, chain_pem: bytes, generation: Generation
    ) -> None:
        for _ in range(ATTEMPTS):
            item = await self.store.get(CONNECTORS + holder_id)
            connector = newcomer if item is None else read_connector(item)
            if connector.revoked_at:
                raise NotTrusted("revoked")
            renewed = with_certificate(connector, chain_pem, generation, self.newest)
            put = put_connector(holder_id, renewed)
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


def _told_in_vain(failure: Failure) -> None:
    _log.failure("what follows from another CA failed", failure, event="ca_failed", fault="operator")


def new_id() -> str:
    """A holder's id: random, so that it says nothing and is never used again."""
    return secrets.token_hex(_ID_BYTES)


def put_connector(holder_id: str, connector: Connector) -> Put:
    """The change that writes a holder's record."""
    return Put(CONNECTORS + holder_id, encode_document(connector.model_dump(mode="json")))


def read_connector(item: Item) -> Connector:
    """
    The record of a holder.

    @raise ValueError: if it cannot be read.
    """
    return Connector.model_validate(decode_document(item.value))


def with_certificate(
    connector: Connector, chain_pem: bytes, generation: Generation, trusts: Generation
) -> Connector:
    """
    The record once a certificate was issued.

    @param generation: that it is of.
    @param trusts: the newest one that the holder trusts.
    """
    certificate = chain_from_pem(chain_pem)[0]
    fingerprints = (*connector.fingerprints, fingerprint(certificate))[-KEPT_FINGERPRINTS:]
    expires_at = rfc3339(certificate.not_valid_after_utc)
    roots = {"root": generation.root_hash, "trusts": trusts.root_hash}
    return connector.model_copy(update={"fingerprints": fingerprints, "expires_at": expires_at, **roots})


async def _open(
    kind: type[Authority], store: IStore, sealer: Sealer, clock: IReactorTime, keys: KeyFile
) -> Authority:
    listing = await store.list(AUTHORITIES)
    if not listing.items:
        first = make_generation(keys, clock.seconds())
        try:
            await store.transact([Compare(first.key, 0)], [first.put(sealer)])
            _log.info("{event}: a new CA was made", event="ca_created")
        except Conflict:
            pass  # another edge was first: its CA is ours
        listing = await store.list(AUTHORITIES)
    generations = [read_generation(item, sealer) for item in listing.items]
    return kind(store, sealer, clock, keys, sorted(generations, key=lambda each: each.number))
