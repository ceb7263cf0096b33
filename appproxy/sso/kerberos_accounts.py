"""
Whose ticket it is: from the signed-in user to their account in the directory, and who is never signed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from twisted.internet.defer import Deferred, succeed

from appproxy.directory.account import Account
from appproxy.directory.directory import Directory
from appproxy.directory.errors import DirectoryError
from appproxy.directory.filters import Identity, IdentityKind
from appproxy.kerberos.names import LookUp, LookUpKind, account_principal, is_answer, look_up_for
from appproxy.model.principal import Principal
from appproxy.model.service_name import NameRefused
from appproxy.model.sign_on import LoginIdentity
from appproxy.sso.errors import SignOnError
from appproxy.sso.kerberos_errors import of_directory

NEVER_KEPT_SECONDS: Final = 300.0
"""How long the names of C{never_impersonate} stand for the same accounts and groups; those change rarely."""

_T = TypeVar("_T")

_KINDS: Final = {
    LookUpKind.user_principal_name: IdentityKind.USER_PRINCIPAL_NAME,
    LookUpKind.on_premises_user_principal_name: IdentityKind.USER_PRINCIPAL_NAME,
    LookUpKind.sam_account_name: IdentityKind.SAM_ACCOUNT_NAME,
}


class Accounts:
    """
    Finds the account that a user is signed on as.

    @ivar seconds: a clock that nobody sets.
    @ivar now: the system's, seconds since 1970.
    """

    def __init__(
        self,
        directory: Directory,
        never_impersonate: Iterable[str],
        seconds: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        """
        @param never_impersonate: groups and accounts, as the operator names them.
        @param seconds: a clock that nobody sets.
        @param now: the system's, seconds since 1970.
        """
        self._directory = directory
        self._names = tuple(never_impersonate)
        self.seconds = seconds
        self.now = now
        self._never: frozenset[str] = frozenset()
        self._never_until = 0.0 if self._names else float("inf")

    def remembered(self, principal: Principal, login_identity: LoginIdentity) -> Account | None:
        """
        The account, if this user may be signed on and all is remembered.

        @raise SignOnError: if there is no such name, or the user may not.
        """
        if self.seconds() >= self._never_until:
            return None
        asked = look_up(principal, login_identity)
        found = self._directory.remembered(_identity(asked))
        if found is not None:
            self._check(asked, found)
        return found

    def find(self, principal: Principal, login_identity: LoginIdentity) -> Deferred[Account]:
        """
        The account, if this user may be signed on.

        @return: fails with L{SignOnError} if there is none, or it may not.
        @raise SignOnError: if there is no such name.
        """
        asked = look_up(principal, login_identity)
        if self.seconds() >= self._never_until:
            # Asked for first: behind a crowd's accounts it would have all of them wait for the last one. Who
            # waits for it, and why it failed, is seen once the account is there.
            self._learn().addErrback(lambda _: None)
        found = self._directory.find(_identity(asked))
        return Deferred.fromCoroutine(self._slowly(asked, found))

    def fresh(self, asked: LookUp) -> Deferred[Account]:
        """
        What the directory says now, whether or not the user may be signed on.

        @return: fails with L{DirectoryError}.
        """
        found = self._directory.find(_identity(asked), fresh=True)
        return found if isinstance(found, Deferred) else succeed(found)

    async def never_impersonated(self) -> frozenset[str]:
        """
        The identifiers of those who are never signed on.

        @raise SignOnError: if they cannot be told: then nobody is.
        """
        if self.seconds() >= self._never_until:
            await _told(self._learn())
        return self._never

    def _learn(self) -> Deferred[None]:
        return self._directory.group_sids(self._names).addCallback(self._keep)

    def _keep(self, never: frozenset[str]) -> None:
        self._never = never
        self._never_until = self.seconds() + NEVER_KEPT_SECONDS

    async def _slowly(self, asked: LookUp, finding: Account | Deferred[Account]) -> Account:
        found = await _told(finding) if isinstance(finding, Deferred) else finding
        # Now: it may have waited longer than the rules stand.
        await self.never_impersonated()
        self._check(asked, found)
        return found

    def _check(self, asked: LookUp, found: Account) -> None:
        problem = refusal(asked, found, self._never, self.now())
        if problem is not None:
            raise problem


def look_up(principal: Principal, login_identity: LoginIdentity) -> LookUp:
    """
    What the directory is asked for.

    @raise SignOnError: if the user has no such name, or it is not safe.
    """
    try:
        return look_up_for(principal, login_identity)
    except NameRefused as error:
        raise SignOnError(str(error), "sso_user", "name_refused") from error


def kerberos_name(account: Account) -> str:
    """
    C{sAMAccountName@REALM}.

    @raise SignOnError: if Kerberos would read it as another name.
    """
    try:
        return account_principal(account.sam_account_name, account.realm)
    except NameRefused as error:
        raise SignOnError(str(error), "sso_user", "name_refused") from error


def refusal(asked: LookUp, found: Account, never: frozenset[str], now: float) -> SignOnError | None:
    """
    Why an account may not be signed on, before any KDC is asked. Pure.

    @param never: identifiers of groups and accounts.
    @param now: seconds since 1970.
    """
    if not is_answer(asked, _name_of(asked, found)):
        return _refused("user_ambiguous", "the directory takes another name for the one that was asked for")
    if not never.isdisjoint(found.sids):
        return _refused("never_impersonated", "the account, or a group of its, is in never_impersonate")
    if found.sensitive:
        return _refused("user_sensitive", "the account is marked sensitive and cannot be delegated")
    if found.protected:
        return _refused("user_protected", "the account is in Protected Users and cannot be delegated")
    if found.disabled:
        return _refused("user_disabled", "the account is disabled")
    if found.expired_at(now):
        return _refused("account_expired", "the account has expired")
    return None


async def _told(asked: Deferred[_T]) -> _T:
    """What the directory answers."""
    try:
        return await asked
    except DirectoryError as error:
        problem = of_directory(error)
        # Compiled, C{raise ... from} would forget it.
        problem.__cause__ = error
        raise problem  # noqa: B904


def _identity(asked: LookUp) -> Identity:
    return Identity(_KINDS[asked.kind], asked.value)


def _name_of(asked: LookUp, found: Account) -> str:
    return found.sam_account_name if asked.kind is LookUpKind.sam_account_name else found.user_principal_name


def _refused(cause: str, text: str) -> SignOnError:
    return SignOnError(text, "sso_user", cause)
