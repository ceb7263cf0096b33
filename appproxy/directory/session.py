"""
One connection to one domain controller, bound and ready. Everything here blocks.
"""

from __future__ import annotations

import math
import re
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final, Literal

import ldap3
from ldap3.core.exceptions import LDAPException, LDAPPackageUnavailableError

from appproxy.directory.account import Entry
from appproxy.directory.errors import DirectoryError, Reason
from appproxy.directory.settings import DirectoryClientSettings, ServerAddress

Scope = Literal["BASE", "SUBTREE"]

_SUCCESS: Final = 0
_SIZE_LIMIT_EXCEEDED: Final = 4
_NO_SUCH_OBJECT: Final = 32
_INVALID_DN_SYNTAX: Final = 34
_ENDED: Final = frozenset({1, 3, 51, 52, 80})
"""operationsError (no longer bound), timeLimitExceeded, busy, unavailable, other: others may do better."""

_REFUSALS: Final = {
    "525": "there is no such account",
    "52e": "the password is wrong",
    "530": "the account may not sign in at this hour",
    "531": "the account may not sign in from here",
    "532": "the account's password has expired",
    "533": "the account is disabled",
    "701": "the account has expired",
    "773": "the account must change its password first",
    "775": "the account is locked",
}
"""What Active Directory says in a refused bind's message, after C{data}."""

_DATA: Final = re.compile(r"\bdata ([0-9a-fA-F]{3})\b")
_SHOWN_CHARACTERS: Final = 300
"""Of what a library or a server says."""


class SessionLost(Exception):
    """The connection is of no use any more; another one may be."""

    def __init__(self, error: DirectoryError) -> None:
        self.error = error
        super().__init__(str(error))


def client_context(settings: DirectoryClientSettings) -> ssl.SSLContext:
    """
    For TLS with a checked certificate and host name.

    @raise DirectoryError: if the file of authorities cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise DirectoryError("directory_tls", f"{settings.ca_file}: {_short(error)}") from error


class _CheckedTls(ldap3.Tls):  # type: ignore[misc]
    """
    TLS in which OpenSSL itself compares host name and certificate, and the name is sent (SNI).

    @ivar failure: why there is none.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self.failure: OSError | None = None
        self._context = context
        self._host = host

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        """Called by ldap3 for LDAPS and for StartTLS; the handshake is always made here."""
        try:
            connection.socket = self._context.wrap_socket(connection.socket, server_hostname=self._host)
        except OSError as error:
            self.failure = error
            raise


class Session:
    """
    Belongs to one thread at a time, but for L{abort}.

    @ivar server: to whom.
    @ivar used: when an answer last came, on the monotonic clock; kept by whoever lends it.
    """

    used: float = 0.0

    def __init__(
        self,
        server: ServerAddress,
        settings: DirectoryClientSettings,
        context: ssl.SSLContext,
        credential_cache: str,
    ) -> None:
        """@param credential_cache: the name in memory under which Kerberos keeps tickets for the bind."""
        self.server = server
        self._tls = _CheckedTls(context, server.host)
        self._connection = ldap3.Connection(
            ldap3.Server(
                server.host,
                server.port,
                use_ssl=server.tls_first,
                tls=self._tls,
                get_info=ldap3.NONE,
                connect_timeout=settings.step_timeout_seconds,
            ),
            client_strategy=ldap3.SAFE_SYNC,
            auto_referrals=False,
            check_names=False,
            # The library hands it to setsockopt as an integer.
            receive_timeout=math.ceil(settings.step_timeout_seconds),
            **_bind_arguments(settings, credential_cache),
        )

    def open(self) -> None:
        """
        Connect, make TLS, bind.

        @raise DirectoryError: if one of these fails.
        """
        try:
            self._connect()
            self._bind()
        except BaseException:
            self.close()
            raise

    def search(
        self, base: str, query: str, scope: Scope, attributes: Sequence[str], size_limit: int = 0
    ) -> list[Entry]:
        """
        Search.

        @param size_limit: how many entries at most; 0 for all.
        @return: what is found: nothing as well if there is no such base.
        @raise SessionLost: if the connection broke, or the server cannot answer now.
        @raise DirectoryError: if the server refuses.
        """
        try:
            _, result, response, _ = self._connection.search(
                base, query, scope, attributes=list(attributes), size_limit=size_limit
            )
        except (LDAPException, OSError) as error:
            raise SessionLost(self._lost(error)) from error
        code = result["result"]
        if code in (_SUCCESS, _SIZE_LIMIT_EXCEEDED):
            return [
                Entry(each["dn"], each["raw_attributes"])
                for each in response
                if each["type"] == "searchResEntry"
            ]
        if code in (_NO_SUCH_OBJECT, _INVALID_DN_SYNTAX) and scope == "BASE":
            return []
        told = self._error("directory_refused", _told(result))
        raise SessionLost(told) if code in _ENDED else told

    def close(self) -> None:
        """Say goodbye if possible."""
        try:
            self._connection.unbind()
        except (LDAPException, OSError):
            pass

    def abort(self) -> None:
        """Let a thread that waits for an answer go on at once, with L{SessionLost}; from any thread."""
        opened = self._connection.socket
        try:
            if opened is not None:
                opened.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _connect(self) -> None:
        try:
            self._connection.open(read_server_info=False)
        except (LDAPException, OSError) as error:
            if self._tls.failure is not None:
                raise self._error(*_of_handshake(self._tls.failure)) from error
            raise self._lost(error) from error
        if not self.server.tls_first:
            self._start_tls()
        if not isinstance(self._connection.socket, ssl.SSLSocket):
            raise self._error("directory_tls", "no TLS: the server refused StartTLS")

    def _start_tls(self) -> None:
        try:
            self._connection.start_tls(read_server_info=False)
        except (LDAPException, OSError) as error:
            raise self._error(*_of_handshake(self._tls.failure or error)) from error

    def _bind(self) -> None:
        try:
            accepted, result, _, _ = self._connection.bind(read_server_info=False)
        except LDAPPackageUnavailableError as error:
            text = "a bind by keytab needs gssapi: docs/kerberos.md, What is needed"
            raise self._error("directory_refused", text) from error
        except (LDAPException, OSError) as error:
            raise self._lost(error) from error
        except Exception as error:
            # gssapi's own, which this module does not import: it may be missing.
            raise self._error("directory_refused", f"Kerberos: {_short(error)}") from error
        if not accepted:
            raise self._error("directory_refused", _told(result))

    def _lost(self, error: Exception) -> DirectoryError:
        if _timed_out(error):
            return self._error("directory_timeout", "no answer in time")
        return self._error("directory_unreachable", _short(error))

    def _error(self, reason: Reason, text: str) -> DirectoryError:
        return DirectoryError(reason, f"{self.server}: {text}")


def _bind_arguments(settings: DirectoryClientSettings, credential_cache: str) -> dict[str, Any]:
    if settings.bind == "simple":
        return {"authentication": ldap3.SIMPLE, "user": settings.user, "password": settings.password}
    return {
        "authentication": ldap3.SASL,
        "sasl_mechanism": ldap3.KERBEROS,
        "user": settings.principal,
        "cred_store": {"client_keytab": str(settings.keytab), "ccache": credential_cache},
    }


def _timed_out(error: Exception) -> bool:
    """The LDAP library makes other exceptions of it, with the text."""
    return isinstance(error, TimeoutError) or "timed out" in str(error)


def _of_handshake(error: Exception) -> tuple[Reason, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "directory_tls", f"its certificate is not accepted: {error.verify_message}"
    if _timed_out(error):
        return "directory_timeout", "no TLS handshake in time"
    return "directory_tls", f"no TLS: {_short(error)}"


def _told(result: dict[str, Any]) -> str:
    """What a server said of an operation that it refused."""
    message = str(result.get("message") or "")
    data = _DATA.search(message)
    known = _REFUSALS.get(data[1].lower()) if data else None
    return known or _short(f"{result.get('description')} {message}".strip())


def _short(error: object) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
