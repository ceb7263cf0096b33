"""
One sign-in from its start to its session, without any HTML.

State, nonce and code verifier are bound to the browser by a sealed cookie; a
state is spent in the store, so that it counts once on every edge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from appproxy.model.principal import Principal
from appproxy.model.refusal import Error, Refusal
from appproxy.session.cookies import SIGN_IN_COOKIE, clear_cookie, set_cookie
from appproxy.session.handover import SignInRequest, host_of
from appproxy.session.keyring import Keyring
from appproxy.session.record import Tokens
from appproxy.session.records import Sessions
from appproxy.session.seals import BadSeal, Purpose
from appproxy.session.spent import spend
from appproxy.signin.claims import ClaimsMapping, ClaimsProblem
from appproxy.signin.id_token import TokenProblem
from appproxy.signin.pending import (
    MAXIMUM_PENDING,
    PENDING_SECONDS,
    PendingSignIn,
    PendingSignIns,
    decode_pending,
    no_pending,
)
from appproxy.signin.provider import Provider, SignedIn
from appproxy.signin.web_client import ProviderError, ProviderUnreachable
from appproxy.store.istore import IStore
from appproxy.store.patience import in_time

CODE_LIMIT: Final = 8192
"""Characters of an authorization code; some providers put sealed state into it."""

_ERROR_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,60}\Z")

_log = Logger()

Arguments = Mapping[bytes, Sequence[bytes]]


class SignInProblem(Exception):
    """
    The sign-in did not come about.

    @ivar refusal: what to tell the user.
    @ivar retry_url: where to begin again, or L{None}.
    @ivar set_cookie: a Set-Cookie value to send along, or L{None}.
    @ivar why: for the log.
    """

    def __init__(
        self,
        refusal: Refusal,
        retry_url: str | None = None,
        set_cookie: bytes | None = None,
        why: str = "",
    ) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal
        self.why = why
        self.retry_url = retry_url
        self.set_cookie = set_cookie


@dataclass(frozen=True)
class Departure:
    """Where to send the browser to sign in, and the cookie that goes along."""

    location: str
    set_cookie: bytes


@dataclass(frozen=True)
class Arrival:
    """
    A finished sign-in.

    @ivar session_id: the user's session.
    @ivar request: where the user wanted to go.
    @ivar set_cookie: the sign-ins that are still under way.
    """

    session_id: str
    request: SignInRequest
    set_cookie: bytes


class SignInFlow:
    """
    @param auth_origin: scheme, host and port of the sign-in host.
    @param maximum_pending: C{limits.pending_sign_ins_per_browser}.
    @ivar outcomes: finished sign-ins by outcome: C{success} or a reason of L{Error.SignInFailed}.
    """

    def __init__(
        self,
        provider: Provider,
        mapping: ClaimsMapping,
        sessions: Sessions,
        keyring: Keyring,
        store: IStore,
        clock: IReactorTime,
        auth_origin: str,
        maximum_pending: int = MAXIMUM_PENDING,
    ) -> None:
        self.provider = provider
        self.outcomes: dict[str, int] = {}
        self._mapping = mapping
        self._sessions = sessions
        self._keyring = keyring
        self._store = store
        self._clock = clock
        self._auth_host = host_of(auth_origin)
        self._maximum_pending = maximum_pending

    # The way out

    def depart(self, request: SignInRequest, cookie: bytes | None) -> Deferred[Departure]:
        """
        Begin a sign-in.

        @param cookie: the browser's L{SIGN_IN_COOKIE} at the sign-in host.
        @raise SignInProblem: (as a failure) if the provider cannot be asked where to go.
        """
        return Deferred.fromCoroutine(self._depart(request, cookie))

    async def _depart(self, request: SignInRequest, cookie: bytes | None) -> Departure:
        pending = self._pending(cookie).started(request, self._clock.seconds())
        newest = pending.pending[-1]
        try:
            location = await self.provider.authorization_url(
                self._state(newest), pending.nonce(newest), pending.verifier(newest)
            )
        except (ProviderUnreachable, ProviderError) as problem:
            raise self._problem("provider_unreachable", str(problem), request.url) from None
        return Departure(location, self._set_pending(pending))

    def _state(self, pending: PendingSignIn) -> str:
        """
        Names the sign-in, and the host to try again at if the browser has forgotten it.
        """
        data = f"{pending.id} {pending.request.origin}".encode()
        return self._keyring.seal(Purpose.STATE, self._auth_host, data).decode()

    def _pending(self, cookie: bytes | None) -> PendingSignIns:
        if cookie is not None:
            try:
                data = self._keyring.unseal(Purpose.SIGN_IN_COOKIE, self._auth_host, cookie)
                return decode_pending(data, self._maximum_pending)
            except (BadSeal, ValueError):
                pass
        return no_pending(self._maximum_pending)

    def _set_pending(self, pending: PendingSignIns) -> bytes:
        if not pending.pending:
            return clear_cookie(SIGN_IN_COOKIE)
        value = self._keyring.seal(Purpose.SIGN_IN_COOKIE, self._auth_host, pending.encoded())
        return set_cookie(SIGN_IN_COOKIE, value, max_age=PENDING_SECONDS)

    # The way back

    def arrive(
        self,
        arguments: Arguments,
        cookie: bytes | None,
        current: Principal | None,
        client_address: str = "",
    ) -> Deferred[Arrival]:
        """
        Finish a sign-in with what the browser brought back from the provider.

        @param cookie: the browser's L{SIGN_IN_COOKIE} at the sign-in host.
        @param current: whoever is signed in at the sign-in host with this browser.
        @raise SignInProblem: (as a failure) if this signs nobody in.
        @raise StoreError: (as a failure) if it cannot be written down.
        """
        return Deferred.fromCoroutine(self._arrive(arguments, cookie, current, client_address))

    async def _arrive(
        self, arguments: Arguments, cookie: bytes | None, current: Principal | None, client_address: str
    ) -> Arrival:
        every = self._pending(cookie)
        pending = await self._taken(arguments, every)
        rest = self._set_pending(every.without(pending.id))
        try:
            code = await self._code(arguments)
            signed_in = await self.provider.redeem(code, every.verifier(pending), every.nonce(pending))
            principal = self._mapping.principal(self.provider.settings.issuer, signed_in.claims)
        except Exception as problem:
            raise self._explained(problem, pending.request.url, rest) from None
        session_id = await self._session(principal, signed_in, pending, current)
        self._note(signed_in, principal, session_id, client_address)
        return Arrival(session_id, pending.request, rest)

    async def _taken(self, arguments: Arguments, every: PendingSignIns) -> PendingSignIn:
        """The sign-in that C{state} names: begun by this browser, and used up now."""
        state = single(arguments, b"state")
        try:
            data = self._keyring.unseal(Purpose.STATE, self._auth_host, state or b"")
        except BadSeal:
            raise self._problem("state_unknown", "not a state of ours") from None
        identifier, _, origin = data.decode().partition(" ")
        pending = every.find(identifier, self._clock.seconds())
        if pending is None:
            reason = "too_many_attempts" if every.is_full else "state_unknown"
            raise self._problem(reason, "not begun in this browser, or too long ago", origin + "/")
        first = spend(self._store, "state", identifier.encode(), PENDING_SECONDS)
        if not await in_time(first, self._clock):
            raise self._problem("state_unknown", "used before", pending.request.url)
        return pending

    async def _code(self, arguments: Arguments) -> str:
        metadata = await self.provider.metadata()
        names_itself = metadata.names_itself or b"iss" in arguments
        if names_itself and single(arguments, b"iss") != metadata.issuer.encode():
            raise TokenProblem("response_issuer")  # RFC 9207, section 2.4
        if b"error" in arguments:
            error = (single(arguments, b"error") or b"").decode("ascii", "replace")
            raise ProviderError(error if _ERROR_CODE.match(error) else "an error without a proper code")
        code = single(arguments, b"code")
        if not code or len(code) > CODE_LIMIT or not code.isascii():
            raise ProviderError("the answer has not exactly one code")
        return code.decode("ascii")

    def _explained(self, problem: Exception, retry_url: str, set_cookie: bytes) -> Exception:
        if isinstance(problem, ProviderUnreachable):
            reason = "provider_unreachable"
        elif isinstance(problem, ProviderError):
            reason = "provider_error"
        elif isinstance(problem, TokenProblem | ClaimsProblem):
            reason = "token_invalid"
        else:
            return problem
        return self._problem(reason, str(problem), retry_url, set_cookie)

    async def _session(
        self, principal: Principal, signed_in: SignedIn, pending: PendingSignIn, current: Principal | None
    ) -> str:
        """
        A new session; the browser's old one ends (session fixation).

        Only where another tab of the same browser finished a sign-in of the
        same user while this one was under way, both share that session: ending
        it would break what the other tab has just opened.
        """
        if current is not None:
            same_user = (current.issuer, current.subject) == (principal.issuer, principal.subject)
            begun = self._sessions.created_at(current.session_id)
            if same_user and begun is not None and begun >= pending.started_at:
                return current.session_id
            await self._sessions.end(current.session_id, "replaced")
        return await self._sessions.create(principal, tokens_of(signed_in))

    # What is noted

    def _problem(
        self, reason: str, why: str, retry_url: str | None = None, set_cookie: bytes | None = None
    ) -> SignInProblem:
        self._count(reason)
        return SignInProblem(Refusal(Error.SignInFailed, reason), retry_url, set_cookie, why)

    def _note(self, signed_in: SignedIn, principal: Principal, session_id: str, client_address: str) -> None:
        self._count("success")
        tokens = tokens_of(signed_in)
        _log.info(
            "{event}: {outcome}, {user}",
            event="sign_in",
            outcome="success",
            issuer=principal.issuer,
            subject=principal.subject,
            user=principal.label,
            session=session_id[:8],
            client_address=client_address,
            auth_time=tokens.auth_time or None,
            amr=" ".join(tokens.methods),
        )

    def turned_away(self, reason: str) -> None:
        """Count a sign-in that was not even looked at."""
        self._count(reason)

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


def single(arguments: Arguments, name: bytes) -> bytes | None:
    """The one value of a parameter; L{None} if it is missing or there more than once."""
    values = arguments.get(name, ())
    return values[0] if len(values) == 1 else None


def tokens_of(signed_in: SignedIn) -> Tokens:
    """What the session's record keeps of a sign-in."""
    claims = signed_in.claims
    provider_session, methods, auth_time = claims.get("sid"), claims.get("amr"), claims.get("auth_time")
    return Tokens(
        signed_in.id_token,
        signed_in.refresh_token,
        provider_session if isinstance(provider_session, str) else "",
        float(auth_time) if isinstance(auth_time, int | float) else 0.0,
        tuple(each for each in methods if isinstance(each, str)) if isinstance(methods, list) else (),
    )
