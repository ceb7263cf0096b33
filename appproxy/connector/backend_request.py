"""
What a stream asks of a backend, and whether this connector may ask it at all:
decided before any backend is spoken to.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from appproxy.connector.backend_connection import AnswerListener, BackendConnection, Owner
from appproxy.connector.dial import BackendError
from appproxy.connector.pool import SHARED
from appproxy.connector.request_head import UnfitHead, request_head
from appproxy.connector.served import CatalogCopy, Served
from appproxy.httpwire.authentication import AUTHORIZATION, binds_connection
from appproxy.httpwire.block import Blocks
from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.field import Fields
from appproxy.httpwire.heads import NO_BODY, SAFE_METHODS, ResponseHead
from appproxy.httpwire.rules import rebuild_response
from appproxy.httpwire.wire_heads import pack_response, unpack_request
from appproxy.httpwire.writer import Framer
from appproxy.model.principal import Principal
from appproxy.sso.errors import SignOnError
from appproxy.tunnel.messages import OpenMessage


class BackendRequest:
    """
    One request as its backend gets it, and what of that its answer depends on.

    @ivar method: as sent.
    @ivar head: its bytes.
    @ivar upgrade: the token that it asks for, if it does.
    @ivar timeout: how long its backend may be silent, in seconds.
    """

    __slots__ = ("_binds", "_framer", "_key", "_message", "_served", "head", "method", "timeout", "upgrade")

    def __init__(self, served: Served, signed_on: Fields, message: OpenMessage) -> None:
        """
        @param signed_on: the headers that sign the user on.
        @raise BadMessage: for a head that nobody may send.
        @raise UnfitHead: for a head that no edge of ours sends.
        """
        method, target, headers = unpack_request(message.head)
        self._message = message
        self._served = served
        self._binds = binds_connection(headers, AUTHORIZATION)
        self._framer = Framer(message.body, (1, 1)) if message.body != NO_BODY else None
        self._key = message.principal_number if served.sign_on.binds_connection else SHARED
        self.method = method
        self.timeout = served.timeout
        self.upgrade, self.head = request_head(
            served,
            method,
            target,
            headers,
            signed_on,
            message.body,
            message.upgrade,
            message.transaction_id,
        )

    @property
    def _owner(self) -> Owner:
        return Owner(self._message.client_connection, self._message.principal_number)

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice harms nobody."""
        return self.method in SAFE_METHODS and self._framer is None and self.upgrade is None

    # -- its connection

    def kept_connection(self) -> BackendConnection | None:
        """A connection that is there already and may carry it."""
        pool = self._served.pool
        connection = pool.take_private(self._owner) if pool.by_client else None
        if connection is None and self.upgrade is None:
            connection = pool.take(self._key)
        return connection

    def connect(self) -> Deferred[BackendConnection]:
        """A new connection."""
        return self._served.pool.connect()

    def begin(self, connection: BackendConnection, listener: AnswerListener) -> None:
        """Take a connection into use for it."""
        if self._binds:
            self.bind(connection)
        connection.begin(listener, self.method, self.upgrade)

    def bind(self, connection: BackendConnection) -> None:
        """
        NTLM and Negotiate authenticate the connection: from the first sign of
        them it belongs to this client's connection alone, or the next visitor
        would be the first.
        """
        if not self._served.sign_on.binds_connection:
            self._served.pool.make_private(connection, self._owner)

    def give_back(self, connection: BackendConnection, clean: bool) -> None:
        """
        Done with the connection.

        @param clean: whether it may carry another request.
        """
        self._served.pool.release(connection, self._key, clean)

    # -- its body and its answer

    def body(self, data: bytes) -> bytes:
        """
        Some of its body, framed.

        @raise BadMessage: if it is longer than was said.
        """
        return self._framer.data(data) if self._framer is not None else b""

    def body_end(self, trailers: Fields) -> bytes:
        """
        The end of its body, framed.

        @raise BadMessage: if it is shorter than was said.
        """
        if self._framer is None:
            return b""
        return self._framer.end(self._served.rules.filter_trailers(trailers))

    def answer_head(self, head: ResponseHead, headers: Blocks) -> bytes:
        """
        The head of an answer as the tunnel carries it: translated.

        @param headers: those of the answer's that may pass.
        @raise BadMessage: if no tunnel can carry it.
        """
        served, body, status = self._served, head.body, head.status
        headers = rebuild_response(headers, keep_length=body == NO_BODY and status >= 200)
        if served.translates:
            headers = served.translator.response_headers(headers)
        return pack_response(status, body, headers)


class Admitted:
    """
    A stream that this connector serves.

    @ivar attempt: its sign-on, where each request needs its own.
    """

    __slots__ = ("_message", "_principal", "_served", "attempt")

    def __init__(self, served: Served, principal: Principal | None, message: OpenMessage) -> None:
        """
        @param principal: the user, L{None} for anybody.
        @raise BackendError: if the user can never be signed on.
        """
        self._served = served
        self._principal = principal
        self._message = message
        try:
            self.attempt = served.sign_on.attempt(principal, message.body == NO_BODY)
        except SignOnError as problem:
            raise BackendError(problem.reason, str(problem)) from problem

    def request(self) -> BackendRequest:
        """
        The request as its backend gets it now.

        @raise BackendError: if there cannot be one.
        """
        attempt = self.attempt
        try:
            signed_on = self._served.sign_on.headers(self._principal) if attempt is None else attempt.headers
            return BackendRequest(self._served, signed_on, self._message)
        except SignOnError as problem:
            raise BackendError(problem.reason, str(problem)) from problem
        except (BadMessage, UnfitHead) as problem:
            raise BackendError("bug", str(problem)) from problem


def allowed(catalog: CatalogCopy, application: str) -> Served:
    """
    An application that this connector serves.

    @raise BackendError: if it does not.
    """
    served = catalog.get(application)
    if served is None:
        raise BackendError("backend_not_allowed", "this connector's group does not serve the application")
    if served.refusal:
        raise BackendError("backend_not_allowed", served.refusal)
    return served


def admit(message: OpenMessage, catalog: CatalogCopy, principals: dict[int, Principal]) -> Admitted:
    """
    Decide whether a stream is served.

    @param principals: by their numbers.
    @raise BackendError: if it is not.
    """
    served = allowed(catalog, message.application)
    number = message.principal_number
    principal = principals.get(number) if number else None
    if principal is None and (number or not served.passthrough):
        raise BackendError("backend_not_allowed", "an anonymous request for an application with sign-in")
    return Admitted(served, principal, message)
