"""
Header-based sign-on: the application trusts headers that only its connector sends.
"""

from __future__ import annotations

import re
from typing import Final

from appproxy.httpwire.field import Fields, field
from appproxy.model.principal import Principal
from appproxy.model.sign_on import HeaderSignOn, HeaderSource
from appproxy.sso.errors import SignOnError
from appproxy.sso.sign_on import SignOn

_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f]")
"""Control characters: a line end in a claim would start a header of the attacker's own."""

MAXIMUM_VALUE_BYTES: Final = 16 * 1024
"""More than any application's server takes in one header; 400 group names fit."""

_KEPT_USERS: Final = 1024
"""Users whose headers are kept made, and as many again of those before them."""


class HeaderMode(SignOn):
    """
    Headers made of the user's claims and of constants.

    A claim that the user lacks sends no header: absent is not the same as empty,
    and an application must not mistake "nobody" for a user with an empty name.
    """

    def __init__(self, settings: HeaderSignOn) -> None:
        self._sources = [(name.encode(), source) for name, source in settings.headers.items()]
        super().__init__(name for name, _ in self._sources)
        self._made: dict[int, tuple[Principal, Fields]] = {}
        self._made_before: dict[int, tuple[Principal, Fields]] = {}

    def headers(self, principal: Principal | None) -> Fields:
        """
        This user's headers.

        @raise SignOnError: if a value cannot stand in a header.
        """
        if principal is None:
            raise SignOnError("header sign-on needs a signed-in user")
        # By identity: to compare users by all that is known of them costs more than all the rest.
        number = id(principal)
        known = self._made.get(number)
        if known is None or known[0] is not principal:
            known = self._less_recent(number, principal)
        return known[1]

    def _less_recent(self, number: int, principal: Principal) -> tuple[Principal, Fields]:
        known = self._made_before.get(number)
        if known is None or known[0] is not principal:
            known = principal, self._make(principal)
        if len(self._made) >= _KEPT_USERS:
            # Whoever is not seen before this happens again is forgotten.
            self._made_before = self._made
            self._made = {}
        self._made[number] = known
        return known

    def _make(self, principal: Principal) -> Fields:
        made: Fields = []
        for name, source in self._sources:
            value = _value(source, principal)
            if not value:
                continue
            if _FORBIDDEN.search(value):
                raise SignOnError(f"the value for {name.decode()} has control characters")
            if value != value.strip():
                # Servers cut it off: " admin" would arrive as "admin".
                raise SignOnError(f"the value for {name.decode()} begins or ends with a blank")
            try:
                encoded = value.encode()
            except UnicodeEncodeError:
                raise SignOnError(f"the value for {name.decode()} is no text") from None
            if len(encoded) > MAXIMUM_VALUE_BYTES:
                raise SignOnError(f"the value for {name.decode()} is over {MAXIMUM_VALUE_BYTES} bytes")
            made.append(field(name, encoded))
        return made


def _value(source: HeaderSource, principal: Principal) -> str:
    if source.claim is None:
        return source.value or ""
    value = principal.claim(source.claim)
    if isinstance(value, str):
        return value
    joined = source.join.join(value)
    if value and tuple(joined.split(source.join)) != value:
        raise SignOnError(f"a value of {source.claim} contains the separator {source.join!r}")
    if any(not each or each != each.strip() for each in value):
        raise SignOnError(f"a value of {source.claim} is empty, or begins or ends with a blank")
    return joined
