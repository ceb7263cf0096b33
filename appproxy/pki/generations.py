"""
The CA's generations: a root with its issuers each, as the store and the file of the infrastructure's
keys have them. There is one, but for the time in which a new one takes over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from appproxy.pki.certificates import (
    CONNECTORS_ISSUER,
    INFRASTRUCTURE_ISSUER,
    certificate_to_pem,
    chain_from_pem,
    fingerprint,
    key_from_pem,
    key_to_pem,
    make_key,
)
from appproxy.pki.issuing import Issuer, make_issuer, make_link, make_root
from appproxy.pki.trust import AnnouncedRoot
from appproxy.store.files import UnsafeFile, create_private, read_private, sync_directory, write_private
from appproxy.store.istore import Item, Put
from appproxy.store.keys import AUTHORITIES, decode_document, encode_document
from appproxy.store.sealing import Sealer

_PRIVATE_KEY: Final = re.compile(rb"-----BEGIN PRIVATE KEY-----.*?-----END PRIVATE KEY-----\n?", re.DOTALL)
_NEXT: Final = ".next"
"""What the name of the new keys' file ends with until the store has the generation that they belong to."""


class IssuerAway(Exception):
    """The infrastructure issuer's key is not at hand, or is not the right one."""


@dataclass(frozen=True)
class Generation:
    """
    @ivar number: by which they follow one another.
    @ivar connectors: the issuer of the connectors, with its key.
    @ivar infrastructure: the issuer of edges and relays; its key stands in a file.
    @ivar link: see L{AnnouncedRoot}.
    """

    number: int
    root: x509.Certificate
    connectors: Issuer
    infrastructure: x509.Certificate
    link: x509.Certificate | None = None

    @property
    def root_hash(self) -> str:
        """SHA-256 (hex) of the root."""
        return fingerprint(self.root)

    @property
    def announced(self) -> AnnouncedRoot:
        """As holders are told."""
        return AnnouncedRoot(self.root, self.link)

    @property
    def key(self) -> str:
        """Of the store."""
        return f"{AUTHORITIES}{self.number}"

    def put(self, sealer: Sealer) -> Put:
        """The change that writes it. Of the keys only that of the connectors' issuer goes into the store."""
        document = {
            "root": certificate_to_pem(self.root).decode(),
            "connectors": certificate_to_pem(self.connectors.certificate).decode(),
            "connectors_key": key_to_pem(self.connectors.key).decode(),
            "infrastructure": certificate_to_pem(self.infrastructure).decode(),
        }
        if self.link is not None:
            document["link"] = certificate_to_pem(self.link).decode()
        return Put(self.key, sealer.seal(self.key, encode_document(document)))


def read_generation(item: Item, sealer: Sealer) -> Generation:
    """
    The reverse of L{Generation.put}.

    @raise SealBroken: if the store was sealed with another key.
    """
    document = decode_document(sealer.unseal(item.key, item.value))
    root, connectors, infrastructure = (
        chain_from_pem(document[name].encode())[0] for name in ("root", "connectors", "infrastructure")
    )
    link = document.get("link")
    return Generation(
        int(item.key.removeprefix(AUTHORITIES)),
        root,
        Issuer(connectors, key_from_pem(document["connectors_key"].encode())),
        infrastructure,
        None if link is None else chain_from_pem(link.encode())[0],
    )


def make_generation(keys: KeyFile, now: float) -> Generation:
    """
    The first one.

    @raise IssuerAway: if the file of keys is unusable.
    """
    return _make(1, keys.make(), now)


def make_next(keys: KeyFile, old: Generation, now: float) -> Generation:
    """
    The one after this, for which the old root vouches. Its keys wait until L{KeyFile.promote}.

    @raise IssuerAway: if the old root's key is not at hand, or new ones cannot be written.
    """
    old_keys = keys.read()
    if old_keys[0].public_key() != old.root.public_key():
        raise IssuerAway(f"{keys.path} does not hold the key of the present root")
    new_keys = keys.make_next(keep=old_keys[1])
    return _make(old.number + 1, new_keys, now, Issuer(old.root, old_keys[0]))


def _make(
    number: int, keys: Sequence[ec.EllipticCurvePrivateKey], now: float, old: Issuer | None = None
) -> Generation:
    connectors_key = make_key()
    root = make_root(keys[0], now)
    connectors = make_issuer(CONNECTORS_ISSUER, connectors_key.public_key(), root, now)
    infrastructure = make_issuer(INFRASTRUCTURE_ISSUER, keys[1].public_key(), root, now)
    link = None if old is None else make_link(root.certificate, old, now)
    return Generation(number, root.certificate, Issuer(connectors, connectors_key), infrastructure, link)


class KeyFile:
    """
    The keys of the root and of the infrastructure's issuer, in this order; while a new generation takes
    over, that of the issuer before as well. It may be kept off the machine.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next = path.with_name(path.name + _NEXT)

    def issuer_of(self, generation: Generation) -> Issuer:
        """
        The infrastructure's issuer of a generation.

        @raise IssuerAway: if its key is not at hand.
        """
        certificate = generation.infrastructure
        for key in self.read()[1:]:
            if key.public_key() == certificate.public_key():
                return Issuer(certificate, key)
        if self._next.exists():
            # A crash came between the store's change and the file's.
            for key in _read(self._next)[1:]:
                if key.public_key() == certificate.public_key():
                    self.promote()
                    return Issuer(certificate, key)
        raise IssuerAway(f"{self.path} belongs to another CA")

    def read(self) -> list[ec.EllipticCurvePrivateKey]:
        """
        All keys.

        @raise IssuerAway: if it is not there, or not what it should be.
        """
        return _read(self.path)

    def make(self) -> list[ec.EllipticCurvePrivateKey]:
        """
        Make the file (0600), unless it is there, and read it.

        @raise IssuerAway: if it cannot be written.
        """
        try:
            make_infrastructure_keys(self.path)
        except OSError as error:
            raise IssuerAway(f"{self.path} cannot be made: {error.strerror}") from error
        return self.read()

    def make_next(self, keep: ec.EllipticCurvePrivateKey) -> list[ec.EllipticCurvePrivateKey]:
        """
        Make new keys, beside those that are in use.

        @param keep: of the issuer that is replaced, which edges and relays need a while yet.
        @raise IssuerAway: if they cannot be written.
        """
        keys = [make_key(), make_key(), keep]
        try:
            write_private(self._next, b"".join(map(key_to_pem, keys)))
        except OSError as error:
            raise IssuerAway(f"{self._next} cannot be made: {error.strerror}") from error
        return keys

    def promote(self) -> None:
        """
        Put the new keys in the place of the old ones.

        @raise OSError: if that is not possible.
        """
        os.replace(self._next, self.path)
        sync_directory(self.path.parent)

    def forget_old(self) -> None:
        """
        Keep the newest two alone.

        @raise IssuerAway: if the file is not at hand.
        @raise OSError: if it cannot be written.
        """
        write_private(self.path, b"".join(map(key_to_pem, self.read()[:2])))


def make_infrastructure_keys(path: Path) -> None:
    """
    Make the file (0600) with the keys of root and infrastructure issuer, unless it is there.

    @raise OSError: if it cannot be written.
    """
    try:
        create_private(path, key_to_pem(make_key()) + key_to_pem(make_key()))
    except FileExistsError:
        pass


def _read(path: Path) -> list[ec.EllipticCurvePrivateKey]:
    try:
        keys = [key_from_pem(pem) for pem in _PRIVATE_KEY.findall(read_private(path))]
    except FileNotFoundError as error:
        raise IssuerAway(f"the infrastructure issuer's key is not at hand: {path} is missing") from error
    except UnsafeFile as error:
        raise IssuerAway(str(error)) from error
    except (OSError, ValueError) as error:
        raise IssuerAway(f"{path} does not hold the two keys of root and infrastructure issuer") from error
    if not 2 <= len(keys) <= 3:
        raise IssuerAway(f"{path} does not hold the two keys of root and infrastructure issuer")
    return keys
