"""L{appproxy.relay.broker} and L{appproxy.relay.local}."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from appproxy.relay.broker import Broker
from appproxy.relay.link import ConnectorLink
from appproxy.relay.local import LocalOpener
from appproxy.relay.opener import NoConnector
from appproxy.tunnel.errors import TunnelRefused
from appproxy.tunnel.outbox import Outbox
from appproxy.tunnel.settings import TunnelSettings
from appproxy.tunnel.state import SessionState
from appproxy.tunnel.stream import AWAIT_HEAD, BODY
from tests.relay.support import wanted
from tests.tunnel.support import Recorder, RecordingListener


class Link(ConnectorLink):
    """A tunnel of which only what the broker looks at is there."""

    def __init__(self, name: str = "hq", group: str = "main", load: int = 0, live: int = 1) -> None:
        self.name = name
        self.group = group
        self.streams = load
        self.live = live
        self.up = True
        self.full = False

    @property
    def usable(self) -> bool:
        return self.up

    @property
    def load(self) -> int:
        return self.streams

    @property
    def live_revision(self) -> int:
        return self.live

    def open(self, request: Any, handler: Any) -> Any:
        if self.full:
            raise TunnelRefused("overloaded", "full")
        state = SessionState("opener", TunnelSettings(), RecordingListener(), Outbox(lambda: None))
        return state.add_stream(1, 0, False, handler, BODY, AWAIT_HEAD)


class BrokerTests(SynchronousTestCase):
    """L{Broker}."""

    def broker(self, *links: Link) -> Broker:
        """With these tunnels."""
        broker = Broker()
        for link in links:
            broker.attach(link)
        return broker

    def test_group(self) -> None:
        """Only a tunnel of the group will do."""
        hq, lab = Link(), Link("lab", "lab")
        broker = self.broker(hq, lab)
        self.assertIs(broker.choose("lab"), lab)
        self.assertIsNone(broker.choose("none"))

    def test_least_loaded(self) -> None:
        """The one with the fewest streams is chosen."""
        busy, idle = Link(load=5), Link(load=2)
        broker = self.broker(busy, idle)
        self.assertEqual({broker.choose("main") for _ in range(4)}, {idle})

    def test_turns(self) -> None:
        """Equally loaded ones take turns."""
        links = [Link(), Link(), Link()]
        broker = self.broker(*links)
        chosen = [broker.choose("main") for _ in range(6)]
        self.assertEqual([chosen.count(link) for link in links], [2, 2, 2])

    def test_many(self) -> None:
        """Of many only a few are compared, others each time, so that the load spreads."""
        links = [Link(load=9) for _ in range(100)]
        links[0].up = False
        broker = self.broker(*links)
        chosen: Counter[Any] = Counter()
        for _ in range(500):
            link: Any = broker.choose("main")
            link.streams += 1
            chosen[link] += 1
        self.assertEqual(chosen[links[0]], 0)
        self.assertLessEqual(max(chosen.values()), 8)
        self.assertGreaterEqual(min(chosen[link] for link in links[1:]), 2)

    def test_behind(self) -> None:
        """One that serves the catalog's revision comes before one that is still behind."""
        ahead, behind = Link(load=9, live=2), Link(live=1)
        broker = self.broker(ahead, behind)
        self.assertIs(broker.choose("main", 2), ahead)
        self.assertIs(broker.choose("main", 1), behind)
        ahead.up = False
        self.assertIs(broker.choose("main", 2), behind)

    def test_avoid(self) -> None:
        """Those to avoid and those that are not usable are not chosen, however few there are."""
        first, second = Link(), Link()
        broker = self.broker(first, second)
        self.assertIs(broker.choose("main", 0, [first]), second)
        self.assertIsNone(broker.choose("main", 0, [first, second]))
        second.up = False
        self.assertIsNone(broker.choose("main", 0, [first]))
        broker.detach(first)
        self.assertIsNone(broker.choose("main"))
        second.up = True
        self.assertIsNone(broker.choose("main", 0, [second]))
        self.assertIs(broker.choose("main"), second)

    def test_detach(self) -> None:
        """A tunnel that is gone is not chosen; that it is gone may be said twice."""
        link = Link()
        broker = self.broker(link)
        for _ in range(2):
            broker.detach(link)
        self.assertIsNone(broker.choose("main"))
        self.assertEqual(list(broker), [])


class OpenerTests(SynchronousTestCase):
    """L{LocalOpener}."""

    def open(self, links: list[Link], *avoid: Link, stay_with: Link | None = None) -> object:
        """Where a stream goes."""
        broker = Broker()
        for link in links:
            broker.attach(link)
        return LocalOpener(broker).open(wanted(), Recorder(), avoid, stay_with)[1]

    def test_full(self) -> None:
        """A tunnel that takes no more is passed over."""
        full, other = Link(), Link(load=9)
        full.full = True
        self.assertIs(self.open([full, other]), other)
        other.full = True
        self.assertRaises(NoConnector, self.open, [full, other])

    def test_nobody(self) -> None:
        """Without a tunnel there is none."""
        self.assertRaises(NoConnector, self.open, [])

    def test_avoid(self) -> None:
        """What just failed is not tried again."""
        failed, other = Link(), Link()
        self.assertIs(self.open([failed, other], failed), other)
        self.assertRaises(NoConnector, self.open, [failed], failed)

    def test_stay(self) -> None:
        """A client that something is bound to stays with its tunnel, or is told that it is gone."""
        bound, other = Link(load=9), Link()
        self.assertIs(self.open([bound, other], stay_with=bound), bound)
        bound.full = True
        self.assertRaises(NoConnector, self.open, [bound, other], stay_with=bound)
        bound.full, bound.up = False, False
        self.assertRaises(NoConnector, self.open, [bound, other], stay_with=bound)
