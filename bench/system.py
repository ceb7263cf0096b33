"""
What every measured way from a client to the origin looks like to the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Application(Protocol):
    """
    What is behind all systems.

    @ivar port: where it speaks plain HTTP, on 127.0.0.1.
    """

    port: int

    def start(self) -> None:
        """Start it; returns when it answers."""

    def stop(self) -> None:
        """End it; it may be called again, and without a start."""

    def pids(self) -> Sequence[int]:
        """Its processes."""

    def requests(self) -> int:
        """
        How many requests it has been asked so far, this one included.

        An answer that came from anybody else, such as a redirect to a sign-in page, is not among them.
        """


class System(Protocol):
    """
    One way from a client to the origin, to be measured.

    A class that does this is constructed with a folder of its own and the port
    of the origin, which speaks plain HTTP on 127.0.0.1: C{Class(folder, origin_port)}.

    @ivar name: as tables call it: C{"appproxy"}, C{"nginx"}, C{"envoy"}, ...
    @ivar port: the TLS port on 127.0.0.1 that clients use.
    @ivar host: the name for SNI and C{Host}.
    @ivar cookies: values of a C{Cookie} header, one for each session; empty where there are no sessions.
    """

    name: str
    port: int
    host: str
    cookies: Sequence[str]

    def start(self) -> None:
        """
        Start it.

        Returns when it answers requests with the origin's answers.
        """

    def stop(self) -> None:
        """End what L{start} started; it may be called again, and without a start."""

    def pids(self) -> Mapping[str, Sequence[int]]:
        """
        Who does the work.

        @return: process ids by role (C{edge}, C{connector}, C{front}, C{back}), children included.
        """
