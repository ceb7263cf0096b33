"""
The connector's account at the HTTP proxy on its way out: Negotiate (RFC 4559) in C{Proxy-Authorization}.

The proxy does not prove who it is: TLS to the edge, whose CA is pinned, goes through it unopened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from appproxy.kerberos.advice import advise
from appproxy.kerberos.causes import Cause, KerberosError, Progress
from appproxy.threads.errors import Overloaded
from appproxy.threads.pool import FairPool
from appproxy.transport.addresses import HostPort
from appproxy.transport.connect_proxy import ProxyRefused

if TYPE_CHECKING:
    from appproxy.kerberos.delegation import Delegator

_USER = "the way out"
"""Whose turn it is among those who wait for a thread: there is nobody else."""


class OutboundProxy:
    """
    Makes a token for each connection: a proxy may take none twice.
    """

    def __init__(self, delegator: Delegator, proxy: HostPort, keytab: str) -> None:
        """
        @param proxy: its host is a name.
        @param keytab: for the advice.
        """
        self._delegator = delegator
        self._proxy = proxy
        self._spn = f"HTTP/{proxy.host}"
        self._keytab = keytab

    def wait(self) -> bytes:
        """
        Ask the KDC, and block meanwhile.

        @return: the value of C{Proxy-Authorization}.
        @raise ProxyRefused: with the cause, and what to do.
        """
        try:
            return self._ask(Progress())
        except KerberosError as error:
            self._refuse(error)

    def in_thread(self, pool: FairPool, clock: IReactorTime, deadline_seconds: float) -> Deferred[bytes]:
        """
        The same without blocking. To cancel the Deferred gives up.

        @param pool: its lane is the realm.
        @param deadline_seconds: from now on.
        """
        progress = Progress()

        def late(_result: object, seconds: float) -> bytes:
            raise KerberosError(progress.stage, Cause.kdc_timeout, f"no answer in {seconds:g} s")

        waiting = pool.submit(self._delegator.realm, _USER, lambda: self._ask(progress))
        waiting.addTimeout(deadline_seconds, clock, onTimeoutCancel=late)
        return waiting.addErrback(self._failed, progress)

    def _ask(self, progress: Progress) -> bytes:
        service = f"{self._spn}@{self._delegator.realm}"
        return b"Negotiate " + self._delegator.own_token(service, progress)

    def _failed(self, failure: Failure, progress: Progress) -> bytes:
        failure.trap(KerberosError, Overloaded)
        error = failure.value
        if not isinstance(error, KerberosError):
            error = KerberosError(progress.stage, Cause.overloaded)
        self._refuse(error)

    def _refuse(self, error: KerberosError) -> NoReturn:
        account, _, realm = self._delegator.account.rpartition("@")
        advice = advise(error, account=account, user=account, spn=self._spn, realm=realm, keytab=self._keytab)
        text = f"the proxy {self._proxy} is to be shown a ticket, and there is none: {error}"
        raise ProxyRefused("proxy_authentication", f"{text}. {advice.meaning} {advice.remedy}") from None
