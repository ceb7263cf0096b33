"""
From a stream's first message to a connection that its request may be sent on: the
catalog that it asks for, what this connector allows, the user's sign-on, the backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.python.failure import Failure

from appproxy.connector.backend_connection import BackendConnection
from appproxy.connector.backend_request import Admitted, BackendRequest, admit
from appproxy.connector.dial import BackendError
from appproxy.connector.served import CatalogCopy
from appproxy.connector.signing import Signer, SignOnSteps
from appproxy.connector.trails import Trail, Trails
from appproxy.model.principal import Principal
from appproxy.sso.errors import SignOnError
from appproxy.transport.wheel import Timer, TimerWheel
from appproxy.tunnel.messages import OpenMessage

CATALOG_WAIT_SECONDS: Final = 2.0
"""How long a stream waits for the CONFIG that its edge has already seen."""


class ExchangeServices:
    """
    What all exchanges of one tunnel share.

    @ivar explaining: held by the sign-on that is explained, of all tunnels'.
    """

    __slots__ = ("catalog", "explaining", "principals", "trails", "wheel")

    def __init__(
        self,
        catalog: CatalogCopy,
        principals: dict[int, Principal],
        wheel: TimerWheel,
        trails: Trails,
        explaining: DeferredLock,
    ) -> None:
        self.catalog = catalog
        self.principals = principals
        self.wheel = wheel
        self.trails = trails
        self.explaining = explaining


class Opener(Protocol):
    """Who waits for the connection."""

    def opened(self, request: BackendRequest, connection: BackendConnection) -> None:
        """Send this request on this connection."""

    def not_opened(self, reason: str, detail: str) -> None:
        """There is nothing to send, or nothing to send it on."""

    def bug(self, failure: Failure) -> None:
        """Our own mistake."""


class Opening(Signer):
    """
    The steps, for one stream: once, and again where its request has to be sent again.

    @ivar signing: the sign-on, where each request needs its own.
    """

    __slots__ = (
        "_admitted",
        "_cancelled",
        "_dialling",
        "_message",
        "_owner",
        "_request",
        "_services",
        "_timer",
        "_trail",
        "_wait",
        "signing",
    )

    def __init__(self, services: ExchangeServices, message: OpenMessage, trail: Trail, owner: Opener) -> None:
        self._services = services
        self._message = message
        self._trail = trail
        self._owner = owner
        self._cancelled = False
        self._wait: Callable[[], None] | None = None
        self._timer: Timer | None = None
        self._dialling: Deferred[BackendConnection] | None = None
        self._admitted: Admitted | None = None
        self._request: BackendRequest | None = None
        self.signing: SignOnSteps | None = None

    def begin(self) -> None:
        """Take the first step."""
        catalog, wanted = self._services.catalog, self._message.revision
        if catalog.revision >= wanted:
            self._admit()
            return
        self._wait = catalog.wait_for(wanted, self._catalog_came)
        if self._wait is None:
            self._owner.not_opened("stale", "too many streams wait for a newer catalog")
        else:
            self._timer = self._services.wheel.add(CATALOG_WAIT_SECONDS, self._catalog_is_late)

    def again(self) -> None:
        """
        Once more, after a kept connection turned out to be closed. Whoever waits for the answer has
        begun to.
        """
        request = self._request
        assert request is not None, "opened before"
        self._timer = self._services.wheel.add(request.timeout, self._is_late)
        if self.signing is None:
            self._dial(request)
        else:
            # What signs on once does not do so twice.
            self.signing.begin()

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._cancelled = True
        self._cancel_timer()
        if self._wait is not None:
            self._wait()
            self._wait = None
        signing, self.signing = self.signing, None
        if signing is not None:
            signing.cancel()
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            dialling.cancel()

    # -- the catalog

    def _catalog_came(self) -> None:
        self._wait = None
        self._cancel_timer()
        self._trail.step = self._services.trails.seconds()
        try:
            self._admit()
        except Exception:
            self._owner.bug(Failure())

    def _catalog_is_late(self) -> None:
        self._timer = None
        self._owner.not_opened("stale", f"catalog revision {self._message.revision} did not arrive")

    def _admit(self) -> None:
        services = self._services
        try:
            admitted = self._admitted = admit(self._message, services.catalog, services.principals)
        except BackendError as problem:
            self._owner.not_opened(problem.reason, problem.detail)
            return
        if admitted.attempt is None:
            self.signed_on()
        else:
            self.signing = SignOnSteps(admitted.attempt, self)
            self.signing.begin()

    # -- the sign-on

    def sign_on_begins(self) -> None:
        """For the times that the edge is told."""
        self._trail.sign_on_begins(self._services.trails.seconds())

    def signed_on(self) -> None:
        """The request can be made."""
        if self.signing is not None:
            self._trail.sign_on_done(self._services.trails.seconds())
        admitted = self._admitted
        if self._cancelled or admitted is None:
            return
        try:
            request = self._request = admitted.request()
        except BackendError as problem:
            self._owner.not_opened(problem.reason, problem.detail)
            return
        connection = request.kept_connection()
        if connection is None:
            self._dial(request)
        else:
            self._ready(request, connection)

    def not_signed_on(self, problem: SignOnError) -> None:
        """This user cannot be signed on to this application."""
        self._services.catalog.sign_on_failed(problem)
        self._owner.not_opened(problem.reason, str(problem))

    def bug(self, failure: Failure) -> None:
        """Our own mistake."""
        self._owner.bug(failure)

    # -- the backend

    def _dial(self, request: BackendRequest) -> None:
        dialling = self._dialling = request.connect()
        dialling.addCallback(self._dialled).addErrback(self._dial_failed)

    def _dialled(self, connection: BackendConnection) -> None:
        request = self._request
        assert request is not None, "it was dialled for"
        self._dialling = None
        self._trail.connected = self._trail.step = self._services.trails.seconds()
        if self._cancelled:
            request.give_back(connection, clean=True)
        else:
            self._ready(request, connection)

    def _dial_failed(self, failure: Failure) -> None:
        self._dialling = None
        problem = failure.value
        if isinstance(problem, BackendError):
            self._owner.not_opened(problem.reason, problem.detail)
        elif not self._cancelled or not failure.check(CancelledError):
            self._owner.bug(failure)

    def _ready(self, request: BackendRequest, connection: BackendConnection) -> None:
        self._cancel_timer()
        self._trail.reused = connection.used > 0
        self._owner.opened(request, connection)

    def _is_late(self) -> None:
        self._timer = None
        request = self._request
        assert request is not None, "it was waited for"
        self._owner.not_opened("backend_timeout", f"no answer within {request.timeout:g} s")

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
