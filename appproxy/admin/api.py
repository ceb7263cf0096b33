"""
Every question that the admin socket answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from appproxy.admin.authorities import Authorities
from appproxy.admin.changes import ApplyRequest, Changes, PlanRequest
from appproxy.admin.errors import bad_request, not_found
from appproxy.admin.explaining import ExplainRequest, Explanations
from appproxy.admin.objects import ConnectorObjects, Objects
from appproxy.admin.peer import Peer
from appproxy.admin.probes import ProbeRequest, Probes
from appproxy.admin.sessions import EndRequest, SessionObjects
from appproxy.admin.status import Status
from appproxy.admin.tokens import TokenObjects, TokenRequest
from appproxy.admin.traces import Traces
from appproxy.model.schema import Model

_M = TypeVar("_M", bound=Model)


@dataclass(frozen=True)
class Call:
    """
    One request, understood as far as HTTP goes.

    @ivar body: what its JSON says; C{None} without a body.
    """

    peer: Peer
    body: object

    def read(self, model: type[_M]) -> _M:
        """
        The body as a model.

        @raise AdminError: if it is none.
        """
        try:
            return model.model_validate(self.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise bad_request(f"{place}: {first['msg']}" if place else first["msg"]) from None


Handler = Callable[[Call], Awaitable[object]]


class AdminApi:
    """
    Every question that can be asked, by method and path.
    """

    def __init__(
        self,
        changes: Changes,
        tokens: TokenObjects,
        status: Status,
        probes: Probes,
        traces: Traces,
        explanations: Explanations,
        sessions: SessionObjects,
        objects: Mapping[str, Objects],
        connectors: ConnectorObjects,
        authorities: Authorities,
    ) -> None:
        """
        @param objects: the kinds that can be listed, by the plural that administrators type.
        @param connectors: what else can be done to those.
        """
        self._connectors = connectors
        self._traces = traces
        self._sessions = sessions
        self._objects = {"tokens": tokens, **objects}
        self._handlers: dict[tuple[str, tuple[str, ...]], Handler] = {
            ("POST", ("plan",)): lambda call: changes.plan(call.read(PlanRequest)),
            ("POST", ("apply",)): lambda call: changes.apply(call.read(ApplyRequest), call.peer),
            ("GET", ("export",)): lambda call: changes.export(),
            ("GET", ("status",)): lambda call: status.show(),
            ("POST", ("probe",)): lambda call: probes.probe(call.read(ProbeRequest), call.peer),
            ("POST", ("explain", "kerberos")): lambda call: explanations.kerberos(
                call.read(ExplainRequest), call.peer
            ),
            ("POST", ("end-sessions",)): lambda call: sessions.end(call.read(EndRequest), call.peer),
            ("POST", ("keys", "rotate")): lambda call: sessions.rotate_keys(call.peer),
            ("GET", ("ca",)): lambda call: authorities.show(),
            ("POST", ("ca", "rotate")): lambda call: authorities.rotate(call.peer),
            ("POST", ("ca", "retire")): lambda call: authorities.retire(call.peer),
            ("POST", ("ca", "retire", "force")): lambda call: authorities.retire(call.peer, force=True),
            ("POST", ("tokens",)): lambda call: tokens.make(call.read(TokenRequest), call.peer),
        }

    def handler(self, method: str, path: tuple[str, ...]) -> Handler:
        """
        @param path: its decoded parts after the version.
        @raise AdminError: if there is nothing of that name.
        """
        match method, path:
            case "GET", ("trace", transaction_id):
                return lambda call: self._traces.show(transaction_id)
            case "GET", ("objects", kind):
                some = self._kind(kind)
                return lambda call: some.list_all()
            case "GET", ("objects", kind, name):
                some = self._kind(kind)
                return lambda call: some.show(name)
            case "DELETE", ("objects", kind, name):
                some = self._kind(kind)
                return lambda call: some.delete(name, call.peer)
            case "GET", ("sessions-of", user):
                return lambda call: self._sessions.list_of(user)
            case "POST", ("connectors", name, "revoke"):
                return lambda call: self._connectors.revoke(name, call.peer)
            case "POST", ("connectors", name, "drain"):
                return lambda call: self._connectors.drain(name, call.peer)
            case "POST", ("connectors", name, "undrain"):
                return lambda call: self._connectors.drain(name, call.peer, undo=True)
        try:
            return self._handlers[method, path]
        except KeyError:
            raise not_found("question", f"{method} /{'/'.join(path)}") from None

    def _kind(self, name: str) -> Objects:
        if name not in self._objects:
            raise not_found("kind of objects", name, self._objects)
        return self._objects[name]
