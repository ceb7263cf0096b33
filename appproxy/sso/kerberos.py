"""
Integrated Windows Authentication: each request carries a ticket that the connector got in
the user's name (Kerberos constrained delegation).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from appproxy.directory.account import Account
from appproxy.directory.directory import Directory
from appproxy.directory.errors import DirectoryError
from appproxy.httpwire.block import Blocks, blocks_of, fields_of
from appproxy.httpwire.field import Fields, field
from appproxy.httpwire.names import WWW_AUTHENTICATE
from appproxy.kerberos.advice import advise
from appproxy.kerberos.bad_option import explain_bad_option
from appproxy.kerberos.causes import Cause, KerberosError, Stage
from appproxy.kerberos.negotiate import read_challenges
from appproxy.kerberos.spnego import SpnegoError
from appproxy.kerberos.tickets import TicketKey, Tickets, TokenForm
from appproxy.kerberos.trial import Trial
from appproxy.model.principal import Principal
from appproxy.model.service_name import NameRefused, Service, concrete, parse_service, permits
from appproxy.model.sign_on import KerberosSignOn
from appproxy.sso.errors import SignOnError
from appproxy.sso.kerberos_accounts import Accounts, kerberos_name
from appproxy.sso.kerberos_advice import remedy_of
from appproxy.sso.kerberos_errors import of_kerberos
from appproxy.sso.kerberos_steps import Steps
from appproxy.sso.sign_on import Attempt, SignOn, Step

if TYPE_CHECKING:
    # Which needs the optional library.
    from appproxy.kerberos.delegation import Negotiation

_log: Final = Logger(__name__)

MAXIMUM_TICKETS_TRIED: Final = 2
"""For one request: the one at hand, and a new one if the application does not take that."""


class Kerberos:
    """
    This connector's means for signing users on.
    """

    def __init__(
        self,
        directory: Directory,
        tickets: Tickets,
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
    """

    def __init__(self, means: Kerberos, settings: KerberosSignOn, service: Service) -> None:
        # The user is known by the connection to many such servers, whatever they are asked later.
        super().__init__([b"Authorization"], binds_connection=True)
        self.means = means
        self.settings = settings
        self.service = service
        self._form = TokenForm(settings.token)
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

    def negotiation(self, principal: Principal) -> Negotiation | Deferred[Negotiation]:
        """
        A token for one request: at once if the user's account and ticket are remembered.

        @raise SignOnError: (or a failure) if there is none.
        """
        account = self.means.accounts.find(principal, self.settings.login_identity)
        if isinstance(account, Deferred):
            return Deferred.fromCoroutine(self._slowly(principal, account))
        negotiation = self._ticket(principal, account)
        if isinstance(negotiation, Deferred):
            return Deferred.fromCoroutine(self._got(negotiation, account))
        return negotiation

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

    def _ticket(self, principal: Principal, account: Account) -> Negotiation | Deferred[Negotiation]:
        key = TicketKey(principal.issuer, principal.subject, account.sid, self._spn)
        return self.means.tickets.negotiation(key, kerberos_name(account), self._form)

    async def _slowly(self, principal: Principal, finding: Deferred[Account]) -> Negotiation:
        account = await finding
        negotiation = self._ticket(principal, account)
        return await self._got(negotiation, account) if isinstance(negotiation, Deferred) else negotiation

    async def _got(self, waiting: Deferred[Negotiation], account: Account) -> Negotiation:
        try:
            return await waiting
        except KerberosError as error:
            raise of_kerberos(await self.means.explained(error, account, self.service)) from error
        except CancelledError as error:
            # The user may have several sessions; what they have of tickets goes with the first that ends.
            raise SignOnError("a session of this user's ended", "sso_unavailable", "forgotten") from error


class KerberosAttempt(Attempt):
    """
    One request's: a token with the first sending or after the application asked, and once more with a new
    ticket if the application does not take the one at hand (its key was changed).
    """

    def __init__(self, mode: KerberosMode, principal: Principal, repeatable: bool) -> None:
        self._mode = mode
        self._principal = principal
        self._repeatable = repeatable
        settings = mode.settings
        self._must_prove = settings.mutual_authentication == "required"
        # What has a body cannot be sent a second time; and who must prove themselves do so by a ticket.
        self._waits_for_401 = settings.send == "after_401" and repeatable and not self._must_prove
        self._negotiation: Negotiation | None = None
        self._tried = 0
        self._proved: bool | None = None
        self.headers: Fields = []

    def prepare(self) -> Deferred[None] | None:
        """See L{Attempt.prepare}."""
        self._negotiation = None
        if self._waits_for_401:
            self.headers = []
            return None
        negotiation = self._mode.negotiation(self._principal)
        if isinstance(negotiation, Deferred):
            return negotiation.addCallback(self._take)
        self._take(negotiation)
        return None

    def answered(self, status: int, headers: Blocks) -> bool:
        """See L{Attempt.answered}."""
        challenges = [each.value for each in _challenges(headers)]
        if status == 401:
            return self._asked(challenges)
        if self._negotiation is not None:
            self._verify(self._negotiation, challenges)
        return False

    def passed(self, headers: Blocks) -> Blocks:
        """
        All but what asks for a sign-on: the user's own can never reach the application, and a browser
        that is asked for one would show a dialog that leads nowhere.
        """
        if not any(_challenges(headers)):
            return headers
        return blocks_of([each for each in fields_of(headers) if each.kind != WWW_AUTHENTICATE])

    def proved(self) -> bool | None:
        """See L{Attempt.proved}."""
        return self._proved

    def _take(self, negotiation: Negotiation) -> None:
        self._negotiation = negotiation
        self._tried += 1
        self.headers = [field(b"Authorization", b"Negotiate " + negotiation.token)]

    def _asked(self, challenges: list[bytes]) -> bool:
        """A 401: whether to go on with a (new) ticket."""
        try:
            token = read_challenges(challenges)
        except SpnegoError:
            token = b""
        if self._waits_for_401:
            self._waits_for_401 = False
            return token is not None
        if self._negotiation is None or token is None:
            return False
        once_more = self._repeatable and self._tried < MAXIMUM_TICKETS_TRIED
        if once_more and self._mode.replace_ticket(self._principal):
            return True
        if token or self._must_prove:
            # It says what it had against the ticket.
            self._verify(self._negotiation, challenges)
        _log.warn(
            "{event}: {service} takes no ticket of this user's, or lets nobody in",
            event="sign_on_refused",
            service=self._mode.service.name,
            fault="operator",
        )
        return False

    def _verify(self, negotiation: Negotiation, challenges: list[bytes]) -> None:
        if self._mode.settings.mutual_authentication == "off":
            return
        self._proved = False
        if not self._must_prove and not _proves(challenges):
            return
        try:
            negotiation.verify(*challenges)
        except KerberosError as error:
            raise of_kerberos(error) from error
        self._proved = True


def _proves(challenges: list[bytes]) -> bool:
    try:
        return bool(read_challenges(challenges))
    except SpnegoError:
        # For the verification to name.
        return True


def _challenges(headers: Blocks) -> Fields:
    return [each for block in headers for each in block.marked if each.kind == WWW_AUTHENTICATE]
