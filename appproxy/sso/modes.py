"""
The sign-on modes.
"""

from __future__ import annotations

from appproxy.httpwire.field import Fields
from appproxy.model.application import Backend, HeaderSignOn
from appproxy.model.principal import Principal
from appproxy.sso.errors import SignOnError
from appproxy.sso.headers import HeaderMode
from appproxy.sso.sign_on import SignOn

__all__ = ["NoMode", "SignOn", "SignOnError", "mode"]


class NoMode(SignOn):
    """The application signs users on by itself: nothing is added."""

    def headers(self, principal: Principal | None) -> Fields:
        """Nothing."""
        return []


def mode(backend: Backend) -> SignOn:
    """The sign-on of one application."""
    if isinstance(backend.sso, HeaderSignOn):
        return HeaderMode(backend.sso)
    return NoMode()
