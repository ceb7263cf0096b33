"""
The steps to a ticket, one by one: for an administrator who asks which of them fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from appproxy.kerberos.causes import Cause, KerberosError, Stage
from appproxy.threads.errors import Overloaded
from appproxy.threads.pool import FairPool

if TYPE_CHECKING:
    import gssapi

    from appproxy.kerberos.delegation import Delegator
    from appproxy.kerberos.service_ticket import ServiceTicket

_T = TypeVar("_T")

_USER = "an administrator"
"""Whose turn it is among those who wait for a thread."""


class Trial:
    """
    Nothing of it is kept: what users wait for is not touched.
    """

    def __init__(
        self, delegator: Delegator, pool: FairPool, clock: IReactorTime, deadline_seconds: float
    ) -> None:
        """
        @param deadline_seconds: for each step.
        """
        self._delegator = delegator
        self._pool = pool
        self._clock = clock
        self._deadline_seconds = deadline_seconds

    def check_keytab(self) -> None:
        """@raise KerberosError: if the keytab is unsafe or has no key of the connector's account."""
        self._delegator.check_keytab()

    def own_ticket(self) -> Deferred[None]:
        """The connector's own ticket, from the keytab and a KDC."""
        return self._do(Stage.own_ticket, self._delegator.log_in)

    def user_ticket(self, account: str) -> Deferred[gssapi.Credentials]:
        """
        S4U2Self.

        @param account: C{sAMAccountName@REALM}.
        """
        return self._do(Stage.s4u2self, lambda: self._delegator.impersonate(account))

    def service_ticket(self, user: gssapi.Credentials, service: str) -> Deferred[ServiceTicket]:
        """
        S4U2Proxy.

        @param service: C{HTTP/host@REALM}.
        """
        return self._do(Stage.s4u2proxy, lambda: self._delegator.service_ticket(user, service))

    def _do(self, stage: Stage, call: Callable[[], _T]) -> Deferred[_T]:
        def late(_result: object, seconds: float) -> _T:
            raise KerberosError(stage, Cause.kdc_timeout, f"no answer in {seconds:g} s")

        def overloaded(failure: Failure) -> _T:
            failure.trap(Overloaded)
            raise KerberosError(stage, Cause.overloaded)

        waiting = self._pool.submit(self._delegator.realm, _USER, call).addErrback(overloaded)
        return waiting.addTimeout(self._deadline_seconds, self._clock, onTimeoutCancel=late)
