"""
A user's exported credentials with one ticket left. Pure.

After S4U2Proxy a user's credentials hold what was needed on the way, too: the connector's own ticket, the
user's to the connector, and notes. libkrb5 copies each of these twice with every token that it makes, and
would ask the KDC again where the last of them has ended.

The form is MIT's, of all versions since 1.11 (C{export_cred.c}): one JSON text for each mechanism.
"""

from __future__ import annotations

import json
from typing import Any, Final

KRB5_OID: Final = bytes.fromhex("2a864886f712010202")
_LENGTH_BYTES: Final = 4

_FORM: Final = "K5C1"
_FIELDS: Final = 14
_NAME: Final = 1
_IMPERSONATOR: Final = 2
_TICKETS: Final = 7
_KEYS: Final = (5, 8, 13)
"""A keytab, a client's keytab and a password: of users there is none."""

_TICKET_FIELDS: Final = 13
_CLIENT: Final = 0
_SERVER: Final = 1
_EVIDENCE: Final = 11
"""The user's ticket to the connector, with which this one was got."""


def only_ticket(exported: bytes, service: str) -> bytes:
    """
    @param exported: of C{gss_export_cred}.
    @param service: C{HTTP/host@REALM}: whose ticket stays.
    @return: for C{gss_import_cred}.
    @raise ValueError: if this is not what it should be.
    """
    try:
        form, fields = json.loads(_element(exported))
        if form != _FORM or len(fields) != _FIELDS or any(fields[each] is not None for each in _KEYS):
            raise ValueError("the credentials are of another form")
        user, *tickets = fields[_TICKETS]
        (ticket,) = [each for each in tickets if _is_for(each, user, service)]
        if fields[_NAME][0] != user or len(ticket) != _TICKET_FIELDS:
            raise ValueError("the ticket is of another form")
    except (TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"the credentials are of another form ({type(error).__name__})") from None
    ticket[_EVIDENCE] = ""
    fields[_IMPERSONATOR] = None
    fields[_TICKETS] = [user, ticket]
    return _framed(json.dumps([form, fields], separators=(",", ":"), ensure_ascii=False).encode())


def _is_for(ticket: Any, user: str, service: str) -> bool:
    return bool(ticket[_CLIENT] == user and ticket[_SERVER] == service)


def _element(exported: bytes) -> bytes:
    """The text of the one mechanism."""
    head = len(KRB5_OID).to_bytes(_LENGTH_BYTES, "big") + KRB5_OID
    start = len(head) + _LENGTH_BYTES
    text = exported[start:]
    if not exported.startswith(head) or int.from_bytes(exported[len(head) : start], "big") != len(text):
        raise ValueError("the credentials are of other mechanisms")
    return text


def _framed(text: bytes) -> bytes:
    return b"".join(
        (
            len(KRB5_OID).to_bytes(_LENGTH_BYTES, "big"),
            KRB5_OID,
            len(text).to_bytes(_LENGTH_BYTES, "big"),
            text,
        )
    )
