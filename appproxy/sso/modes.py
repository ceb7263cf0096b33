"""
The sign-on modes, and what the connector's exchange may ask of any of them.
"""

from __future__ import annotations

from typing import Protocol

from appproxy.httpwire.field import Fields
from appproxy.model.application import Backend, HeaderSignOn
from appproxy.model.principal import Principal
from appproxy.sso.errors import SignOnError
from appproxy.sso.headers import HeaderMode

__all__ = ["SignOn", "SignOnError", "mode"]


class SignOn(Protocol):
    """
    One application's sign-on.

    @ivar binds_connection: whether the backend knows the user by the connection,
        so that it may serve this user alone.
    @ivar owned_headers: the headers that only this mode may send, as
        L{plain_name<appproxy.httpwire.names.plain_name>} writes them.
    """

    binds_connection: bool
    owned_headers: frozenset[bytes]

    def headers(self, principal: Principal | None) -> Fields:
        """
        What is added to each request.

        @raise SignOnError: if it cannot be made for this user.
        """


class NoMode:
    """The application signs users on by itself: nothing is added."""

    binds_connection = False
    owned_headers: frozenset[bytes]

    def __init__(self) -> None:
        self.owned_headers = frozenset()

    def headers(self, principal: Principal | None) -> Fields:
        """Nothing."""
        return []


def mode(backend: Backend) -> SignOn:
    """The sign-on of one application."""
    if isinstance(backend.sso, HeaderSignOn):
        return HeaderMode(backend.sso)
    return NoMode()
