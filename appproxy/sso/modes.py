"""
The sign-on modes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from appproxy.httpwire.field import Fields
from appproxy.model.application import Backend
from appproxy.model.principal import Principal
from appproxy.model.sign_on import HeaderSignOn, KerberosSignOn
from appproxy.sso.errors import SignOnError
from appproxy.sso.headers import HeaderMode
from appproxy.sso.sign_on import SignOn

if TYPE_CHECKING:
    # Which most connectors have no use for: the libraries of directories are large.
    from appproxy.sso.kerberos import Kerberos

__all__ = ["NoMode", "SignOn", "SignOnError", "SignOns"]


class NoMode(SignOn):
    """The application signs users on by itself: nothing is added."""

    def headers(self, principal: Principal | None) -> Fields:
        """Nothing."""
        return []


@mypyc_attr(allow_interpreted_subclasses=True)
class SignOns:
    """
    The sign-on of each application, as far as this connector's own file allows it.

    @ivar failures: how many requests could not be signed on, by cause.
    """

    def __init__(self, allowed: Iterable[str], kerberos: Kerberos | None = None) -> None:
        """
        @param allowed: modes.
        @param kerberos: the connector's means for that mode, where it is allowed.
        """
        self._allowed = frozenset(allowed)
        self._kerberos = kerberos
        self.failures: Counter[str] = Counter()

    def refusal(self, backend: Backend) -> str:
        """Why this connector does not sign on to an application; empty if it does."""
        sso = backend.sso
        if sso.mode not in self._allowed:
            return f"allowed_sso in this connector's file does not list {sso.mode!r}"
        if not isinstance(sso, KerberosSignOn):
            return ""
        if self._kerberos is None:
            return "this connector has no [kerberos]"
        return self._kerberos.refusal(sso, backend.internal_url.host)

    def of(self, backend: Backend) -> SignOn:
        """The sign-on of an application that is not refused."""
        sso = backend.sso
        if isinstance(sso, HeaderSignOn):
            return HeaderMode(sso)
        if isinstance(sso, KerberosSignOn):
            assert self._kerberos is not None, "refused without"
            return self._kerberos.sign_on(sso, backend.internal_url.host)
        return NoMode()

    def failed(self, problem: SignOnError) -> None:
        """A request could not be signed on."""
        self.failures[problem.cause or problem.reason] += 1

    def forget(self, principal: Principal) -> None:
        """A session of this user's ended."""
        if self._kerberos is not None:
            self._kerberos.forget(principal)
