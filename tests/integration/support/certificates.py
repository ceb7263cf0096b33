"""
A certificate authority for one test run.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from pathlib import Path
from typing import Final

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CA_FILE: Final = "ca.pem"


class TestAuthority:
    """
    Issues server certificates below one folder.

    @ivar ca_file: what clients trust.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._authority = trustme.CA()
        self.ca_file = folder / CA_FILE
        self._authority.cert_pem.write_to_path(str(self.ca_file))

    def issue(
        self,
        *names: str,
        to: Path | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Path:
        """
        A certificate for these names.

        @param to: the file; one in the authority's folder unless given.
        @param since: when it begins; a long time ago unless given.
        @param until: when it expires; a long time from now unless given.
        @return: one PEM file with key and chain.
        """
        path = to or self._folder / f"{names[0].replace('*', 'any')}.pem"
        path.parent.mkdir(parents=True, exist_ok=True)
        issued = self._authority.issue_cert(*names, not_before=since, not_after=until)
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        path.chmod(0o600)
        return path


def key_digest_of(pem_file: Path) -> str:
    """
    What Chromium's C{--ignore-certificate-errors-spki-list} takes for the first certificate of a file.

    A chain with this key in it is trusted.
    """
    certificate = x509.load_pem_x509_certificates(pem_file.read_bytes())[0]
    public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(public).digest()).decode()
