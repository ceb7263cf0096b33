"""
The Kerberos sign-on of one request: a token goes with it, and the answer brings the application's proof.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from appproxy.httpwire.block import Block, Blocks, blocks_of
from appproxy.httpwire.field import Field, Fields
from appproxy.httpwire.names import WWW_AUTHENTICATE, name_of
from appproxy.kerberos.causes import KerberosError
from appproxy.kerberos.negotiate import read_challenges
from appproxy.kerberos.negotiation import Negotiation
from appproxy.kerberos.spnego import SpnegoError
from appproxy.model.principal import Principal
from appproxy.sso.kerberos_errors import of_kerberos
from appproxy.sso.sign_on import Attempt

if TYPE_CHECKING:
    from appproxy.sso.kerberos import KerberosMode

_log: Final = Logger(__name__)

_AUTHORIZATION: Final = name_of(b"Authorization")

MAXIMUM_TICKETS_TRIED: Final = 2
"""For one request: the one at hand, and a new one if the application does not take that."""


class KerberosAttempt(Attempt):
    """
    One request's: a token with the first sending or after the application asked, and once more with a new
    ticket if the application does not take the one at hand (its key was changed).
    """

    def __init__(self, mode: KerberosMode, principal: Principal, repeatable: bool) -> None:
        self._mode = mode
        self._principal = principal
        self._repeatable = repeatable
        self._must_prove: bool = mode.must_prove
        # What has a body cannot be sent a second time; and who must prove themselves do so by a ticket.
        self._waits_for_401: bool = mode.after_401 and repeatable and not self._must_prove
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
        negotiation = self._mode.at_hand(self._principal)
        if negotiation is None:
            return self._mode.negotiation(self._principal).addCallback(self._take)
        self._take(negotiation)
        return None

    def answered(self, status: int, headers: Blocks) -> bool:
        """See L{Attempt.answered}."""
        challenges: list[bytes] = []
        for block in headers:
            for each in block.marked:
                if each.kind == WWW_AUTHENTICATE:
                    challenges.append(each.value)
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
        passed: Blocks = []
        for block in headers:
            if not _asks(block):
                # What is known of it stays known.
                passed.append(block)
            elif len(block.fields) > 1:
                passed += blocks_of([each for each in block.fields if each.kind != WWW_AUTHENTICATE])
        return passed

    def proved(self) -> bool | None:
        """See L{Attempt.proved}."""
        return self._proved

    def _take(self, negotiation: Negotiation) -> None:
        self._negotiation = negotiation
        self._tried += 1
        # Base64, which needs no look at each of its letters.
        self.headers = [Field(b"Authorization", b"Negotiate " + negotiation.token, _AUTHORIZATION)]

    def _asked(self, challenges: list[bytes]) -> bool:
        """A 401: whether to go on with a (new) ticket."""
        token: bytes | None = b""
        try:
            token = read_challenges(challenges)
        except SpnegoError:
            pass
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
        if not self._mode.may_prove:
            return
        self._proved = False
        if not self._must_prove and not _proves(challenges):
            return
        try:
            negotiation.verify(*challenges)
        except KerberosError as error:
            # Compiled, C{raise ... from} would forget it, and with it the advice.
            problem = of_kerberos(error)
            problem.__cause__ = error
            raise problem  # noqa: B904
        self._proved = True


def _proves(challenges: list[bytes]) -> bool:
    try:
        return bool(read_challenges(challenges))
    except SpnegoError:
        # For the verification to name.
        return True


def _asks(block: Block) -> bool:
    for each in block.marked:  # noqa: SIM110 (a generator costs twice as much)
        if each.kind == WWW_AUTHENTICATE:
            return True
    return False
