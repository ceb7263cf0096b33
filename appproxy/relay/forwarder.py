"""
Sends each stream that an edge opens on to a connector.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from appproxy.relay.broker import Broker
from appproxy.relay.catalog import RelayCatalog
from appproxy.relay.edge_link import EdgeLink
from appproxy.relay.link import ConnectorLink
from appproxy.relay.question import asked_connector
from appproxy.relay.splice import AnswerSide, Parked, RequestSide
from appproxy.tunnel.errors import TunnelRefused
from appproxy.tunnel.messages import NO_BODY, OpenMessage
from appproxy.tunnel.stream import Stream

CATALOG_WAIT_SECONDS: Final = 2.0
"""How long a stream waits for the CONFIG of its edge, which it may have overtaken."""

MAXIMUM_PARKED: Final = 1000
"""Streams that wait for a newer catalog at a time; more than that is a stuck edge."""

MAXIMUM_FAILURES: Final = 1024
"""Requests whose failure is remembered; an edge tries again within a round trip."""


class _Failure(NamedTuple):
    links: tuple[ConnectorLink, ...]
    reason: str
    detail: str


class Failures:
    """Which connectors just gave a request up: another attempt of the edge goes elsewhere."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Failure] = OrderedDict()

    def add(self, transaction_id: str, link: ConnectorLink, reason: str, detail: str) -> None:
        """A connector gave up."""
        before = self._known.pop(transaction_id, None)
        links = (*before.links, link) if before is not None else (link,)
        self._known[transaction_id] = _Failure(links, reason, detail)
        if len(self._known) > MAXIMUM_FAILURES:
            self._known.popitem(last=False)

    def of(self, transaction_id: str) -> _Failure:
        """What is remembered; without any, the reason is that there is no connector."""
        return self._known.get(transaction_id) or _Failure((), "no_connector", "")


class Forwarder:
    """
    @param broker: knows the connectors' tunnels.
    """

    def __init__(self, broker: Broker, clock: IReactorTime) -> None:
        self._broker = broker
        self._clock = clock
        self._catalog = RelayCatalog()
        self._failures = Failures()
        self._parked: dict[Parked, tuple[EdgeLink, Stream, OpenMessage, IDelayedCall]] = {}

    def follow(self, catalog: RelayCatalog) -> None:
        """Another catalog: streams that waited for it go on."""
        self._catalog = catalog
        for parked, (edge, stream, message, timer) in list(self._parked.items()):
            if parked in self._parked and message.revision <= catalog.revision:
                del self._parked[parked]
                timer.cancel()
                self._forward(edge, stream, message)
                parked.go_on()

    def opened(self, edge: EdgeLink, stream: Stream, message: OpenMessage) -> None:
        """An edge opened a stream."""
        if message.revision <= self._catalog.revision:
            self._forward(edge, stream, message)
        elif len(self._parked) >= MAXIMUM_PARKED:
            stream.reset("stale", "too many streams wait for a newer catalog")
        else:
            self._park(edge, stream, message)

    def _park(self, edge: EdgeLink, stream: Stream, message: OpenMessage) -> None:
        def over() -> IDelayedCall:
            return self._parked.pop(parked)[3]

        def too_late() -> None:
            over()
            stream.reset("stale", f"catalog revision {message.revision} did not arrive")

        parked = Parked(stream, lambda: over().cancel())
        timer = self._clock.callLater(CATALOG_WAIT_SECONDS, too_late)
        self._parked[parked] = (edge, stream, message, timer)

    def _forward(self, edge: EdgeLink, stream: Stream, message: OpenMessage) -> None:
        group = self._catalog.applications.get(message.application)
        if group is None or not edge.peer.opens(group):
            stream.reset("backend_not_allowed", "no group that this edge may open serves the application")
            return
        if message.ask:
            self._ask(stream, message, group)
            return
        bound_to = edge.bound_to(message.client_connection, group) if message.stay else None
        if bound_to is None:
            self._choose(edge, stream, message, group)
        elif not self._splice(edge, stream, message, bound_to):
            stream.reset("no_connector", "the connector that this connection is bound to takes no more")

    def _ask(self, stream: Stream, message: OpenMessage, group: str) -> None:
        connector = asked_connector(message.head)
        link = next(
            (each for each in self._broker if each.connector == connector and each.group == group), None
        )
        if link is None or not link.usable:
            stream.reset("no_connector", "the connector has no tunnel here")
        elif not link.takes_questions:
            stream.reset("no_questions", link.software)
        else:
            stream.handler = RequestSide(
                link.ask(message, AnswerSide(stream, link.name, lambda reason, detail: None))
            )

    def _choose(self, edge: EdgeLink, stream: Stream, message: OpenMessage, group: str) -> None:
        failure = self._failures.of(message.transaction_id)
        tried: list[ConnectorLink] = list(failure.links)
        while (link := self._broker.choose(group, message.revision, tried)) is not None:
            if self._splice(edge, stream, message, link):
                return
            tried.append(link)
        stream.reset(failure.reason, failure.detail)

    def _splice(self, edge: EdgeLink, stream: Stream, message: OpenMessage, link: ConnectorLink) -> bool:
        """Open the stream on this tunnel, if it takes one more."""

        def failed(reason: str, detail: str) -> None:
            if message.body == NO_BODY:
                # No other request is tried again.
                self._failures.add(message.transaction_id, link, reason, detail)

        client, number = message.client_connection, message.principal_number
        try:
            far = link.forward(
                message,
                edge.client_number(client),
                edge.user_key(number),
                edge.user(number, link),
                AnswerSide(stream, link.name, failed),
            )
        except TunnelRefused:
            return False
        stream.handler = RequestSide(far)
        edge.note_served(client, link)
        return True
