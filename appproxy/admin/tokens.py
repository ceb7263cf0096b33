"""
Join tokens: made, listed and taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import Field
from twisted.internet.defer import Deferred

from appproxy.admin.audit import audit
from appproxy.admin.errors import AdminError, bad_request, not_found, refused
from appproxy.admin.objects import MAXIMUM_LISTED, Row, rfc3339
from appproxy.admin.peer import Peer
from appproxy.catalog.feed import read_catalog
from appproxy.model.schema import Model
from appproxy.pki.authority import Authority, IssuerAway
from appproxy.pki.join import MAXIMUM_VALID_SECONDS, VALID_SECONDS, JoinToken, make_token
from appproxy.store.istore import Item
from appproxy.store.keys import JOIN_TOKENS, BadDocument, decode_document

_SHORT_ID: Final = 12
"""Tokens are called by the first characters of their secret's hash: enough to tell them apart."""


class TokenRequest(Model):
    """
    @ivar group: the connector group; only for a connector.
    @ivar name: what the newcomer will be called; it may suggest one itself otherwise.
    """

    role: Literal["connector", "relay"]
    group: str = ""
    name: str = ""
    valid_seconds: float = Field(default=VALID_SECONDS, gt=0, le=MAXIMUM_VALID_SECONDS)


class TokenObjects:
    """The join tokens that still live."""

    def __init__(self, authority: Authority, addresses: Sequence[str], connect_host: str) -> None:
        """
        @param addresses: C{host:port} that a newcomer can dial.
        @param connect_host: the name that is then asked for.
        """
        self._authority = authority
        self._store = authority.store
        self._addresses = tuple(addresses)
        self._connect_host = connect_host

    async def make(self, request: TokenRequest, peer: Peer) -> Row:
        """A new token. This answer is the only place that ever has its secret."""
        if request.role == "connector":
            await self._check_group(request.group)
        token = await self._make(request)
        item = await self._store.get(JOIN_TOKENS + token.digest)
        if item is None:
            raise AdminError(503, "store_unreachable", "the token was not kept; try again")
        token_id = token.digest[:_SHORT_ID]
        audit(peer, "create", f"join-tokens/{token_id}", item.revision)
        return {**_row(item), "token": token.text}

    async def list_all(self) -> list[Row]:
        """What each is good for; never a secret."""
        return [_row(item) for item in (await self._items())[:MAXIMUM_LISTED]]

    async def show(self, name: str) -> Row:
        """The same of one."""
        return _row(await self._find(name))

    async def delete(self, name: str, peer: Peer) -> Row:
        """Take one back: nobody can join with it any more."""
        item = await self._find(name)
        revision = await self._store.transact(deletes=[item.key])
        row = _row(item)
        audit(peer, "delete", f"join-tokens/{row['id']}", revision)
        return {"id": row["id"], "revision": revision}

    async def _make(self, request: TokenRequest) -> JoinToken:
        making: Deferred[JoinToken] = make_token(
            self._authority,
            addresses=self._addresses,
            connect_host=self._connect_host,
            role=request.role,
            group=request.group if request.role == "connector" else "",
            name=request.name,
            valid_seconds=request.valid_seconds,
        )
        try:
            return await making
        except IssuerAway as error:
            raise refused(f"{error}; it is needed while an edge or relay enrols") from None
        except ValueError as error:
            raise bad_request(str(error)) from None

    async def _check_group(self, group: str) -> None:
        groups = (await read_catalog(self._store)).groups
        if group not in groups:
            raise not_found("connector group", group, groups)

    async def _items(self) -> list[Item]:
        listing = await self._store.list(JOIN_TOKENS)
        return sorted(listing.items, key=lambda item: item.created)

    async def _find(self, name: str) -> Item:
        items = {item.key.removeprefix(JOIN_TOKENS): item for item in await self._items()}
        found = [item for digest, item in items.items() if digest.startswith(name) and len(name) >= _SHORT_ID]
        if len(found) != 1:
            raise not_found("join token", name, (digest[:_SHORT_ID] for digest in items))
        return found[0]


def _row(item: Item) -> dict[str, Any]:
    token_id = item.key.removeprefix(JOIN_TOKENS)[:_SHORT_ID]
    try:
        record = decode_document(item.value)
        return {
            "id": token_id,
            "role": record["role"],
            "group": record["group"],
            "name": record["name"],
            "used": record["used"] is not None,
            "expires_at": rfc3339(record["expires_at"]),
        }
    except (BadDocument, KeyError, TypeError):
        return {"id": token_id, "role": "", "group": "", "name": "", "used": False, "expires_at": ""}
