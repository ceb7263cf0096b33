"""
What goes wrong with a tunnel, as exceptions.
"""

from __future__ import annotations


class TunnelError(Exception):
    """
    The peer broke the rules: the whole tunnel must be closed.

    @ivar code: one of the error codes of C{docs/tunnel.md}; it goes into GOAWAY.
    @ivar detail: a sentence for the log; never anything that a user sent.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class TunnelRefused(Exception):
    """
    No new stream or principal fits on this tunnel now; another tunnel may do.

    @ivar reason: C{draining}, C{overloaded} or C{tunnel_lost}: reasons that a
        L{appproxy.model.refusal.Refusal} knows.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
