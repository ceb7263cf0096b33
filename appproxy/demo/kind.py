"""
What differs between the demos: which applications there are, and for whom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from twisted.web.server import Site

    from appproxy.demo.page import DemoPages
    from appproxy.demo.plan import Plan
    from appproxy.demo.programs import Programs
    from appproxy.demo.provider_data import DemoUser


class Kind(Protocol):
    """
    One demo: C{make demo} has L{appproxy.demo.samples}, C{make demo-kcd} L{appproxy.demo.kerberos}.
    """

    @property
    def users(self) -> tuple[DemoUser, ...]:
        """Who may sign in; all works for the first."""

    @property
    def connector_environment(self) -> Mapping[str, str]:
        """What the connector's process has besides."""

    def check(self) -> None:
        """@raise DemoFailed: if this machine cannot run it, with what to do."""

    def sites(self, plan: Plan, pages: DemoPages, now: Callable[[], float]) -> Mapping[str, Site]:
        """Web servers within the demo's own process, by name."""

    async def start(self, plan: Plan, pages: DemoPages, programs: Programs) -> None:
        """
        Start what is a program of its own, and add its ports to C{plan.services}.

        @raise DemoFailed: with what stopped it.
        """

    def connector_toml(self, plan: Plan) -> str:
        """The connector's own file."""

    def applications_toml(self, plan: Plan) -> str:
        """What is published."""

    def first_page(self, plan: Plan) -> str:
        """What the first user opens, to be sure that all works."""

    def check_first_page(self, content: bytes) -> None:
        """@raise ProbeFailed: if it shows another user, or none."""

    def ready(self, plan: Plan) -> Mapping[str, str]:
        """For the READY line, besides what every demo tells."""

    def friendly_lines(self, plan: Plan, appproxy: str) -> str:
        """
        The same for a person.

        @param appproxy: the command as it can be typed here.
        """

    def remove(self) -> None:
        """Leave nothing outside of the demo's folder; all programs have ended."""
