"""
Certificates for a relay's connectors and itself, from whatever edge is attached.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from appproxy.pki.tunnel_peer import TunnelPeer
from appproxy.relay.documents import RenewalAnswer, RenewalRequest, write_renewal
from appproxy.relay.edge_link import EdgeLink

ANSWER_SECONDS: Final = 30.0
"""An edge writes to its store and signs."""

MAXIMUM_PENDING: Final = 256
"""More than can come due within C{ANSWER_SECONDS} at ten thousand connectors."""


class NotRenewed(Exception):
    """There is no new certificate; the text says why. Whoever asked asks again later."""


class Renewals:
    """
    Asks edges and waits for their answers.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._edges: list[EdgeLink] = []
        self._ids = count(1)
        self._pending: dict[int, tuple[EdgeLink, Deferred[bytes]]] = {}

    def of_connector(self, peer: TunnelPeer, csr: bytes, roots: Sequence[str] = ()) -> Deferred[bytes]:
        """
        A certificate for a connector, whose present one is shown to the edge.

        @param roots: SHA-256 (hex) of those that it says it trusts.
        @return: the chain (PEM).
        @raise NotRenewed: (as a failure) if no edge gives one.
        """
        return self._ask(csr, peer.certificate_pem.decode(), roots)

    def of_relay(self, csr: bytes, roots: Sequence[str] = ()) -> Deferred[bytes]:
        """The same for this relay."""
        return self._ask(csr, "", roots)

    def attached(self, edge: EdgeLink) -> None:
        """An edge can be asked."""
        self._edges.append(edge)

    def lost(self, edge: EdgeLink) -> None:
        """An edge cannot be asked any longer, nor will it answer."""
        self._edges.remove(edge)
        for asked, waiting in [each for each in self._pending.values() if each[0] is edge]:
            waiting.errback(NotRenewed(f"the tunnel to edge {asked.peer.id} is lost"))

    def answered(self, edge: EdgeLink, payload: bytes) -> None:
        """An edge's answer; one to a question that it was not asked is ignored."""
        try:
            answer = RenewalAnswer.model_validate_json(payload)
        except ValueError:
            self._log.warn("{event}: an answer that is none", event="renewal_failed", fault="peer")
            return
        asked = self._pending.get(answer.id)
        if asked is None or asked[0] is not edge:
            return
        if answer.certificate:
            asked[1].callback(answer.certificate.encode())
        else:
            asked[1].errback(NotRenewed(answer.refused or "the edge sent no certificate"))

    def stop(self) -> None:
        """Wait for nothing any longer."""
        for _, waiting in list(self._pending.values()):
            waiting.cancel()

    def _ask(self, csr: bytes, certificate: str, roots: Sequence[str]) -> Deferred[bytes]:
        if not self._edges or len(self._pending) >= MAXIMUM_PENDING:
            return fail(NotRenewed("no edge is attached" if not self._edges else "too many at once"))
        edge, number = self._edges[-1], next(self._ids)
        waiting: Deferred[bytes] = Deferred()
        self._pending[number] = (edge, waiting)

        def over(result: object) -> object:
            del self._pending[number]
            return result

        request = RenewalRequest(id=number, csr=csr.decode(), certificate=certificate, roots=tuple(roots))
        edge.send_renew(write_renewal(request))
        waiting.addTimeout(ANSWER_SECONDS, self._clock)
        waiting.addBoth(over)
        return waiting
