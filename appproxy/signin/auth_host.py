"""
The sign-in host: the one place that talks to the provider through the browser.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from appproxy.model.refusal import Error, Refusal
from appproxy.pages.request import PageRequest
from appproxy.session.cookies import SESSION_COOKIE, SIGN_IN_COOKIE, clear_cookie, set_cookie
from appproxy.session.handover import Handover
from appproxy.session.seals import BadSeal
from appproxy.signin.answering import Answer, Answering, Folder, Page, cookie_of, redirect
from appproxy.signin.every_host import EveryHost, note_failure
from appproxy.signin.flow import SignInFlow, SignInProblem, single
from appproxy.signin.throttle import WINDOW_SECONDS, FailureThrottle

_NOT_A_REQUEST: Final = Refusal(Error.SignInFailed, "state_unknown")
_THROTTLED: Final = Refusal(Error.SignInFailed, "throttled")
_RETRY_AFTER: Final = (b"Retry-After", b"%d" % WINDOW_SECONDS)
_NO_PROVIDER: Final = Refusal(Error.SignInFailed, "provider_unreachable", "operator")


class AuthHost:
    """
    @param flow: signs users in; L{None} where no provider is configured.
    @param is_healthy: what balancers are told.
    """

    def __init__(
        self,
        answering: Answering,
        handover: Handover,
        flow: SignInFlow | None,
        is_healthy: Callable[[], bool],
    ) -> None:
        self._answering = answering
        self._sessions = answering.sessions
        self._handover = handover
        self._flow = flow
        self._is_healthy = is_healthy
        self._throttle = FailureThrottle(answering.clock)

    async def sign_in(self, request: PageRequest) -> Answer:
        """
        C{GET /.appproxy/sign-in?return=}: back with a ticket if this browser is
        signed in already, else on to the provider.
        """
        arguments = request.args or {}
        if b"return" not in arguments:
            return redirect(self._answering.portal_url)
        try:
            wanted = self._handover.read_request(single(arguments, b"return") or b"")
        except BadSeal:
            return self._answering.refused(request, _NOT_A_REQUEST, self._answering.portal_url)
        if self._handover.is_stale(wanted):
            return redirect(wanted.url)
        principal = await self._answering.signed_in(request)
        if principal is not None:
            return redirect(self._handover.make_ticket(wanted, principal.session_id))
        if self._flow is None:
            return self._answering.refused(request, _NO_PROVIDER)
        try:
            departure = await self._flow.depart(wanted, self._sign_in_cookie(request))
        except SignInProblem as problem:
            return self._refused(request, problem)
        return redirect(departure.location, departure.set_cookie)

    async def callback(self, request: PageRequest) -> Answer:
        """C{GET /.appproxy/callback}: the provider's answer, brought by the browser."""
        if self._flow is None:
            return self._answering.refused(request, _NO_PROVIDER)
        if self._throttle.is_blocked(request.client_address):
            # Without a line in the sign-in log, which an attacker would fill: the access log has one.
            self._flow.turned_away(_THROTTLED.reason)
            return self._answering.refused(request, _THROTTLED, headers=(_RETRY_AFTER,))
        current = await self._answering.signed_in(request)
        try:
            arrival = await self._flow.arrive(
                request.args or {}, self._sign_in_cookie(request), current, request.client_address
            )
        except SignInProblem as problem:
            if problem.refusal.reason != "provider_unreachable":
                self._throttle.failed(request.client_address)
            return self._refused(request, problem)
        cookie = set_cookie(SESSION_COOKIE, self._sessions.cookie(arrival.session_id, request.host_name))
        ticket = self._handover.make_ticket(arrival.request, arrival.session_id)
        return redirect(ticket, cookie, arrival.set_cookie)

    async def signed_out(self, request: PageRequest) -> Answer:
        """C{GET /.appproxy/signed-out}: the end; it leads nowhere by itself."""
        provider_too = b"provider" not in (request.args or {})
        page = self._answering.pages.signed_out(
            sign_in_url=self._answering.portal_url, provider_too=provider_too
        )
        cookies = () if await self._answering.signed_in(request) else (clear_cookie(SESSION_COOKIE),)
        return Answer(200, page, cookies=cookies)

    async def health(self, request: PageRequest) -> Answer:
        """C{GET /.appproxy/healthz}: three bytes for balancers."""
        healthy = self._is_healthy()
        return Answer(200 if healthy else 503, b"ok\n" if healthy else b"no\n", b"text/plain")

    def children(self) -> dict[bytes, Page]:
        """The resources by their names."""
        answering = self._answering
        return {
            b"sign-in": Page(answering, GET=self.sign_in),
            b"callback": Page(answering, GET=self.callback),
            b"signed-out": Page(answering, GET=self.signed_out),
            b"healthz": Page(answering, GET=self.health, HEAD=self.health),
        }

    def _refused(self, request: PageRequest, problem: SignInProblem) -> Answer:
        note_failure(request, problem.refusal.reason, problem.why)
        cookies = () if problem.set_cookie is None else (problem.set_cookie,)
        return self._answering.refused(request, problem.refusal, problem.retry_url, cookies)

    @staticmethod
    def _sign_in_cookie(request: PageRequest) -> bytes | None:
        return cookie_of(request, SIGN_IN_COOKIE)


def resources_for_auth_host(auth_host: AuthHost, every_host: EveryHost, answering: Answering) -> Folder:
    """What stands at C{/.appproxy/} of the sign-in host: tickets are spent elsewhere."""
    children = every_host.children()
    del children[b"ticket"]
    return Folder(answering, {**children, **auth_host.children()})
