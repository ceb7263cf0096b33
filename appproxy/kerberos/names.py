r"""
From a principal to the name that the directory is asked for. Pure.

Nothing in a name that a user may have had a hand in can become another name on the way: in a Kerberos
name C{/}, C{@} and C{\} divide, and a domain controller compares names more loosely than Python does.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from appproxy.model.principal import Principal
from appproxy.model.service_name import NameRefused, check_realm
from appproxy.model.sign_on import LoginIdentity


class LookUpKind(StrEnum):
    """By what the directory is asked."""

    user_principal_name = "user_principal_name"
    on_premises_user_principal_name = "on_premises_user_principal_name"
    sam_account_name = "sam_account_name"
    sid = "sid"
    immutable_id = "immutable_id"


class LookUp(NamedTuple):
    """One question to the directory; exactly one account has to answer."""

    kind: LookUpKind
    value: str


MAXIMUM_UPN: Final = 1024
"""What Active Directory stores (C{rangeUpper} of C{userPrincipalName})."""

MAXIMUM_SAM: Final = 256
"""What Active Directory stores; users have at most 20."""

_NAMES_REMEMBERED: Final = 4096
"""
That were found safe, so that they need not be looked at with each request: of as many users as have tickets.
A name is a few dozen bytes, and a few KiB at most.
"""

_SEPARATORS: Final = frozenset("/\\@")
_FORBIDDEN_IN_SAM: Final = frozenset('"[]:;|=+*?<>,')
"""Which Windows allows in no account name ([MS-SAMR], section 3.1.1.6), with L{_SEPARATORS}."""

_GUEST: Final = re.compile(r"#ext#@", re.IGNORECASE)
"""In the UPN of a guest in Entra: C{ada_example.org#EXT#@contoso.onmicrosoft.com}."""


def look_up_for(principal: Principal, identity: LoginIdentity) -> LookUp:
    """
    What to ask the directory for.

    Guests have no names on the premises: for them it is the UPN, which an account made for them has.

    @raise NameRefused: if the user lacks that name, or it is not safe.
    """
    return _look_up(
        principal.user_principal_name,
        principal.on_premises_user_principal_name,
        principal.on_premises_sam_account_name,
        identity,
    )


@lru_cache(_NAMES_REMEMBERED)
def _look_up(upn: str, on_premises_upn: str, on_premises_sam: str, identity: LoginIdentity) -> LookUp:
    if _GUEST.search(upn):
        return LookUp(LookUpKind.user_principal_name, check_upn(upn, "user_principal_name"))
    match identity:
        case "user_principal_name":
            return LookUp(LookUpKind.user_principal_name, check_upn(upn, "user_principal_name"))
        case "on_premises_user_principal_name":
            return LookUp(LookUpKind.on_premises_user_principal_name, _on_premises_upn(on_premises_upn))
        case "user_principal_username":
            return _user_part(check_upn(upn, "user_principal_name"), "user_principal_name")
        case "on_premises_user_principal_username":
            return _user_part(_on_premises_upn(on_premises_upn), "on_premises_user_principal_name")
        case "on_premises_sam_account_name":
            name = "on_premises_sam_account_name"
            return LookUp(LookUpKind.sam_account_name, check_sam(on_premises_sam, name))


def is_answer(asked: LookUp, found: str) -> bool:
    """
    Whether the name that the directory holds is the one that was asked for, but for capitals.

    Active Directory takes C{josé} for C{jose} ([MS-ADTS], section 3.1.1.2.2.4.13): the account that it
    finds may be somebody else's.
    """
    return unicodedata.normalize("NFC", found).lower() == asked.value.lower()


def _on_premises_upn(value: str) -> str:
    return check_upn(value, "on_premises_user_principal_name")


def _user_part(upn: str, what: str) -> LookUp:
    return LookUp(LookUpKind.sam_account_name, check_sam(upn.partition("@")[0], f"the user part of {what}"))


def check_upn(value: str, what: str) -> str:
    """
    A user principal name as it is, if it is safe: two parts of letters, digits and signs, one C{@}.

    @param what: what the text of an error calls it.
    @raise NameRefused: if it is not.
    """
    if not value:
        raise NameRefused(f"the user has no {what}")
    if len(value) > MAXIMUM_UPN:
        raise NameRefused(f"{what} is over {MAXIMUM_UPN} characters")
    parts = value.split("@")
    if len(parts) != 2 or not all(parts):
        raise NameRefused(f"{what} has not exactly one @ between two parts")
    for part in parts:
        _check_characters(part, what)
    return value


def check_sam(value: str, what: str) -> str:
    """
    A SAM account name as it is, if it is safe and can be a user's.

    @raise NameRefused: if it is not: a trailing C{$} or dot included, of which the first marks
        machines, and the second is cut off by Windows.
    """
    if not value:
        raise NameRefused(f"the user has no {what}")
    if len(value) > MAXIMUM_SAM:
        raise NameRefused(f"{what} is over {MAXIMUM_SAM} characters")
    _check_characters(value, what)
    if not _FORBIDDEN_IN_SAM.isdisjoint(value):
        raise NameRefused(f"{what} has a character that no account name has")
    if value[-1] in "$.":
        raise NameRefused(f"{what} ends in {value[-1]}: that is no user")
    return value


@lru_cache(_NAMES_REMEMBERED)
def account_principal(sam_account_name: str, realm: str) -> str:
    """
    The Kerberos name of an account that the directory named.

    @raise NameRefused: if it would not be read as that one name in that realm.
    """
    return f"{check_sam(sam_account_name, 'sAMAccountName')}@{check_realm(realm)}"


def _check_characters(text: str, what: str) -> None:
    if not _SEPARATORS.isdisjoint(text):
        raise NameRefused(f"{what} has /, \\ or another @ in it")
    if not unicodedata.is_normalized("NFC", text):
        raise NameRefused(f"{what} is not normalised (NFC)")
    for character in text:
        if not (_plain(character) if character.isascii() else _unambiguous(character)):
            raise NameRefused(f"{what} has a blank, a control character or one that resembles another")


def _plain(character: str) -> bool:
    return "!" <= character <= "~"


def _unambiguous(character: str) -> bool:
    """
    A letter, mark or digit that no comparison takes for another: the Kelvin sign is a K to some, a
    wide a is an a, the long s becomes an S in capitals, and the dotless i an I.
    """
    if unicodedata.category(character)[0] not in "LMN":
        return False
    if unicodedata.normalize("NFKC", character) != character:
        return False
    forms = character.casefold() + character.upper() + character.lower()
    return character == "ß" or not any(each.isascii() for each in forms)
