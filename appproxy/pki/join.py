"""
Making and redeeming join tokens: the edge's half of enrolment.

A token works once. While it lives, the same key may redeem it again and gets
the same certificate, for an answer that was lost on the way.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from appproxy.model.application import Connector
from appproxy.pki.authority import (
    ATTEMPTS,
    Authority,
    IssuerAway,
    new_id,
    put_connector,
    read_connector,
    with_certificate,
)
from appproxy.pki.certificates import RequestRefused, Role, key_digest, moment, read_request, rfc3339
from appproxy.pki.enrolment_messages import (
    MAXIMUM_NAME_LENGTH,
    EnrolmentAnswer,
    EnrolmentRefused,
    EnrolmentRequest,
    is_name,
)
from appproxy.pki.join_token import BadToken, JoinToken, new_token, parse_token, secret_digest
from appproxy.store.istore import (
    Compare,
    Conflict,
    Item,
    LeaseNotFound,
    PrefixUnchanged,
    Put,
    StoreUnavailable,
)
from appproxy.store.keys import CONNECTORS, JOIN_TOKENS, decode_document, encode_document

__all__ = ["VALID_SECONDS", "BadToken", "JoinToken", "make_token", "parse_token", "redeem"]

VALID_SECONDS: Final = 30 * 60.0
"""Time enough to walk to the other machine."""

MAXIMUM_VALID_SECONDS: Final = 7 * 86400.0
"""A token is a key to the inside: it does not lie about for longer than a week."""

_ALL_GROUPS: Final = ("*",)

_log = Logger()


def make_token(
    authority: Authority,
    *,
    addresses: Sequence[str],
    connect_host: str,
    role: Role = "connector",
    group: str = "",
    name: str = "",
    valid_seconds: float = VALID_SECONDS,
) -> Deferred[JoinToken]:
    """
    Make a join token, and write down what it is good for. Whether the group
    exists is the caller's to know.

    @param addresses: C{host:port} that the newcomer can dial.
    @param group: the connector group; for an edge, the one group that it may open
        (empty: every one).
    @param name: what the newcomer will be called; if empty it may suggest one itself.
    @raise ValueError: (as a failure) if an argument is not what it should be.
    @raise IssuerAway: (as a failure) for an edge or relay, if the issuer's key is not at hand.
    """
    return Deferred.fromCoroutine(
        _make_token(authority, tuple(addresses), connect_host, role, group, name, valid_seconds)
    )


def redeem(
    authority: Authority, request: EnrolmentRequest, addresses: Sequence[str] = ()
) -> Deferred[EnrolmentAnswer]:
    """
    Give a certificate for a token.

    @param addresses: C{host:port} that connectors are to dial, where the tunnels do not
        end at the token's addresses.
    @raise EnrolmentRefused: (as a failure) with the reason.
    @raise StoreUnavailable: (as a failure) if the store is away.
    """
    return Deferred.fromCoroutine(_redeem(authority, request, tuple(addresses)))


async def _make_token(
    authority: Authority,
    addresses: tuple[str, ...],
    connect_host: str,
    role: Role,
    group: str,
    name: str,
    valid_seconds: float,
) -> JoinToken:
    if name and not is_name(name):
        raise ValueError("a name has letters, digits, dots, underscores and hyphens, at most 63")
    if role == "connector" and not group:
        raise ValueError("a connector belongs to a group")
    if not 0 < valid_seconds <= MAXIMUM_VALID_SECONDS:
        raise ValueError("a join token is valid for at most seven days")
    if role != "connector" and not authority.has_infrastructure_key:
        raise IssuerAway("the infrastructure issuer's key is not at hand")
    token = new_token(addresses, connect_host, authority.ca_sha256, role)
    now = authority.clock.seconds()
    record = {
        "role": role,
        "group": group,
        "name": name,
        "connect_host": token.connect_host,
        "created_at": now,
        "expires_at": now + valid_seconds,
        "used": None,
    }
    lease = await authority.store.lease(valid_seconds)
    await authority.store.transact(puts=[Put(JOIN_TOKENS + token.digest, encode_document(record), lease)])
    return token


async def _redeem(
    authority: Authority, request: EnrolmentRequest, addresses: tuple[str, ...]
) -> EnrolmentAnswer:
    key = JOIN_TOKENS + secret_digest(request.secret)
    for _ in range(ATTEMPTS):
        item = await authority.store.get(key)
        record = _living(authority, item)
        if item is None or record is None:
            raise EnrolmentRefused("token_unknown")
        try:
            used_key = key_digest(read_request(request.csr.encode("utf-8", "surrogatepass")))
        except RequestRefused as error:
            raise EnrolmentRefused(error.reason) from error
        if record["used"] is not None:
            return _repeated(record["used"], used_key)
        answer = await _join(authority, item, record, request, used_key, addresses)
        if answer is not None:
            return answer
    raise StoreUnavailable("the records of connectors change all the time")


def _living(authority: Authority, item: Item | None) -> dict[str, Any] | None:
    if item is None:
        return None
    record = decode_document(item.value)
    return record if authority.clock.seconds() < record["expires_at"] else None


def _repeated(used: dict[str, Any], used_key: str) -> EnrolmentAnswer:
    if not hmac.compare_digest(used["key"], used_key):
        raise EnrolmentRefused("token_used")
    answer = used["answer"]
    return EnrolmentAnswer(**{**answer, "addresses": tuple(answer["addresses"])})


async def _join(
    authority: Authority,
    item: Item,
    record: dict[str, Any],
    request: EnrolmentRequest,
    used_key: str,
    addresses: tuple[str, ...],
) -> EnrolmentAnswer | None:
    """Issue the certificate and mark the token used, at once; L{None} if another change came between."""
    known = await authority.store.list(CONNECTORS)
    holder_id = new_id()
    name = _free_name(record["name"] or request.name or f"{record['role']}-{holder_id[:6]}", known.items)
    connector = Connector(
        name=name,
        group=record["group"],
        role=record["role"],
        enrolled_at=rfc3339(moment(authority.clock.seconds())),
    )
    chain = _issue(authority, record, holder_id, request.csr.encode())
    answer = EnrolmentAnswer(
        id=holder_id,
        name=name,
        role=record["role"],
        group=record["group"],
        certificate=chain.decode(),
        ca=authority.ca_pem.decode(),
        addresses=addresses if record["role"] == "connector" else (),
    )
    used = encode_document({**record, "used": {"key": used_key, "answer": vars(answer)}})
    try:
        await authority.store.transact(
            [Compare(item.key, item.revision), PrefixUnchanged(CONNECTORS, known.revision)],
            [
                Put(item.key, used, item.lease),
                put_connector(
                    holder_id, with_certificate(connector, chain, authority.newest, authority.newest)
                ),
            ],
        )
    except (Conflict, LeaseNotFound):
        return None
    _log.info(
        "{event}: {role} {name} of group {connector_group}",
        event="enrolled",
        role=connector.role,
        name=name,
        connector_group=connector.group,
        connector=holder_id,
    )
    return answer


def _issue(authority: Authority, record: dict[str, Any], holder_id: str, csr_pem: bytes) -> bytes:
    groups = (record["group"],) if record["group"] else _ALL_GROUPS
    try:
        return authority.issue(
            csr_pem, record["role"], holder_id, host_name=record["connect_host"], groups=groups
        )
    except IssuerAway as error:
        raise EnrolmentRefused("issuer_away") from error


def _free_name(wanted: str, known: Sequence[Item]) -> str:
    """The name itself, or with a number if somebody trusted has it."""
    taken = {connector.name for connector in map(read_connector, known) if not connector.revoked_at}
    name, number = wanted, 2
    while name in taken:
        suffix = f"-{number}"
        name, number = wanted[: MAXIMUM_NAME_LENGTH - len(suffix)] + suffix, number + 1
    return name
