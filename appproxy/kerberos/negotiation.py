"""
What a user's ticket is good for, whichever library has it.
"""

from __future__ import annotations

from typing import Protocol


class Negotiation(Protocol):
    """
    One request's authentication. Its token is good for that request alone: acceptors remember tokens.
    """

    @property
    def token(self) -> bytes:
        """What follows C{Negotiate } in C{Authorization}."""

    def verify(self, *challenges: bytes) -> None:
        """
        Let the application prove that it has the service's key.

        @param challenges: the values of the answer's C{WWW-Authenticate} headers.
        @raise KerberosError: of L{Stage.mutual<appproxy.kerberos.causes.Stage.mutual>}: if it does not, or
            says why it refused.
        """


class Ticket(Protocol):
    """
    One user's ticket to one application. It is never shared by users, and used by one thread at a time.
    """

    @property
    def ends_at(self) -> float:
        """When it ends, by the system's clock."""

    @property
    def alone(self) -> bool:
        """Whether nothing else is at hand with it, by which the library could get another one."""

    def negotiate(self, wrapped: bool) -> Negotiation:
        """
        Begin one request's authentication. The ticket is at hand, so no KDC is asked as long as it is valid.

        @param wrapped: in SPNEGO; else the bare Kerberos token.
        @raise KerberosError: if it cannot be used.
        """
