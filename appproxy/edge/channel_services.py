"""
What the channels of one listener share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from appproxy.edge.answers import Answers
from appproxy.edge.client_writer import PageSink
from appproxy.edge.exchange import ExchangeServices
from appproxy.edge.facts import ConnectionFacts
from appproxy.edge.verdict import Forward, Local, Verdict
from appproxy.httpwire.heads import RequestHead
from appproxy.httpwire.request_parser import HeadLimits
from appproxy.observe.transaction import Transaction
from appproxy.transport.turn_queue import TurnQueue
from appproxy.transport.wheel import TimerWheel

if TYPE_CHECKING:
    from appproxy.edge.channel import EdgeChannel


class ChannelServices:
    """
    What all channels of one listener share.

    @ivar make_page: for a request that goes to the tree of pages.
    @ivar fetch: loads a session's record, then calls back.
    @ivar strict_transport: the C{Strict-Transport-Security} of an answer of our own at this host;
        empty for none.
    @ivar arrivals: in which the first request of each connection waits for its turn.
    @ivar as_page: whether published applications go through the tree of pages too.
    @ivar draining: whether connections close after their answer.
    @ivar channels: the connections that are open.
    @ivar empty: is called when the last one is gone.
    """

    def __init__(
        self,
        judge: Callable[[RequestHead, ConnectionFacts], Verdict],
        exchanges: ExchangeServices,
        answers: Answers,
        make_page: Callable[[EdgeChannel, RequestHead, Transaction, Local | Forward], PageSink],
        fetch: Callable[[str, Callable[[], None]], None],
        new_transaction: Callable[[], Transaction],
        wheel: TimerWheel,
        schedule: Callable[[Callable[[], None]], None],
        limits: HeadLimits,
        head_timeout_seconds: float,
        idle_timeout_seconds: float,
        strict_transport: Callable[[bytes], bytes],
        arrivals: TurnQueue,
        as_page: bool = False,
    ) -> None:
        self.judge = judge
        self.exchanges = exchanges
        self.answers = answers
        self.make_page = make_page
        self.fetch = fetch
        self.new_transaction = new_transaction
        self.wheel = wheel
        self.schedule = schedule
        self.limits = limits
        self.head_timeout_seconds = head_timeout_seconds
        self.idle_timeout_seconds = idle_timeout_seconds
        self.strict_transport = strict_transport
        self.arrivals = arrivals
        self.as_page = as_page
        self.draining = False
        self.channels: set[EdgeChannel] = set()
        self.empty: Callable[[], None] = lambda: None

    def leave(self, channel: EdgeChannel) -> None:
        """A connection is gone."""
        self.channels.discard(channel)
        if not self.channels:
            self.empty()
