"""
Tickets for users with the connector's own key: S4U2Self and S4U2Proxy ([MS-SFU]) by MIT's GSSAPI.

A L{Delegator} asks the KDC: its methods may block for half a minute, and belong in a thread (gssapi
lets go of Python's lock meanwhile).
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import gssapi
from gssapi.raw.misc import GSSError
from gssapi.raw.sec_contexts import init_sec_context

from appproxy.kerberos.causes import STALE_OWN_TICKET, Cause, KerberosError, Progress, Stage
from appproxy.kerberos.keytab import check_keytab
from appproxy.kerberos.library_errors import error_of, refuse
from appproxy.kerberos.negotiate import write_token
from appproxy.kerberos.one_ticket import only_ticket
from appproxy.kerberos.service_ticket import KRB5, ServiceTicket
from appproxy.kerberos.spnego import wrap
from appproxy.model.service_name import check_realm

PRINCIPAL: Final = gssapi.NameType.kerberos_principal
ONE_SIDED: Final = (gssapi.RequirementFlag.replay_detection,)
"""The other side proves nothing. Without any flag the library asks for a proof."""

REFUSED_SECONDS: Final = 300.0
"""
How long a keytab that the KDC has refused is not tried again, unless it is replaced: each try counts as a
wrong password, and enough of them lock the account.
"""

RENEWED_BEFORE_END_SECONDS: Final = 3600
"""Users' tickets end with the connector's own: with less than an hour left they would be short."""

_serial: Final = itertools.count()


@dataclass(frozen=True)
class _OwnTicket:
    """
    @ivar renew_at: by the system's clock.
    @ivar keytab: which file it was made with.
    """

    credentials: gssapi.Credentials
    renew_at: float
    keytab: tuple[int, int, int]


@dataclass(frozen=True)
class _RefusedKeytab:
    """
    @ivar keytab: which file it was.
    @ivar until: by the system's clock.
    """

    keytab: tuple[int, int, int]
    until: float
    error: KerberosError


class Delegator:
    """
    Each thread gets a ticket of the connector's own: libkrb5 locks it for a whole exchange with the
    KDC, so threads that shared one would wait for each other.

    @ivar realm: the connector's own.
    """

    def __init__(
        self, account: str, keytab: Path, now: Callable[[], float] = time.time, owner: int | None = None
    ) -> None:
        """
        @param account: C{name@REALM}; a computer's name ends in C{$}.
        @param owner: to whom else the keytab may belong (L{check_keytab}).
        @raise ValueError: if the account is no such name, or the keytab's path cannot be given to libkrb5.
        """
        name, at, realm = account.rpartition("@")
        if not name or not at or not keytab.is_absolute():
            raise ValueError("Kerberos needs an account name@REALM, and the absolute path of its keytab")
        self.account = account
        self.realm = check_realm(realm)
        self._keytab = keytab
        self._now = now
        self._owner = owner
        self._own = threading.local()
        # Of all threads: whichever was told so last.
        self._refused: _RefusedKeytab | None = None

    def check_keytab(self) -> None:
        """@raise KerberosError: if the keytab is unsafe or has no key of the account."""
        check_keytab(self._keytab, self.account, self._owner)

    def log_in(self) -> None:
        """
        Get this thread a new ticket of the connector's own, whatever was said of the keytab before.

        @raise KerberosError: if the keytab or the KDC refuses.
        """
        self._own.ticket = None
        self.check_keytab()
        mark = self._keytab_mark()
        # A private cache each time: a second acquisition would find the old ticket in the old one.
        store: dict[bytes | str, bytes | str] = {
            "client_keytab": f"FILE:{self._keytab}",
            "ccache": f"MEMORY:appproxy-{next(_serial)}",
        }
        try:
            name = gssapi.Name(self.account, PRINCIPAL)
            credentials = gssapi.Credentials(name=name, usage="initiate", mechs=[KRB5], store=store)
            lifetime = credentials.lifetime or 0
        except GSSError as error:
            refused = error_of(Stage.own_ticket, error)
            if refused.cause is Cause.keytab_stale:
                self._refused = _RefusedKeytab(mark, self._now() + REFUSED_SECONDS, refused)
            raise refused from None
        self._refused = None
        renew_at = self._now() + lifetime - min(lifetime / 2, RENEWED_BEFORE_END_SECONDS)
        self._own.ticket = _OwnTicket(credentials, renew_at, mark)

    def own_token(self, service: str, progress: Progress) -> bytes:
        """
        Authenticate the connector's own account to a service: in SPNEGO, for one connection. The service is
        not asked to prove itself.

        @param service: C{HTTP/host@REALM}.
        @raise KerberosError: at which step, and why.
        """
        try:
            return self._own_token(service, progress)
        except KerberosError as error:
            if error.stage is Stage.own_ticket or error.cause not in STALE_OWN_TICKET:
                raise
            self._own.ticket = None
            return self._own_token(service, progress)

    def _own_token(self, service: str, progress: Progress) -> bytes:
        progress.stage = Stage.own_ticket
        own = self._own_credentials()
        progress.stage = Stage.outbound_proxy
        try:
            begun = init_sec_context(gssapi.Name(service, PRINCIPAL), own, mech=KRB5, flags=ONE_SIDED)
        except GSSError as error:
            refuse(Stage.outbound_proxy, error)
        return write_token(wrap(begun.token or b""))

    def impersonate(self, principal: str) -> gssapi.Credentials:
        """
        S4U2Self: a ticket of this user's to the connector itself.

        @param principal: the account's C{sAMAccountName@REALM}
            (L{account_principal<appproxy.kerberos.names.account_principal>}).
        @raise KerberosError: if the connector gets no ticket of its own, or none for this user.
        """
        credentials = self._own_credentials()
        try:
            return credentials.impersonate(gssapi.Name(principal, PRINCIPAL), usage="initiate", mechs=[KRB5])
        except GSSError as error:
            refuse(Stage.s4u2self, error)

    def service_ticket(self, user: gssapi.Credentials, service: str) -> ServiceTicket:
        """
        S4U2Proxy: that user's ticket to an application.

        @param user: of L{impersonate}; it belongs to the result from now on.
        @param service: C{HTTP/host@REALM}.
        @raise KerberosError: if the KDC refuses.
        """
        try:
            # Read by the mechanism once: any other name it reads again at each step of each request.
            name = gssapi.Name(service, PRINCIPAL).canonicalize(KRB5)
            ticket = ServiceTicket(user, name, 0.0)
            # The token goes nowhere: it is made so that the KDC is asked now, and for the ticket's end.
            begun = ticket.step(None, None)
        except GSSError as error:
            refuse(Stage.s4u2proxy, error)
        alone = _alone(user, service)
        return ServiceTicket(alone or user, name, self._now() + begun.lifetime, alone is not None)

    def ticket(self, principal: str, service: str, progress: Progress) -> ServiceTicket:
        """
        All steps; once more with a new ticket of the connector's own where that can help.

        @raise KerberosError: at which step, and why.
        """
        try:
            return self._ticket(principal, service, progress)
        except KerberosError as error:
            if error.stage is Stage.own_ticket or error.cause not in STALE_OWN_TICKET:
                raise
            self._own.ticket = None
            return self._ticket(principal, service, progress)

    def _ticket(self, principal: str, service: str, progress: Progress) -> ServiceTicket:
        progress.stage = Stage.own_ticket
        self._own_credentials()
        progress.stage = Stage.s4u2self
        user = self.impersonate(principal)
        progress.stage = Stage.s4u2proxy
        return self.service_ticket(user, service)

    def _own_credentials(self) -> gssapi.Credentials:
        own: _OwnTicket | None = getattr(self._own, "ticket", None)
        if own is None or self._now() >= own.renew_at or own.keytab != self._keytab_mark():
            self._check_refused()
            self.log_in()
        ticket: _OwnTicket = self._own.ticket
        return ticket.credentials

    def _check_refused(self) -> None:
        refused = self._refused
        if refused is not None and self._now() < refused.until and refused.keytab == self._keytab_mark():
            error = refused.error
            raise KerberosError(error.stage, error.cause, error.detail)

    def _keytab_mark(self) -> tuple[int, int, int]:
        """Another one when the keytab was replaced; all zero while there is none."""
        try:
            status = os.stat(self._keytab)
        except OSError:
            return 0, 0, 0
        return status.st_dev, status.st_ino, status.st_mtime_ns


def _alone(user: gssapi.Credentials, service: str) -> gssapi.Credentials | None:
    """
    A user's credentials with nothing but the ticket to a service; L{None} where the library writes them in
    another form.
    """
    try:
        return gssapi.Credentials(token=only_ticket(user.export(), service))
    except (ValueError, GSSError, NotImplementedError):
        return None
