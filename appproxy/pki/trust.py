"""
How a holder comes to trust another root: the old one vouches for the new one.

Edges tell which roots there are (C{docs/tunnel.md}, section 15). A tunnel alone is no reason to believe
that: whoever took over an edge or relay could otherwise plant a root of their own, which would outlive the
certificate that they stole. So each root comes with a link: its key, certified by the root before it
(RFC 4210, section 4.4). The keys of roots are kept off the machines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from appproxy.pki.certificates import (
    BadCertificate,
    certificate_to_pem,
    chain_from_pem,
    is_authority,
    is_issued_by,
    is_valid_at,
)

MAXIMUM_ROOTS: Final = 8
"""Two are usual while one takes over from the other; nobody rotates faster than connectors follow."""


@dataclass(frozen=True)
class AnnouncedRoot:
    """
    @ivar link: the root's key certified by the root before it; L{None} for the first one.
    """

    root: x509.Certificate
    link: x509.Certificate | None = None

    def as_dict(self) -> dict[str, str]:
        """As it is told, in PEM."""
        link = "" if self.link is None else certificate_to_pem(self.link).decode()
        return {"root": certificate_to_pem(self.root).decode(), "link": link}


def read_announced(plain: Any) -> tuple[AnnouncedRoot, ...]:
    """
    What was told, the oldest root first.

    @param plain: a list of L{AnnouncedRoot.as_dict}; L{None} if nothing was told.
    @raise ValueError: if it is not what an edge sends.
    """
    if plain is None:
        return ()
    if not isinstance(plain, list) or len(plain) > MAXIMUM_ROOTS:
        raise ValueError("not a list of roots")
    return tuple(map(_read_one, plain))


def _read_one(plain: Any) -> AnnouncedRoot:
    if not isinstance(plain, Mapping) or not isinstance(plain.get("root"), str):
        raise ValueError("not a root")
    link = plain.get("link") or None
    if link is not None and not isinstance(link, str):
        raise ValueError("not a link")
    return AnnouncedRoot(_certificate(plain["root"]), None if link is None else _certificate(link))


def _certificate(pem: str) -> x509.Certificate:
    return chain_from_pem(pem.encode("utf-8", "surrogatepass"))[0]


def follow_roots(
    trusted: Sequence[x509.Certificate], announced: Iterable[AnnouncedRoot], now: float
) -> tuple[x509.Certificate, ...]:
    """
    The roots to trust from now on: of those that are announced, the ones that are trusted
    already, and the ones that these vouch for.

    @param announced: the oldest first.
    @return: in the order in which they were announced; none if all are strangers, which nobody should follow.
    """
    known = list(trusted)
    followed = []
    for each in announced:
        if each.root in known or _is_vouched_for(each, known, now):
            known.append(each.root)
            followed.append(each.root)
    return tuple(followed)


def _is_vouched_for(announced: AnnouncedRoot, trusted: Iterable[x509.Certificate], now: float) -> bool:
    root, link = announced.root, announced.link
    if link is None or _key(link) != _key(root):
        return False
    good = all(is_authority(each) and is_valid_at(each, now) for each in (root, link))
    # The root signed its issuers as well, and their keys stand on machines: those have other names.
    return (
        good
        and is_issued_by(root, root)
        and any(is_issued_by(link, old) and link.subject == old.subject for old in trusted)
    )


def _key(certificate: x509.Certificate) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return certificate.public_key().public_bytes(serialization.Encoding.DER, form)


def root_of(chain: Sequence[x509.Certificate], roots: Iterable[x509.Certificate]) -> x509.Certificate:
    """
    The root under which a certificate was issued.

    @raise BadCertificate: if it is none of these.
    """
    for root in roots:
        if any(is_issued_by(chain[0], each) and is_issued_by(each, root) for each in chain[1:]):
            return root
    raise BadCertificate("the certificate was not issued under our CA")
