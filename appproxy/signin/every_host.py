"""
What every host of the edge offers below C{/.appproxy/}: the ticket that brings
a user back from signing in, signing out, and what scripts may ask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from appproxy.model.application import CookieSettings
from appproxy.model.principal import Principal
from appproxy.model.refusal import Error, Refusal
from appproxy.pages.request import PageRequest
from appproxy.session.cookies import SESSION_COOKIE, SIGN_IN_COOKIE, clear_cookie, set_cookie
from appproxy.session.handover import Handover, TicketRefused
from appproxy.signin.answering import (
    STORE_AWAY,
    Answer,
    Answering,
    Folder,
    Page,
    cookie_of,
    json_answer,
    redirect,
)
from appproxy.signin.flow import single
from appproxy.signin.provider import Provider
from appproxy.store.istore import StoreError

SIGNED_OUT_PATH: Final = "/.appproxy/signed-out"
LOCAL_ONLY: Final = "?provider=kept"
"""Added where the provider's own session goes on, so that the page can say so."""

_FOREIGN_ORIGIN: Final = Refusal(Error.Forbidden, "foreign_origin")
_NO_TICKET: Final = Refusal(Error.SignInFailed, "state_unknown")

_log = Logger()


def note_failure(request: PageRequest, reason: str, why: str) -> None:
    """
    Write the line of a sign-in that did not come about.

    @param reason: that of the page, and of the metrics.
    """
    _log.warn(
        "{event}: {outcome}, {reason}: {why}",
        event="sign_in",
        outcome="failure",
        reason=reason,
        why=why,
        transaction_id=request.transaction_id,
        client_address=request.client_address,
        fault="peer",
    )


class EveryHost:
    """
    @param provider: where users sign in; L{None} if nobody does.
    @param cookie_settings: how the cookie of a host is set, by its application.
    """

    def __init__(
        self,
        answering: Answering,
        handover: Handover,
        provider: Provider | None,
        cookie_settings: Callable[[bytes], CookieSettings] = lambda _host: CookieSettings(),
    ) -> None:
        self._answering = answering
        self._sessions = answering.sessions
        self._handover = handover
        self._provider = provider
        self._cookie_settings = cookie_settings

    async def spend_ticket(self, request: PageRequest) -> Answer:
        """C{GET /.appproxy/ticket?ticket=}: let the user in, or say why not."""
        ticket = single(request.args or {}, b"ticket")
        cookie = cookie_of(request, SIGN_IN_COOKIE)
        if ticket is None:
            return self._answering.refused(request, _NO_TICKET, request.origin + "/")
        try:
            spent = await self._handover.spend_ticket(ticket, request.host_name, cookie)
        except TicketRefused as refused:
            note_failure(request, _NO_TICKET.reason, refused.why)
            return self._answering.refused(
                request, _NO_TICKET, request.origin + (refused.retry_target or "/")
            )
        return redirect(request.origin + spent.target, self._session_cookie(request, spent.session_id))

    def _session_cookie(self, request: PageRequest, session_id: str) -> bytes:
        settings = self._cookie_settings(request.host_name)
        ends = self._sessions.expires_at(session_id) if settings.persistent else None
        return set_cookie(
            SESSION_COOKIE,
            self._sessions.cookie(session_id, request.host_name),
            max_age=None if ends is None else max(0.0, ends - self._answering.clock.seconds()),
            same_site=settings.same_site,
            http_only=settings.http_only,
        )

    async def ask_sign_out(self, request: PageRequest) -> Answer:
        """C{GET /.appproxy/sign-out}: a button; following a link signs nobody out."""
        principal = await self._answering.signed_in(request)
        page = self._answering.pages.sign_out_question(
            user=principal.label if principal else None, back_url=request.origin + "/"
        )
        return Answer(200, page)

    async def sign_out(self, request: PageRequest) -> Answer:
        """
        C{POST /.appproxy/sign-out}: end the session everywhere, then at the provider.

        Browsers say where a form was (Fetch, section 3.2.6); another site may
        not sign somebody out.
        """
        origins = request.requestHeaders.getRawHeaders(b"origin") or ()
        if list(origins) != [request.origin.encode("ascii")]:
            return self._answering.refused(request, _FOREIGN_ORIGIN)
        principal = await self._answering.signed_in(request)
        location = None
        cookies = (clear_cookie(SESSION_COOKIE), clear_cookie(SIGN_IN_COOKIE))
        if principal is not None:
            try:
                location = await self._end(principal)
            except StoreError:  # ended here, but other edges were not told: that is no success
                return self._answering.refused(request, STORE_AWAY, cookies=cookies)
            self._note_sign_out(request, principal)
        return redirect(location or self._handover.auth_origin + SIGNED_OUT_PATH + LOCAL_ONLY, *cookies)

    async def _end(self, principal: Principal) -> str | None:
        """End the session; where to go on to at the provider, if there is such a place."""
        try:
            tokens = await self._sessions.tokens(principal.session_id)
        finally:
            await self._sessions.end(principal.session_id, "sign_out")
        if self._provider is None or tokens is None:
            return None
        return await self._provider.end_session_url(tokens.id_token)

    @staticmethod
    def _note_sign_out(request: PageRequest, principal: Principal) -> None:
        _log.info(
            "{event}: {user}",
            event="sign_out",
            outcome="success",
            reason="sign_out",
            issuer=principal.issuer,
            subject=principal.subject,
            user=principal.label,
            session=principal.session_id[:8],
            client_address=request.client_address,
        )

    async def session(self, request: PageRequest) -> Answer:
        """C{GET /.appproxy/session}: for scripts of an application; no secret in it."""
        principal = await self._answering.signed_in(request)
        if principal is None:
            return self._answering.sign_in_required(request)
        return json_answer(
            200,
            {
                "name": principal.display_name or principal.label,
                "expires_at": self._sessions.expires_at(principal.session_id),
                "sign_in_url": request.origin + "/",
            },
        )

    def children(self) -> dict[bytes, Page]:
        """The resources by their names."""
        answering = self._answering
        return {
            b"ticket": Page(answering, GET=self.spend_ticket),
            b"sign-out": Page(answering, GET=self.ask_sign_out, POST=self.sign_out),
            b"session": Page(answering, GET=self.session),
        }


def resources_for_every_host(every_host: EveryHost, answering: Answering) -> Folder:
    """What stands at C{/.appproxy/} of applications and of the portal."""
    return Folder(answering, every_host.children())
