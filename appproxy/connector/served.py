"""
The applications that this connector serves, as its relay's CONFIG told it, each
held against the connector's own file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from appproxy.catalog.group_document import read_group
from appproxy.connector.allow_list import AllowList
from appproxy.connector.pool import Pool
from appproxy.httpwire.field import field
from appproxy.httpwire.rules import RequestRules
from appproxy.model.application import Backend
from appproxy.model.principal import Principal
from appproxy.sso.errors import SignOnError
from appproxy.sso.modes import NoMode, SignOn, SignOns
from appproxy.translate.translator import Translator

MAXIMUM_WAITING: Final = 1000
"""Streams that wait for a newer catalog at a time; more than that is a stuck relay."""


class Served:
    """
    One application, ready to be served.

    @ivar refusal: why this connector does not serve it (its own file says so), or empty.
    @ivar translates: whether the application is spoken to by its internal name.
    @ivar at_root: whether its internal address has no path.
    @ivar timeout: how long it may be silent, in seconds.
    """

    __slots__ = (
        "at_root",
        "backend",
        "host",
        "passthrough",
        "pool",
        "refusal",
        "rules",
        "sign_on",
        "timeout",
        "translates",
        "translator",
    )

    def __init__(self, backend: Backend, refusal: str, pool: Pool, sign_on: SignOn) -> None:
        self.backend = backend
        self.refusal = refusal
        self.pool = pool
        self.passthrough = backend.pre_authentication == "passthrough"
        self.sign_on = sign_on
        self.rules = RequestRules(self.sign_on.owned_headers)
        self.translator = Translator(backend.internal_url, backend.external_url)
        self.translates = backend.translate_host_header
        self.at_root = backend.internal_url.path == "/"
        self.timeout = backend.backend_timeout
        address = backend.internal_url if self.translates else backend.external_url
        self.host = field(b"Host", address.authority.encode())


class CatalogCopy:
    """
    The catalog of one tunnel's group.

    @ivar revision: the newest CONFIG applied; 0 before the first.
    @ivar roots: what the relay says of the CA's roots, not looked at; L{None} for nothing.
    """

    def __init__(
        self,
        allow_list: AllowList,
        sign_ons: SignOns,
        make_pool: Callable[[Backend], Pool],
    ) -> None:
        self._allow_list = allow_list
        self._sign_ons = sign_ons
        self._make_pool = make_pool
        self._served: dict[str, Served] = {}
        self._unreadable: Mapping[str, str] = {}
        self._waiting: list[tuple[int, Callable[[], None]]] = []
        self.revision = 0
        self.roots: object = None

    def get(self, application_id: str) -> Served | None:
        """One application, if this group serves it."""
        return self._served.get(application_id)

    @property
    def all(self) -> Iterable[Served]:
        """Everything that is served."""
        return self._served.values()

    @property
    def refusals(self) -> dict[str, str]:
        """Each application of the group that this connector does not serve, and why."""
        refused = {id_: f"this version cannot serve it: {why}" for id_, why in self._unreadable.items()}
        return refused | {each.backend.id: each.refusal for each in self.all if each.refusal}

    def apply(self, revision: int, payload: bytes) -> None:
        """
        Take over a CONFIG. Applications that did not change keep their connections.

        @raise ValueError: if it is not what a relay sends.
        """
        document = read_group(payload)
        served: dict[str, Served] = {}
        for backend in document.backends:
            old = self._served.get(backend.id)
            if old is not None and old.backend == backend:
                served[backend.id] = old
            else:
                served[backend.id] = self._made(backend)
        before, self._served = self._served, served
        self._unreadable = document.unreadable
        self.roots = document.roots
        for application_id, old in before.items():
            if served.get(application_id) is not old:
                old.pool.close()
        self.revision = revision
        ready = [callback for wanted, callback in self._waiting if wanted <= revision]
        self._waiting = [each for each in self._waiting if each[0] > revision]
        for callback in ready:
            callback()

    def wait_for(self, revision: int, callback: Callable[[], None]) -> Callable[[], None] | None:
        """
        Call back once a revision was applied.

        @return: call it to wait no longer; L{None} if too many wait already.
        """
        if len(self._waiting) >= MAXIMUM_WAITING:
            return None
        entry = (revision, callback)
        self._waiting.append(entry)

        def cancel() -> None:
            if entry in self._waiting:
                self._waiting.remove(entry)

        return cancel

    def client_gone(self, client: int) -> None:
        """A client's connection is closed: what was private to it goes."""
        for served in self._served.values():
            served.pool.owner_gone(client)

    def forget_user(self, number: int, principal: Principal | None) -> None:
        """A session ended: the connections that were this user's go, and what signed them on."""
        for served in self._served.values():
            served.pool.forget_user(number)
        if principal is not None:
            self._sign_ons.forget(principal)

    def sign_on_failed(self, problem: SignOnError) -> None:
        """A request could not be signed on."""
        self._sign_ons.failed(problem)

    def close(self) -> None:
        """The tunnel is gone: so are its pools."""
        for served in self._served.values():
            served.pool.close()

    def _made(self, backend: Backend) -> Served:
        refusal = self._refusal(backend) or self._sign_ons.refusal(backend)
        sign_on = NoMode() if refusal else self._sign_ons.of(backend)
        return Served(backend, refusal, self._make_pool(backend), sign_on)

    def _refusal(self, backend: Backend) -> str:
        if self._allow_list.permit(backend.internal_url) is None:
            return (
                f"allowed_backends in this connector's file does not cover {backend.internal_url.authority}"
            )
        return ""
