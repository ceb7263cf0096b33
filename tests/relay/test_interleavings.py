"""
Whatever edges, users, evictions and reconnects do in whatever order: a connector
sees the user whom the edge meant, or nobody.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.principal import Principal
from appproxy.relay import edge_link
from appproxy.relay.opener import NoConnector
from appproxy.tunnel.messages import OpenMessage
from appproxy.tunnel.settings import TunnelSettings
from appproxy.tunnel.stream import Stream
from tests.relay.support import Dialled, EdgeEnd, Rig, wanted
from tests.tunnel.support import Recorder

EDGES = ("edge-1", "edge-2")
CONNECTORS = {"one": "main", "two": "main", "lab": "lab"}
FEW = TunnelSettings(max_principals=3)
"""So that users are evicted all the time."""

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("open"),
            st.integers(0, 1),
            st.integers(0, 4),
            st.sampled_from(("wiki", "tool")),
            st.booleans(),
        ),
        st.tuples(st.just("answer"), st.integers(0, 30)),
        st.tuples(st.just("change"), st.integers(0, 4)),
        st.tuples(st.just("forget"), st.integers(0, 1), st.integers(0, 4)),
        st.tuples(st.just("cut_edge"), st.integers(0, 1)),
        st.tuples(st.just("cut_connector"), st.sampled_from(sorted(CONNECTORS))),
        st.tuples(st.just("move"), st.integers(1, 5)),
        st.tuples(st.just("rest")),
    ),
    max_size=40,
)


class Life:
    """One sequence of events."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self.case = case
        self.rig = Rig()
        for name, group in CONNECTORS.items():
            self.rig.enrol(name, group)
        self.edges: list[EdgeEnd] = [self.rig.edge(name) for name in EDGES]
        self.connectors: dict[str, Dialled] = {}
        for name in CONNECTORS:
            self.dial(name)
        self.rig.settle()
        self.users = [
            Principal("https://login.example.com", f"user-{number}", f"session-{number}", f"0:{number}")
            for number in range(5)
        ]
        self.answers: list[Stream] = []
        self.arrived = 0

    def dial(self, name: str) -> None:
        """A connector dials, and looks closely at what it gets."""
        made = self.connectors[name] = self.rig.connector(name, settings=FEW)
        note = made.end.opened

        def opened(stream: Stream, message: OpenMessage) -> None:
            note(stream, message)
            claims = made.end.users.get(message.principal_number)
            seen = "nobody" if claims is None else Principal.decode(claims).user_principal_name
            self.case.assertEqual(message.head.decode(), seen)
            self.case.assertEqual(CONNECTORS[name], "main" if message.application == "wiki" else "lab")
            self.answers.append(stream)
            self.arrived += 1

        made.end.opened = opened  # type: ignore[method-assign]

    def open(self, edge: int, user: int, application: str, anonymous: bool) -> None:
        """A request that says in its head who its user is."""
        principal = None if anonymous else self.users[user]
        group = "main" if application == "wiki" else "lab"
        request = wanted(application, principal, group=group, client=user + 1)
        request.head = b"nobody" if principal is None else principal.user_principal_name.encode()
        try:
            self.edges[edge].dialers.opener.open(request, Recorder())
        except NoConnector:
            return

    def answer(self, index: int) -> None:
        """A connector answers one of its streams."""
        if index < len(self.answers):
            stream = self.answers.pop(index)
            stream.head(b"200")
            stream.end()

    def change(self, user: int) -> None:
        """A user's claims are others from now on."""
        name, number = self.users[user].user_principal_name.split(":")
        self.users[user] = replace(self.users[user], user_principal_name=f"{int(name) + 1}:{number}")

    def forget(self, edge: int, user: int) -> None:
        """A session ends."""
        self.edges[edge].dialers.opener.forget(self.users[user].session_id)

    def cut_edge(self, edge: int) -> None:
        """An edge's line breaks; it dials again by itself."""
        self.edges[edge].cut()

    def cut_connector(self, name: str) -> None:
        """A connector's line breaks, and it dials again."""
        self.connectors[name].transport.abortConnection()
        self.dial(name)

    def move(self, times: int) -> None:
        """Some bytes move, others do not yet."""
        for _ in range(times):
            for transport in list(self.rig.wires._transports)[::2]:
                transport.step()
            self.rig.clock.advance(0)

    def rest(self) -> None:
        """Everything comes to rest."""
        self.rig.settle()

    def end(self) -> None:
        """After all that, everybody is served, and nothing is left of what has ended."""
        self.rig.pass_time(32)
        for edge in range(len(self.edges)):
            before = self.arrived
            self.open(edge, 0, "wiki", False)
            self.rig.settle()
            self.case.assertEqual(self.arrived, before + 1)
        for user in range(5):
            for edge in range(len(self.edges)):
                self.forget(edge, user)
        self.rig.settle()
        for made in self.connectors.values():
            self.case.assertEqual(made.end.users, {})


class InterleavingTests(SynchronousTestCase):
    """Random lives."""

    @settings(max_examples=100, deadline=None)
    @given(STEPS)
    def test_any_order(self, steps: list[tuple[Any, ...]]) -> None:
        """
        In any order of events, no connector ever serves somebody as somebody else.

        Security row 35.
        """
        self.patch(edge_link, "EDGE_SETTINGS", TunnelSettings(max_principals=4))
        life = Life(self)
        for name, *arguments in steps:
            getattr(life, name)(*arguments)
        life.end()
