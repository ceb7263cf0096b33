"""
What a user's ticket is used for: a token for each request, and the application's proof, by MIT's GSSAPI.
Nobody is asked for anything.

Only the krb5 mechanism is used, and wrapped by L{appproxy.kerberos.spnego}.
"""

from __future__ import annotations

from typing import Final, cast

import gssapi
from gssapi.raw.message import verify_mic
from gssapi.raw.misc import GSSError
from gssapi.raw.named_tuples import InitSecContextResult
from gssapi.raw.sec_contexts import SecurityContext, init_sec_context

from appproxy.kerberos.causes import Cause, KerberosError, Stage
from appproxy.kerberos.library_errors import refuse
from appproxy.kerberos.negotiate import TokenWriter, read_challenges
from appproxy.kerberos.spnego import MECHANISMS, SpnegoError, State, is_response, read_response

KRB5: Final = gssapi.MechType.kerberos
MUTUAL: Final = (gssapi.RequirementFlag.mutual_authentication,)


class ServiceTicket:
    """
    See L{appproxy.kerberos.negotiation.Ticket}.

    gssapi's lower layer is used here, which costs a third less than the upper one with each request.
    """

    __slots__ = ("_name", "_user", "_writer", "alone", "ends_at")

    def __init__(
        self, user: gssapi.Credentials, name: gssapi.Name, ends_at: float, alone: bool = True
    ) -> None:
        self._user = user
        self._name = name
        self._writer = TokenWriter(wrapped=True)
        self.ends_at = ends_at
        self.alone = alone

    def negotiate(self, wrapped: bool) -> GssNegotiation:
        """See L{appproxy.kerberos.negotiation.Ticket.negotiate}."""
        try:
            begun = self.step(None, None)
        except GSSError as error:
            refuse(Stage.s4u2proxy, error)
        if self._writer.wrapped is not wrapped:
            self._writer = TokenWriter(wrapped)
        return GssNegotiation(self, begun.context, self._writer.write(begun.token or b""))

    def step(self, context: SecurityContext | None, token: bytes | None) -> InitSecContextResult:
        """
        The first step of an exchange, or the one that follows the application's token.

        @raise GSSError: if libkrb5 refuses.
        """
        return init_sec_context(
            self._name, self._user, context=context, mech=KRB5, flags=MUTUAL, input_token=token
        )


class GssNegotiation:
    """See L{appproxy.kerberos.negotiation.Negotiation}."""

    __slots__ = ("_context", "_ticket", "token")

    def __init__(self, ticket: ServiceTicket, context: SecurityContext, token: bytes) -> None:
        self._ticket = ticket
        self._context = context
        self.token = token

    def verify(self, *challenges: bytes) -> None:
        """See L{appproxy.kerberos.negotiation.Negotiation.verify}."""
        try:
            reply = read_challenges(challenges)
            if not reply:
                raise KerberosError(Stage.mutual, Cause.reply_missing)
            self._verify(reply)
        except SpnegoError as error:
            raise KerberosError(Stage.mutual, Cause.reply_malformed, str(error)) from None
        except GSSError as error:
            refuse(Stage.mutual, error)

    def _verify(self, reply: bytes) -> None:
        mic = b""
        if is_response(reply):
            response = read_response(reply)
            if not response.is_kerberos:
                raise KerberosError(Stage.mutual, Cause.wrong_mechanism)
            if response.state is State.reject and not response.token:
                raise KerberosError(Stage.mutual, Cause.rejected)
            if not response.token:
                raise KerberosError(Stage.mutual, Cause.reply_missing, "the answer has no token")
            # Windows may repeat the token there, which signs nothing ([MS-SPNG]).
            reply, mic = response.token, response.mic if response.mic != response.token else b""
        if self._ticket.step(self._context, reply).more_steps:
            raise KerberosError(Stage.mutual, Cause.reply_malformed, "the exchange is not complete")
        if mic:
            verify_mic(cast(gssapi.SecurityContext, self._context), MECHANISMS, mic)
