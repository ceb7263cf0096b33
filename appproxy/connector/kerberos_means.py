"""
The means of Kerberos sign-on, from the connector's settings.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Final

from appproxy.config.connector import ConnectorSettings
from appproxy.config.secrets import SecretUnavailable, read_secret
from appproxy.connector.own_account import NoAccount, own_account
from appproxy.directory.directory import Directory, open_directory
from appproxy.directory.settings import DirectoryClientSettings, ServerAddress
from appproxy.kerberos.tickets import Tickets, TicketSettings
from appproxy.kerberos.trial import Trial
from appproxy.sso.kerberos import Kerberos
from appproxy.sso.kerberos_accounts import Accounts
from appproxy.threads.pool import FairPool

TICKET_THREADS: Final = 16
"""
A new user's ticket takes some round trips to the KDC: with one 50 ms away, seventy new users a second
get theirs. More at once would not be for a KDC that is busy itself: of 48 some would miss the deadline. Each
thread has a ticket of the connector's own.
"""

SWITCH_SECONDS: Final = 0.0005
"""
So long a thread may keep Python's lock while another one waits for it: a tenth of what Python allows. A
look-up in the directory is two milliseconds of Python, and the reactor's thread, which lets go of the lock
with each call of the kernel, has to get it back.
"""


class CannotSignOn(Exception):
    """Kerberos sign-on cannot be had; the text names the setting."""


class KerberosMeans:
    """
    Everything that lives as long as the connector.

    @ivar kerberos: for the sign-on modes.
    """

    def __init__(self, settings: ConnectorSettings, reactor: Any) -> None:
        """
        @raise CannotSignOn: if what the settings name is not there, or not safe. No server is asked yet.
        """
        own = settings.kerberos
        try:
            delegator = own_account(own, "allowed_sso")
        except NoAccount as error:
            raise CannotSignOn(str(error)) from error
        self._directory: Directory = open_directory(directory_settings(settings), reactor, reactor.seconds)
        self._pool = FairPool("kerberos", TICKET_THREADS, reactor)
        sys.setswitchinterval(SWITCH_SECONDS)
        self._tickets = Tickets(
            delegator, self._pool, reactor, time.time, TicketSettings(deadline_seconds=own.deadline)
        )
        trial = Trial(delegator, self._pool, reactor, own.deadline)
        accounts = Accounts(self._directory, settings.never_impersonate, reactor.seconds, time.time)
        self.kerberos = Kerberos(
            self._directory, self._tickets, trial, accounts, own.principal, settings.allowed_spns
        )

    @property
    def tickets(self) -> Tickets:
        """For the metrics."""
        return self._tickets

    def close(self) -> None:
        """Drop every ticket, and close every connection."""
        self._tickets.close()
        self._pool.stop()
        self._directory.close()


def directory_settings(settings: ConnectorSettings) -> DirectoryClientSettings:
    """
    How the directory is asked.

    @raise CannotSignOn: if the password is not there, or not safe.
    """
    directory = settings.directory
    password = ""
    if directory.password_file is not None:
        try:
            password = read_secret(directory.password_file)
        except SecretUnavailable as error:
            raise CannotSignOn(f"directory.password_file: {error}") from error
    try:
        return DirectoryClientSettings(
            tuple(ServerAddress.parse(each) for each in directory.servers),
            directory.base,
            directory.bind,
            directory.user,
            password,
            settings.kerberos.principal,
            settings.kerberos.keytab_file,
            directory.ca_file,
            directory.timeout,
            settings.kerberos.deadline,
        )
    except ValueError as error:
        raise CannotSignOn(f"directory: {error}") from error
