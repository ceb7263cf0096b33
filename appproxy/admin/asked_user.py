"""
Whose sign-on is explained: a user who is signed in, or one of whom an administrator tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from pydantic import Field

from appproxy.admin.session_records import belongs_to, read_sessions
from appproxy.model.principal import Principal
from appproxy.model.schema import Model
from appproxy.policy.decide import canonical_name
from appproxy.store.istore import IStore
from appproxy.store.sealing import Sealer

ISSUER: Final = "appproxy:explain"
"""No provider's: tickets that are got for an explanation are no user's (C{docs/tunnel.md}, section 14)."""

LONGEST_NAME: Final = 1024
"""Characters: as many as a user principal name has in Active Directory. Other names are shorter."""


class UserRequest(Model):
    """
    @ivar user: the user principal name, or how else the user is called in the log.
    @ivar on_premises_user_principal_name: this, and what follows, in place of a session's claims.
    """

    user: str = Field(min_length=1, max_length=LONGEST_NAME)
    on_premises_user_principal_name: str = Field(default="", max_length=LONGEST_NAME)
    on_premises_sam_account_name: str = Field(default="", max_length=LONGEST_NAME)
    on_premises_sid: str = Field(default="", max_length=LONGEST_NAME)

    @property
    def given(self) -> Mapping[str, str]:
        """The claims that are given beside the user, by name."""
        claims = {
            "on_premises_user_principal_name": self.on_premises_user_principal_name,
            "on_premises_sam_account_name": self.on_premises_sam_account_name,
            "on_premises_sid": self.on_premises_sid,
        }
        return {name: value for name, value in claims.items() if value}


class AskedUser(NamedTuple):
    """
    @ivar principal: with the claims that the application needs, and no others.
    @ivar signed_in: whether they are those of a session.
    @ivar missing: claims that the application needs and the user has not.
    @ivar unused: claims that were given, and are not needed.
    """

    principal: Principal
    signed_in: bool
    missing: tuple[str, ...]
    unused: tuple[str, ...]


async def live_principal(store: IStore, sealer: Sealer, user: str, now: float) -> Principal | None:
    """
    The user of the newest session that this user has, if there is one.

    @param sealer: the one that the session records are sealed with.
    @param now: seconds since the epoch.
    """
    records = await read_sessions(store, sealer)
    live = [record for record in records if record.expires_at > now and belongs_to(record, user)]
    return live[-1].principal if live else None


def asked_user(request: UserRequest, live: Principal | None, needed: Iterable[str]) -> AskedUser:
    """
    @param live: the user as a session knows them.
    @param needed: the claims that the application needs.
    """
    # It finds nobody anywhere, and what is got for an explanation is kept for no user.
    given, needed = request.given, frozenset(needed) - {"subject"}
    if live is not None and not given:
        known = replace(live, issuer=ISSUER, session_id="")
    else:
        live = None
        known = Principal(
            ISSUER,
            "",
            "",
            user_principal_name=canonical_name(request.user),
            on_premises_user_principal_name=request.on_premises_user_principal_name,
            on_premises_sam_account_name=request.on_premises_sam_account_name,
            on_premises_sid=request.on_premises_sid,
        )
    missing = sorted(name for name in needed if not known.claim(name))
    unused = sorted(given.keys() - needed)
    return AskedUser(known.reduced_to(needed), live is not None, tuple(missing), tuple(unused))
