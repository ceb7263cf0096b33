"""
Kerberos sign-on, step by step, for an administrator who asks which step fails.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from twisted.internet.defer import Deferred

from appproxy.directory.account import Account
from appproxy.directory.errors import DirectoryError
from appproxy.kerberos.advice import advise
from appproxy.kerberos.causes import Cause, KerberosError, Stage
from appproxy.model.principal import Principal
from appproxy.sso.errors import SignOnError
from appproxy.sso.kerberos_accounts import kerberos_name, look_up, refusal
from appproxy.sso.kerberos_advice import remedy_of
from appproxy.sso.kerberos_errors import of_directory
from appproxy.sso.sign_on import Step

if TYPE_CHECKING:
    import gssapi

    from appproxy.sso.kerberos import KerberosMode

_T = TypeVar("_T")

STEPS: Final = (
    "The keytab",
    "The connector's own ticket",
    "The domain controller's clock",
    "The user's name",
    "The user's account",
    "Whether the account may be signed on",
    "The application's service",
    "The connector's right to delegate",
    "The user's ticket to the connector (S4U2Self)",
    "The user's ticket to the application (S4U2Proxy)",
)

MAXIMUM_SKEW_SECONDS: Final = 300.0
"""What Kerberos allows between two clocks by default (RFC 4120, section 3.1.2)."""


class _Failed(Exception):
    """A step failed: those after it are skipped."""


class Steps:
    """
    One explanation.
    """

    def __init__(self, mode: KerberosMode, principal: Principal) -> None:
        self._mode = mode
        self._means = mode.means
        self._principal = principal
        self._steps: list[Step] = []
        self._user = principal.user_principal_name

    async def run(self) -> list[Step]:
        """All steps; after one that failed the rest are skipped."""
        try:
            await self._connector()
            account = await self._account()
            await self._delegation(account)
            await self._tickets(account)
        except _Failed:
            pass
        return self._steps + [Step(name, "skipped") for name in STEPS[len(self._steps) :]]

    async def _connector(self) -> None:
        trial, directory = self._means.trial, self._means.directory
        await self._step(_at_once(trial.check_keytab), lambda _: f"has a key of {self._means.principal}")
        await self._step(trial.own_ticket, lambda _: f"a KDC of {self._means.realm} gave it")
        await self._step(
            lambda: _close_clocks(directory.clock_difference(self._means.accounts.now)), lambda told: told
        )

    async def _account(self) -> Account:
        mode, accounts = self._mode, self._means.accounts
        asked = await self._step(
            _at_once(lambda: look_up(self._principal, mode.settings.login_identity)),
            lambda asked: f"{asked.kind.value} {asked.value}",
        )
        account = await self._step(
            lambda: accounts.fresh(asked), lambda found: f"{found.distinguished_name}, {found.sid}"
        )
        never = accounts.never_impersonated

        async def may_be_signed_on() -> None:
            problem = refusal(asked, account, await never(), accounts.now())
            if problem is not None:
                raise problem

        await self._step(may_be_signed_on, lambda _: f"enabled, {len(account.groups)} groups")
        return account

    async def _delegation(self, account: Account) -> None:
        directory, service = self._means.directory, self._mode.service

        async def owner() -> str:
            found = await directory.account_of_spn(service.name, fresh=True)
            if found is None:
                raise KerberosError(Stage.s4u2proxy, Cause.spn_unknown, service.name)
            return f"{service.name} is {found.sam_account_name}'s"

        async def right() -> str:
            own = await directory.own_account(self._means.principal, fresh=True)
            problem = KerberosError(Stage.s4u2proxy, Cause.not_delegated, service.name)
            named = await self._means.explained(problem, account, service)
            if named.cause is not Cause.not_delegated:
                raise named
            if not own.delegates(service.name):
                return f"{own.sam_account_name} is accepted by the application's own list, or has to be"
            count = len(own.delegates_to)
            return f"{own.sam_account_name} may delegate to {count} services, this one among them"

        await self._step(owner, lambda told: told)
        await self._step(right, lambda told: told)

    async def _tickets(self, account: Account) -> None:
        trial = self._means.trial

        async def user_ticket() -> gssapi.Credentials:
            return await trial.user_ticket(kerberos_name(account))

        user = await self._step(user_ticket, lambda _: f"for {kerberos_name(account)}")
        service = self._mode.service.principal(self._means.realm)
        await self._step(lambda: trial.service_ticket(user, service), lambda _: f"to {service}")

    async def _step(self, call: Callable[[], Awaitable[_T]], told: Callable[[_T], str]) -> _T:
        name = STEPS[len(self._steps)]
        began = self._means.accounts.seconds()
        try:
            result = await call()
        except (KerberosError, DirectoryError, SignOnError) as error:
            self._steps.append(self._failed(name, error, self._milliseconds(began)))
            raise _Failed from error
        self._steps.append(Step(name, "ok", told(result), milliseconds=self._milliseconds(began)))
        return result

    def _failed(
        self, name: str, error: KerberosError | DirectoryError | SignOnError, milliseconds: float
    ) -> Step:
        if isinstance(error, KerberosError):
            advice = advise(
                error,
                account=self._means.principal.partition("@")[0],
                realm=self._means.realm,
                user=self._user,
                spn=self._mode.service.name,
            )
            detail = advice.meaning + (f" ({error.detail})" if error.detail else "")
            return Step(name, "failed", detail, error.cause.value, advice.remedy, milliseconds)
        told = of_directory(error) if isinstance(error, DirectoryError) else error
        detail = str(told).removeprefix(f"{told.cause}: ")
        return Step(name, "failed", detail, told.cause, remedy_of(told, self._user), milliseconds)

    def _milliseconds(self, began: float) -> float:
        return round((self._means.accounts.seconds() - began) * 1000, 1)


def _at_once(call: Callable[[], _T]) -> Callable[[], Awaitable[_T]]:
    async def awaited() -> _T:
        return call()

    return awaited


async def _close_clocks(asking: Deferred[float]) -> str:
    difference = await asking
    if abs(difference) > MAXIMUM_SKEW_SECONDS:
        raise SignOnError(
            f"it is {difference:+.0f} s from this machine's; applications refuse more than "
            f"{MAXIMUM_SKEW_SECONDS:g} s",
            "sso_unavailable",
            "clock_skew",
        )
    return f"{difference:+.0f} s from this machine's"
