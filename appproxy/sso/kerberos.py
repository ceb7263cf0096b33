"""
Integrated Windows Authentication: each request carries a ticket that the connector got in
the user's name (Kerberos constrained delegation).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred

from appproxy.directory.account import Account
from appproxy.directory.directory import Directory
from appproxy.directory.errors import DirectoryError
from appproxy.httpwire.field import Fields
from appproxy.kerberos.advice import advise
from appproxy.kerberos.bad_option import explain_bad_option
from appproxy.kerberos.causes import Cause, KerberosError, Stage
from appproxy.kerberos.negotiation import Negotiation
from appproxy.kerberos.tickets import TicketKey, TokenForm
from appproxy.kerberos.trial import Trial
from appproxy.model.principal import Principal
from appproxy.model.service_name import NameRefused, Service, concrete, parse_service, permits
from appproxy.model.sign_on import KerberosSignOn, LoginIdentity
from appproxy.sso.errors import SignOnError
from appproxy.sso.kerberos_accounts import Accounts, kerberos_name
from appproxy.sso.kerberos_advice import remedy_of
from appproxy.sso.kerberos_attempt import KerberosAttempt
from appproxy.sso.kerberos_errors import of_kerberos
from appproxy.sso.kerberos_steps import Steps
from appproxy.sso.sign_on import Attempt, SignOn, Step


class UserTickets(Protocol):
    """As L{appproxy.kerberos.tickets.Tickets}."""

    def at_hand(self, key: TicketKey, account: str, form: TokenForm) -> Negotiation | None:
        """A token, if the ticket is at hand."""

    def negotiation(
        self, key: TicketKey, account: str, form: TokenForm
    ) -> Negotiation | Deferred[Negotiation]:
        """A token."""

    def replace(self, issuer: str, subject: str, spn: str) -> bool:
        """An application has not taken the ticket."""

    def forget(self, issuer: str, subject: str) -> None:
        """Drop a user's tickets."""


class Kerberos:
    """
    This connector's means for signing users on.
    """

    def __init__(
        self,
        directory: Directory,
        tickets: UserTickets,
        trial: Trial,
        accounts: Accounts,
        principal: str,
        allowed_spns: Iterable[str],
    ) -> None:
        """
        @param trial: for who asks which step fails.
        @param principal: the connector's own, C{name@REALM}.
        @param allowed_spns: the services that its own file allows.
        """
        self.directory = directory
        self.tickets = tickets
        self.trial = trial
        self.accounts = accounts
        self.principal = principal
        self.realm = principal.rpartition("@")[2]
        self._allowed = [parse_service(each) for each in allowed_spns]

    def refusal(self, settings: KerberosSignOn, host: str) -> str:
        """
        Why users are not signed on to an application; empty if they are.

        @param host: of its internal URL.
        """
        try:
            service = concrete(parse_service(settings.service_principal_name), host)
        except NameRefused as error:
            return str(error)
        if not permits(self._allowed, service, self.realm):
            return f"allowed_spns in this connector's file does not cover {service.name}"
        return ""

    def sign_on(self, settings: KerberosSignOn, host: str) -> KerberosMode:
        """The sign-on to an application that is not refused."""
        return KerberosMode(self, settings, concrete(parse_service(settings.service_principal_name), host))

    def forget(self, principal: Principal) -> None:
        """A session of this user's ended."""
        self.tickets.forget(principal.issuer, principal.subject)

    async def explained(self, error: KerberosError, account: Account, service: Service) -> KerberosError:
        """
        The same error, or what the directory shows to be behind it: one code of the KDC's stands for
        several settings.
        """
        if error.stage is not Stage.s4u2proxy or error.cause is not Cause.not_delegated:
            return error
        try:
            own = await self.directory.own_account(self.principal)
            target = await self.directory.account_of_spn(service.name)
        except DirectoryError:
            return error
        cause = explain_bad_option(own, account, service.name, target)
        return KerberosError(error.stage, cause, error.detail)


class KerberosMode(SignOn):
    """
    One application's.

    @ivar service: whose tickets it takes.
    @ivar must_prove: whether it has to prove itself with each answer.
    @ivar may_prove: whether anybody looks for a proof.
    @ivar after_401: whether a token is only sent to who asks for it.
    """

    def __init__(self, means: Kerberos, settings: KerberosSignOn, service: Service) -> None:
        # The user is known by the connection to many such servers, whatever they are asked later.
        super().__init__([b"Authorization"], binds_connection=True)
        self.means = means
        self.settings = settings
        self.service = service
        self.must_prove = settings.mutual_authentication == "required"
        self.may_prove = settings.mutual_authentication != "off"
        self.after_401 = settings.send == "after_401"
        self._form = TokenForm(settings.token)
        self._login_identity: LoginIdentity = settings.login_identity
        self._spn = str(service)

    def headers(self, principal: Principal | None) -> Fields:
        """Each request has its own: L{attempt}."""
        raise SignOnError("a ticket is good for one request")

    def attempt(self, principal: Principal | None, repeatable: bool) -> Attempt:
        """One request's."""
        if principal is None:
            raise SignOnError("Kerberos sign-on needs a signed-in user")
        return KerberosAttempt(self, principal, repeatable)

    def explain(self, principal: Principal) -> Deferred[list[Step]]:
        """See L{SignOn.explain}."""
        return Deferred.fromCoroutine(Steps(self, principal).run())

    def at_hand(self, principal: Principal) -> Negotiation | None:
        """
        A token for one request, if the user's account and ticket are remembered.

        @raise SignOnError: if the user may not be signed on.
        """
        account = self.means.accounts.remembered(principal, self._login_identity)
        if account is None:
            return None
        key = TicketKey(principal.issuer, principal.subject, account.sid, self._spn)
        return self.means.tickets.at_hand(key, kerberos_name(account), self._form)

    def negotiation(self, principal: Principal) -> Deferred[Negotiation]:
        """
        A token for one request, whatever has to be asked for it.

        @return: fails with L{SignOnError} if there is none.
        @raise SignOnError: if the user has no such name.
        """
        finding = self.means.accounts.find(principal, self._login_identity)
        return Deferred.fromCoroutine(self._negotiation(principal, finding))

    def advise(self, problem: SignOnError) -> str:
        """See L{SignOn.advise}."""
        error = problem.__cause__
        if not isinstance(error, KerberosError) or error.cause.value != problem.cause:
            return remedy_of(problem, user="") if problem.cause else ""
        own, _, realm = self.means.principal.rpartition("@")
        meaning, remedy = advise(error, account=own, realm=realm, spn=self.service.name)
        return f"{meaning} {remedy}"

    def replace_ticket(self, principal: Principal) -> bool:
        """The application does not take the user's ticket: whether another one may help."""
        return self.means.tickets.replace(principal.issuer, principal.subject, self._spn)

    async def _negotiation(self, principal: Principal, finding: Deferred[Account]) -> Negotiation:
        account = await finding
        key = TicketKey(principal.issuer, principal.subject, account.sid, self._spn)
        negotiation = self.means.tickets.negotiation(key, kerberos_name(account), self._form)
        return await self._got(negotiation, account) if isinstance(negotiation, Deferred) else negotiation

    async def _got(self, waiting: Deferred[Negotiation], account: Account) -> Negotiation:
        try:
            return await waiting
        except KerberosError as error:
            problem = of_kerberos(await self.means.explained(error, account, self.service))
            # Compiled, C{raise ... from} would forget it, and with it the advice.
            problem.__cause__ = error
            raise problem  # noqa: B904
        except CancelledError:
            # The user may have several sessions; what they have of tickets goes with the first that ends.
            raise SignOnError("a session of this user's ended", "sso_unavailable", "forgotten") from None
