"""
The sign-on modes.
"""

from __future__ import annotations

from collections.abc import Iterable

from appproxy.httpwire.field import Fields
from appproxy.model.application import Backend
from appproxy.model.principal import Principal
from appproxy.model.sign_on import HeaderSignOn, KerberosSignOn
from appproxy.sso.errors import SignOnError
from appproxy.sso.headers import HeaderMode
from appproxy.sso.sign_on import SignOn

__all__ = ["NoMode", "SignOn", "SignOnError", "SignOns"]


class NoMode(SignOn):
    """The application signs users on by itself: nothing is added."""

    def headers(self, principal: Principal | None) -> Fields:
        """Nothing."""
        return []


class SignOns:
    """
    The sign-on of each application, as far as this connector's own file allows it.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        """
        @param allowed: modes.
        """
        self._allowed = frozenset(allowed)

    def refusal(self, backend: Backend) -> str:
        """Why this connector does not sign on to an application; empty if it does."""
        sso = backend.sso
        if sso.mode not in self._allowed:
            return f"allowed_sso in this connector's file does not list {sso.mode!r}"
        if not isinstance(sso, KerberosSignOn):
            return ""
        return "this connector has no [kerberos]"

    def of(self, backend: Backend) -> SignOn:
        """The sign-on of an application that is not refused."""
        sso = backend.sso
        if isinstance(sso, HeaderSignOn):
            return HeaderMode(sso)
        return NoMode()

    def forget(self, principal: Principal) -> None:
        """A session of this user's ended."""
