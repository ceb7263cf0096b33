"""
Heads of requests and responses as values, and what the parsers say beside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mypy_extensions import mypyc_attr

from appproxy.httpwire.block import Blocks, fields_of
from appproxy.httpwire.field import Fields

UNTIL_END: Final = -1
"""Length of a body that is known only when it ends: chunked, or delimited by the connection's end."""

NO_BODY: Final = -2
"""There is no body and there cannot be one; its headers may still speak of a length (HEAD, 304)."""

SAFE_METHODS: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PROPFIND", b"REPORT", b"SEARCH"})
"""Safe by definition (RFC 9110 section 9.2.1, RFC 4918, RFC 3253, RFC 5323): doing it twice harms nobody."""

NO_TOKENS: Final[frozenset[bytes]] = frozenset()


# The heads' own __init__: the one that dataclass makes is not compiled.


@mypyc_attr(acyclic=True, free_list_len=1)
@dataclass(slots=True, init=False)
class RequestHead:
    """
    A request's head that passed every check.

    @ivar method: as sent; any token but CONNECT.
    @ivar target: the client's bytes of path and query, or C{*} for OPTIONS; of
        an absolute-form target what follows the authority.
    @ivar version: (1, 0) or (1, 1).
    @ivar host: lower-case, without port and trailing dot; IPv6 in brackets.
    @ivar body: its length, L{UNTIL_END} or L{NO_BODY}.
    @ivar keep_alive: whether the client lets the connection live on.
    @ivar upgrade: the lower-case token of a possible upgrade: only on a
        HTTP/1.1 GET without body whose Connection names it.
    @ivar blocks: the headers: names as received (case kept), values without outer blanks.
    @ivar expects_continue: whether the client waits for a 100.
    @ivar connection: the lower-case tokens of Connection.
    @ivar cookie: all Cookie headers as one value, without our own cookies; empty if there is none.
    @ivar own_cookies: our own cookies out of them, and what only looks like them.
    @ivar user_agent: the first User-Agent; empty if there is none.
    """

    method: bytes
    target: bytes
    version: tuple[int, int]
    blocks: Blocks
    host: bytes
    port: int | None
    body: int
    keep_alive: bool
    upgrade: bytes | None
    expects_continue: bool
    connection: frozenset[bytes]
    cookie: bytes
    own_cookies: bytes
    user_agent: bytes

    def __init__(
        self,
        method: bytes,
        target: bytes,
        version: tuple[int, int],
        blocks: Blocks,
        host: bytes,
        port: int | None,
        body: int,
        keep_alive: bool,
        upgrade: bytes | None = None,
        expects_continue: bool = False,
        connection: frozenset[bytes] = NO_TOKENS,
        cookie: bytes = b"",
        own_cookies: bytes = b"",
        user_agent: bytes = b"",
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.blocks = blocks
        self.host = host
        self.port = port
        self.body = body
        self.keep_alive = keep_alive
        self.upgrade = upgrade
        self.expects_continue = expects_continue
        self.connection = connection
        self.cookie = cookie
        self.own_cookies = own_cookies
        self.user_agent = user_agent

    @property
    def headers(self) -> Fields:
        """All headers, in their order."""
        return fields_of(self.blocks)


@mypyc_attr(acyclic=True, free_list_len=1)
@dataclass(slots=True, init=False)
class ResponseHead:
    """
    A response's head, interim (1xx) or final.

    @ivar body: its length, L{UNTIL_END} or L{NO_BODY} (also for every 1xx).
    @ivar blocks: the headers.
    @ivar keep_alive: whether the server lets the connection live on; always
        false for a body that ends with the connection.
    @ivar connection: the lower-case tokens of Connection.
    """

    status: int
    reason: bytes
    version: tuple[int, int]
    blocks: Blocks
    body: int
    keep_alive: bool
    connection: frozenset[bytes]

    def __init__(
        self,
        status: int,
        reason: bytes,
        version: tuple[int, int],
        blocks: Blocks,
        body: int,
        keep_alive: bool,
        connection: frozenset[bytes] = NO_TOKENS,
    ) -> None:
        self.status = status
        self.reason = reason
        self.version = version
        self.blocks = blocks
        self.body = body
        self.keep_alive = keep_alive
        self.connection = connection

    @property
    def headers(self) -> Fields:
        """All headers, in their order."""
        return fields_of(self.blocks)


@dataclass(frozen=True, slots=True)
class End:
    """
    The message is complete.

    @ivar trailers: as received, unfiltered; not to be changed.
    """

    trailers: Fields


END: Final = End([])
"""The end of a message without trailers."""
