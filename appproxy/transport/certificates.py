"""
The public certificates: found in directories, chosen by server name, read
again when their files change. What is broken never replaces what works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from appproxy.transport.contexts import (
    BadCertificate,
    KeyPair,
    ServerContext,
    load_key_pair,
    server_context_of,
)
from appproxy.transport.openssl_forms import form_of

POLL_SECONDS: Final = 5.0
"""How soon a renewed file is noticed; one stat per file is all that it costs."""

CONTEXT_SECONDS: Final = 24 * 3600.0
"""
How long a context is used. It holds the keys of session tickets, and whoever
learns those could read what was resumed with them (RFC 8446, appendix F.1).
"""

RENEWED_PER_LOOK: Final = 20
"""Contexts made anew in one go: 2 ms each, in which nothing else happens."""

MAXIMUM_FILE_SIZE: Final = 1 << 20
"""A chain and a key are some 10 KiB; anything of this size is something else."""

MAXIMUM_PAIRS: Final = 10_000
"""Certificates in all directories together: far above one per application."""

Stamp = tuple[tuple[int, int, int, int], ...]
"""What tells one state of a pair's files from the next: times, size and inode of each."""


@dataclass(frozen=True)
class CertificateFiles:
    """
    Where one certificate and its key are; the same file twice where they share one.

    @ivar name: what logs and metrics call it.
    """

    name: str
    chain: Path
    key: Path

    def stamp(self) -> Stamp:
        """
        The present state of the files.

        @raise OSError: if one cannot be reached.
        """
        states = [path.stat() for path in (self.chain, self.key)]
        # The second time changes with owner and mode: a file that could not be read may be now.
        return tuple((state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino) for state in states)

    def load(self) -> KeyPair:
        """
        Read and check both.

        @raise OSError: if one cannot be read.
        @raise BadCertificate: if they are of no use.
        """
        for path in (self.chain, self.key):
            if path.stat().st_size > MAXIMUM_FILE_SIZE:
                raise BadCertificate(f"larger than {MAXIMUM_FILE_SIZE} bytes")
        chain = self.chain.read_bytes()
        return load_key_pair(chain, chain if self.key == self.chain else self.key.read_bytes())


@dataclass(frozen=True)
class LoadedCertificate:
    """
    A certificate in use.

    @ivar since: when its context was made, on the directory's clock.
    """

    files: CertificateFiles
    stamp: Stamp
    pair: KeyPair
    context: ServerContext
    since: float

    @cached_property
    def names(self) -> frozenset[str]:
        """The DNS names that it is for, in lower case."""
        return dns_names(self.pair.certificate)

    @property
    def expires_at(self) -> datetime:
        """When it ends, with time zone."""
        return self.pair.certificate.not_valid_after_utc


def dns_names(certificate: x509.Certificate) -> frozenset[str]:
    """The DNS names among a certificate's alternative names; common names are not looked at (RFC 9525)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return frozenset()
    return frozenset(name.lower() for name in names.get_values_for_type(x509.DNSName))


def find_certificates(path: Path) -> Iterator[CertificateFiles]:
    """
    The certificates of one configured path: a PEM file, one certbot folder, or a directory of both.

    @raise OSError: if the path cannot be read.
    """
    if path.is_file():
        yield CertificateFiles(path.stem, path, path)
        return
    if (path / "fullchain.pem").exists():
        yield CertificateFiles(path.name, path / "fullchain.pem", path / "privkey.pem")
        return
    for entry in sorted(path.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.suffix == ".pem" and entry.is_file():
            yield CertificateFiles(entry.stem, entry, entry)
        elif (entry / "fullchain.pem").exists():
            yield CertificateFiles(entry.name, entry / "fullchain.pem", entry / "privkey.pem")


class CertificateDirectory:
    """
    Chooses contexts by server name.

    @ivar rejected: name of each certificate (or folder) that is of no use now, with the reason.
    """

    _log = Logger()

    def __init__(
        self,
        paths: Iterable[Path | str],
        clock: IReactorTime,
        *,
        minimum_version: str = "1.2",
        prepare: Callable[[ServerContext], object] = form_of,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """
        Nothing is read before L{reload} or L{start}.

        @param clock: for the polling.
        @param prepare: raises L{BadCertificate} if a context is of no use; the TLS layer's.
        @param now: the wall clock, for what has expired.
        """
        self._paths = tuple(Path(path) for path in paths)
        self._minimum_version = minimum_version
        self._prepare = prepare
        self._now = now
        self._loaded: dict[CertificateFiles, LoadedCertificate] = {}
        self._refused: dict[CertificateFiles, Stamp | None] = {}
        self._by_name: dict[str, LoadedCertificate] = {}
        self._unreadable: dict[Path, str] = {}
        self._neutral: ServerContext | None = None
        self._clock = clock
        self._neutral_since = 0.0
        self._polling = LoopingCall(self.reload)
        self._polling.clock = clock
        self.rejected: dict[str, str] = {}

    def start(self) -> None:
        """Read everything now, then look for changes every few seconds."""
        self._polling.start(POLL_SECONDS)
        if not self._loaded:
            self._log.warn(
                "{event}: none that can be used in {folders}; no browser gets in until there is one",
                event="no_certificate",
                fault="operator",
                folders=", ".join(map(str, self._paths)),
            )

    def stop(self) -> None:
        """Look no more."""
        if self._polling.running:
            self._polling.stop()

    def reload(self) -> None:
        """Read what changed since the last time; keep the last good one of what is broken now."""
        found = self._find()
        for gone in self._loaded.keys() - found.keys():
            del self._loaded[gone]
        self._refused = {files: stamp for files, stamp in self._refused.items() if files in found}
        self.rejected = {files.name: self.rejected.get(files.name, "") for files in self._refused}
        self.rejected.update((str(path), reason) for path, reason in self._unreadable.items())
        for files in found:
            self._look_at(files)
        self._renew_contexts()
        self._by_name = _index(self._loaded.values())

    def context_for(self, name: str | None) -> ServerContext | None:
        """
        The context for a server name: of a certificate with just this name, else of one with a wildcard
        for its leftmost label.

        @param name: lower case; L{None} (the client sent none) gives a certificate that names nobody.
        @return: L{None} if there is no certificate for it.
        """
        if name is None:
            return self._neutral_context()
        loaded = self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2])
        return None if loaded is None else loaded.context

    def expiries(self) -> Mapping[str, datetime]:
        """When each certificate in use ends, by its name."""
        return {loaded.files.name: loaded.expires_at for loaded in self._loaded.values()}

    def _find(self) -> dict[CertificateFiles, None]:
        found: dict[CertificateFiles, None] = {}
        for path in self._paths:
            try:
                found.update(dict.fromkeys(find_certificates(path)))
                self._unreadable.pop(path, None)
            except OSError as error:
                self._keep_all_of(path, error, found)
        return dict(list(found.items())[:MAXIMUM_PAIRS])

    def _keep_all_of(self, path: Path, error: OSError, found: dict[CertificateFiles, None]) -> None:
        """A directory that is away for a moment takes nothing out of service."""
        kept = [files for files in self._loaded if path in (files.chain, *files.chain.parents)]
        found.update(dict.fromkeys(kept))
        reason = error.strerror or str(error)
        if path not in self._unreadable:
            self._reject(str(path), path, reason, stays=bool(kept))
        self._unreadable[path] = reason

    def _look_at(self, files: CertificateFiles) -> None:
        stamp: Stamp | None = None
        loaded = self._loaded.get(files)
        try:
            stamp = files.stamp()
            if (loaded is not None and loaded.stamp == stamp) or self._refused.get(files, ()) == stamp:
                return
            pair = files.load()
            self._loaded[files] = self._load(files, stamp, pair)
        except (OSError, BadCertificate) as error:
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
            if files not in self._refused or self._refused[files] != stamp:
                self._reject(files.name, files.chain, reason, stays=loaded is not None)
            self._refused[files] = stamp
            self.rejected[files.name] = reason
        else:
            self._refused.pop(files, None)
            self.rejected.pop(files.name, None)
            self._announce(self._loaded[files])

    def _load(self, files: CertificateFiles, stamp: Stamp, pair: KeyPair) -> LoadedCertificate:
        return LoadedCertificate(files, stamp, pair, self._make_context(pair), self._clock.seconds())

    def _renew_contexts(self) -> None:
        limit = self._clock.seconds() - CONTEXT_SECONDS
        old = [loaded for loaded in self._loaded.values() if loaded.since <= limit]
        for loaded in old[:RENEWED_PER_LOOK]:
            self._loaded[loaded.files] = self._load(loaded.files, loaded.stamp, loaded.pair)
        if self._neutral_since <= limit:
            self._neutral = None

    def _reject(self, name: str, path: Path, reason: str, *, stays: bool) -> None:
        self._log.warn(
            "{event}: {path}: {reason}; {consequence}",
            event="certificate_rejected",
            fault="operator",
            certificate=name,
            path=str(path),
            reason=reason,
            consequence="what worked before stays in use" if stays else "it is not in use",
        )

    def _announce(self, loaded: LoadedCertificate) -> None:
        expired = loaded.expires_at <= self._now()
        fields = {
            "event": "certificate_loaded",
            "certificate": loaded.files.name,
            "names": " ".join(sorted(loaded.names)),
            "expires_at": loaded.expires_at.isoformat(),
        }
        if expired or not loaded.names:
            problem = "it has expired" if expired else "it has no DNS name among its alternative names"
            self._log.warn("{event}: {certificate}, but {reason}", fault="operator", reason=problem, **fields)
            return
        self._log.info("{event}: {certificate} for {names} until {expires_at}", **fields)

    def _make_context(self, pair: KeyPair) -> ServerContext:
        context = server_context_of(pair, minimum_version=self._minimum_version)
        self._prepare(context)
        return context

    def _neutral_context(self) -> ServerContext:
        if self._neutral is None:
            self._neutral = self._make_context(neutral_pair(self._now()))
            self._neutral_since = self._clock.seconds()
        return self._neutral


def _index(certificates: Iterable[LoadedCertificate]) -> dict[str, LoadedCertificate]:
    """By name; where two are for one name, the one that lasts longer."""
    by_name: dict[str, LoadedCertificate] = {}
    for loaded in certificates:
        for name in loaded.names:
            other = by_name.get(name)
            if other is None or other.expires_at < loaded.expires_at:
                by_name[name] = loaded
    return by_name


def neutral_pair(now: datetime) -> KeyPair:
    """A self-signed certificate that names nobody, for clients that do not say whom they want."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "no server name given")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    valid = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=3650))
    return KeyPair((valid.sign(key, hashes.SHA256()),), key)
