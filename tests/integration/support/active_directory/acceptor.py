"""
The application's side of Kerberos, as one call; also as a program, for one with another clock.
"""

from __future__ import annotations

import sys
from base64 import b64decode, b64encode
from pathlib import Path

import gssapi
from gssapi.raw.misc import GSSError


class Acceptor:
    """A service with its keytab."""

    def __init__(self, keytab: Path) -> None:
        self._credentials = gssapi.Credentials(usage="accept", store={"keytab": str(keytab)})

    def accept(self, token: bytes) -> tuple[str, bytes]:
        """
        Take what follows C{Negotiate } in a request.

        @return: who the user is, empty if refused; the value of C{WWW-Authenticate} in the answer.
        """
        context = gssapi.SecurityContext(creds=self._credentials, usage="accept")
        reply = context.step(b64decode(token, validate=True)) or b""
        try:
            name = str(context.initiator_name) if context.complete else ""
        except GSSError:
            # gssapi keeps an error back until now where there is a token that says so to the other side.
            name = ""
        return name, b"Negotiate " + b64encode(reply)

    def accept_and_sign(self, token: bytes, message: bytes) -> tuple[bytes, bytes]:
        """
        Take a bare Kerberos token.

        @return: the mechanism's token for the other side, and its signature over a message.
        """
        context = gssapi.SecurityContext(creds=self._credentials, usage="accept")
        reply = context.step(b64decode(token, validate=True)) or b""
        return reply, context.get_signature(message)


if __name__ == "__main__":
    user, challenge = Acceptor(Path(sys.argv[1])).accept(sys.argv[2].encode())
    print(user or "-", challenge.decode(), sep="\n")
