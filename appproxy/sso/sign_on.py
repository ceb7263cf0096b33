"""
What the connector may ask of any sign-on mode.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mypy_extensions import i64, mypyc_attr
from twisted.internet.defer import Deferred

from appproxy.httpwire.block import Blocks
from appproxy.httpwire.field import Fields
from appproxy.httpwire.names import Name, plain_names
from appproxy.model.principal import Principal
from appproxy.sso.errors import SignOnError


@dataclass(frozen=True)
class Step:
    """
    One step of a sign-on that was tried for an administrator.

    @ivar name: what was tried, in some words.
    @ivar outcome: C{ok}, C{failed}, or C{skipped}, since an earlier one failed.
    @ivar detail: what was found; no secret.
    @ivar cause: its stable name, where it failed.
    @ivar advice: what an administrator does about it.
    @ivar milliseconds: how long it took.
    """

    name: str
    outcome: Literal["ok", "failed", "skipped"]
    detail: str = ""
    cause: str = ""
    advice: str = ""
    milliseconds: float = 0.0


@mypyc_attr(allow_interpreted_subclasses=True)
class Attempt:
    """
    The sign-on of one request, where each needs its own: a ticket is good for one request only.

    @ivar headers: what is added to the request that is sent next.
    """

    headers: Fields

    def prepare(self) -> Deferred[None] | None:
        """
        Make L{headers} for the next time that the request is sent.

        @return: L{None} if they are there at once.
        @raise SignOnError: if they cannot be made (or the Deferred fails with it).
        """
        raise NotImplementedError

    def answered(self, status: int, headers: Blocks) -> bool:
        """
        The application's final answer, or its 101.

        @return: whether the request is to be prepared and sent again, and this answer dropped.
        @raise SignOnError: if the answer must not reach the user.
        """
        raise NotImplementedError

    def passed(self, headers: Blocks) -> Blocks:
        """What of an answer's headers the user may see."""
        raise NotImplementedError

    def proved(self) -> bool | None:
        """
        Whether the application has proved in its answer, after L{answered}, that it is the right one.

        @return: L{None} where nobody looks for a proof.
        """
        return None


@mypyc_attr(allow_interpreted_subclasses=True)
class SignOn:
    """
    One application's sign-on: the same headers for all of a user's requests, or an L{Attempt} for each.

    @ivar binds_connection: whether the backend knows the user by the connection,
        so that it may serve this user alone.
    @ivar owned_headers: the headers that only this mode may send, as
        L{plain_name<appproxy.httpwire.names.plain_name>} writes them.
    """

    def __init__(self, owned: Iterable[bytes] = (), binds_connection: bool = False) -> None:
        self.owned_headers = plain_names(owned)
        self.binds_connection = binds_connection
        # One bit for each length of a name, from 32 on for several at once.
        self._lengths: i64 = 0
        for name in self.owned_headers:
            self._lengths |= 1 << (len(name) & 31)

    def owns(self, name: Name) -> bool:
        """Whether only this mode may send such a header, in any spelling."""
        plain = name.plain
        # Most names are told apart by their length alone, without a look-up.
        return self._lengths >> (len(plain) & 31) & 1 == 1 and plain in self.owned_headers

    def headers(self, principal: Principal | None) -> Fields:
        """
        What is added to each request, where L{attempt} makes none.

        @raise SignOnError: if it cannot be made for this user.
        """
        raise NotImplementedError

    def attempt(self, principal: Principal | None, repeatable: bool) -> Attempt | None:
        """
        The sign-on of one request, if each needs its own.

        @param repeatable: whether it can be sent a second time, since it has no body.
        @raise SignOnError: if this user can never be signed on.
        """
        return None

    def explain(self, principal: Principal) -> Deferred[list[Step]] | None:
        """
        Try the sign-on of a user step by step, up to the application's own answer.

        @return: what came of each step (it does not fail); L{None} where there are no steps.
        """
        return None

    def advise(self, problem: SignOnError) -> str:
        """
        What an administrator does about a failure.

        @return: empty where there is nothing to add to the reason's own advice.
        """
        return ""
