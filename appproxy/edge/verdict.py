"""
What the gate can say of a request. Every front end acts on these, and on nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from mypy_extensions import mypyc_attr

from appproxy.edge.view import ApplicationView
from appproxy.model.principal import Principal
from appproxy.model.refusal import Refusal


@mypyc_attr(acyclic=True)
class Forward:
    """The request goes to an application."""

    __slots__ = ("principal", "view")

    def __init__(self, view: ApplicationView, principal: Principal | None) -> None:
        self.view = view
        self.principal = principal


@dataclass(frozen=True, slots=True)
class Local:
    """
    The request belongs to a page of the edge itself.

    @ivar reserved: whether the path is below C{/.appproxy/}.
    @ivar principal: the user, where there is a session.
    @ivar application_id: whose host this is, empty at our own hosts.
    """

    reserved: bool
    principal: Principal | None = None
    application_id: str = ""


@dataclass(frozen=True, slots=True)
class SignIn:
    """
    A navigation without a session: send the browser to sign in and back to here.

    @ivar origin: the host's origin as published, never what a client says.
    """

    reason: str
    application_id: str
    origin: str


@dataclass(frozen=True, slots=True)
class SignInPage:
    """A navigation that cannot be repeated after a redirect (a form's POST): a page says so."""

    reason: str
    application_id: str
    origin: str


@dataclass(frozen=True, slots=True)
class Unauthorised:
    """A script, a download or a WebSocket without a session: 401, machine-readable."""

    reason: str
    application_id: str
    origin: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """
    The request is turned away.

    @ivar neutral: say nothing of who we are (unknown hosts).
    @ivar close: the connection cannot be trusted to be in step any more.
    """

    refusal: Refusal
    application_id: str = ""
    principal: Principal | None = None
    neutral: bool = False
    close: bool = False


@dataclass(frozen=True, slots=True)
class Redirect:
    """The same address over https."""

    location: bytes


@dataclass(frozen=True, slots=True)
class Fetch:
    """First sight of a session in this process: load its record, then ask again."""

    session_id: str


Verdict = Forward | Local | SignIn | SignInPage | Unauthorised | Refuse | Redirect | Fetch
