"""
Which header may pass from one side to the other. Heads are rebuilt from what
passes; nothing is spliced through.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from appproxy.httpwire.block import Answered, Block, Blocks, PassedOn, blocks_of, fields_of
from appproxy.httpwire.cookies import for_host_only, sets_own_cookie
from appproxy.httpwire.field import Field, Fields, field
from appproxy.httpwire.heads import NO_TOKENS, RequestHead
from appproxy.httpwire.names import CONTENT_LENGTH, is_token, name_of, plain_names
from appproxy.httpwire.values import connection_tokens

_USUAL_TOKENS: Final = frozenset({b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings"})
"""Of Connection: those that name nothing, and those that are dropped in any case."""

_COOKIE: Final = name_of(b"Cookie")
_CONNECTION: Final = b"connection"

_FORWARDED_MEMO: Final = 4096
"""Pairs of client and host whose headers are kept: about 3 MiB."""

_DEFAULT_PORTS: Final = {b"http": 80, b"https": 443}


def forwarded(client_address: str, host: bytes, scheme: bytes, port: int) -> Block:
    """
    What the application is told about the request's way to us: always our own
    reckoning, never what a client said.

    @param client_address: an IP address; anything else counts as unknown.
    @param host: without port.
    @param port: the port that the client used.
    """
    return _way(client_address, host, scheme, port)


def request_id_line(transaction_id: str) -> bytes:
    """
    The line that tells the application the request's id.

    @param transaction_id: letters and digits.
    """
    return b"X-Request-Id: " + transaction_id.encode("ascii")


@lru_cache(_FORWARDED_MEMO)
def _way(client_address: str, host: bytes, scheme: bytes, port: int) -> Block:
    authority = host if port == _DEFAULT_PORTS.get(scheme) else b"%b:%d" % (host, port)
    client, node = _client(client_address)
    parameters = b"for=%b;host=%b;proto=%b" % (node, _quoted(authority), scheme)
    headers = [
        field(b"X-Forwarded-Host", authority),
        field(b"X-Forwarded-Proto", scheme),
        field(b"X-Forwarded-Port", b"%d" % port),
        field(b"Forwarded", parameters),
    ]
    if client:
        headers.insert(0, field(b"X-Forwarded-For", client))
    return Block(headers)


def _client(address: str) -> tuple[bytes, bytes]:
    """An address as it stands in X-Forwarded-For, and as a node of Forwarded (RFC 7239, section 6)."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return b"", b"unknown"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    text = ip.compressed.encode("ascii")
    return text, text if ip.version == 4 else b'"[%b]"' % text


def _quoted(value: bytes) -> bytes:
    if is_token(value):
        return value
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


class RequestRules:
    """
    The rules for requests to one application.
    """

    __slots__ = ("_identity",)

    forwarded = staticmethod(forwarded)

    def __init__(self, identity_headers: Iterable[bytes] = ()) -> None:
        """
        @param identity_headers: names that the proxy itself sets for the
            application; clients' values are dropped in every spelling.
        """
        self._identity = plain_names(identity_headers)

    def rebuild(self, head: RequestHead, added: Block | None = None) -> Blocks:
        """
        The headers of a request that may reach the application, without our cookies.

        @param added: what we add. Cookies come after it: they are found quickest at the end.
        """
        identity = self._identity
        headers: Blocks = []
        for block in head.blocks:
            passed_on = block.passed_on
            if passed_on is None or (passed_on.identity is not identity and passed_on.identity != identity):
                passed_on = block.passed_on = _pass_on(block, identity)
            if passed_on.whole:
                headers.append(block)
            elif passed_on.block is not None:
                headers.append(passed_on.block)
        named = head.connection
        if not named <= _USUAL_TOKENS:
            headers = _without(headers, named)
        if added is not None:
            headers.append(added)
        if head.cookie and b"cookie" not in named:
            # Only the parser makes heads, of values that it has read.
            headers.append(Block([Field(b"Cookie", head.cookie, _COOKIE)]))
        return headers

    def filter_trailers(self, trailers: Fields) -> Fields:
        """
        The trailers of a request that may reach the application.
        """
        identity = self._identity
        return [
            each
            for each in trailers
            if each.known.in_trailers and each.known.in_requests and each.known.plain not in identity
        ]


def _pass_on(block: Block, identity: frozenset[bytes]) -> PassedOn:
    kept = [each for each in block.fields if each.known.in_requests and each.known.plain not in identity]
    return PassedOn(block, kept, identity)


def _without(headers: Blocks, named: frozenset[bytes]) -> Blocks:
    return blocks_of([each for each in fields_of(headers) if each.known.lower not in named])


def rebuild_response(headers: Blocks, keep_length: bool = False, host: bytes = b"") -> Blocks:
    """
    The headers of a response that may reach the client: no hop-by-hop ones,
    no cookie of ours, nothing in our name.

    @param keep_length: let Content-Length pass: for answers to HEAD and 304,
        where it frames nothing.
    @param host: the host that the client asked; given, cookies are for this host alone.
    """
    passed: Blocks = []
    named = NO_TOKENS
    for block in headers:
        answered = block.answered
        if answered is None:
            answered = block.answered = _answer(block)
        if answered.sets_cookie or (keep_length and answered.tells_length):
            passed += blocks_of(_one_by_one(block, keep_length, host))
        elif answered.whole:
            passed.append(block)
        elif answered.block is not None:
            passed.append(answered.block)
        if answered.named:
            named = named | answered.named if named else answered.named
    if not named <= _USUAL_TOKENS:
        passed = _without(passed, named)
    return passed


def _answer(block: Block) -> Answered:
    named = NO_TOKENS
    sets_cookie = tells_length = False
    kept: Fields = []
    for each in block.fields:
        known = each.known
        if known.in_responses:
            kept.append(each)
        if known.sets_cookie:
            sets_cookie = True
        elif known.kind == CONTENT_LENGTH:
            tells_length = True
        elif known.plain == _CONNECTION:
            named |= connection_tokens(each.value)
    return Answered(block, kept, named, sets_cookie, tells_length)


def _one_by_one(block: Block, keep_length: bool, host: bytes) -> Fields:
    """What passes of a block with cookies, or with a length that may pass."""
    passed: Fields = []
    for each in block.fields:
        known = each.known
        if known.sets_cookie:
            if not sets_own_cookie(each.value):
                passed.append(_for_host_only(each, host) if host else each)
        elif known.in_responses or (keep_length and known.kind == CONTENT_LENGTH):
            passed.append(each)
    return passed


def _for_host_only(set_cookie: Field, host: bytes) -> Field:
    value = for_host_only(set_cookie.value, host)
    return set_cookie if value is set_cookie.value else field(set_cookie.name, value.strip())


def filter_trailers(trailers: Fields) -> Fields:
    """
    The trailers that may pass, of a request or a response: checksums, grpc's
    status and the like, nothing that decides about framing, routing,
    authentication, cookies or content.
    """
    return [each for each in trailers if each.known.in_trailers]
