"""
Port 80: to https with everything we know, and applications that are published
on http themselves (passthrough ones only). Nothing else.
"""

from __future__ import annotations

from appproxy.edge.facts import ConnectionFacts
from appproxy.edge.gate import Gate
from appproxy.edge.verdict import Forward, Redirect, Refuse, Verdict
from appproxy.httpwire.heads import RequestHead
from appproxy.model.refusal import Error, Refusal

_UNKNOWN_HOST = Refuse(Refusal(Error.NotFound, "unknown_host"), neutral=True, close=True)


class PlainGate:
    """
    The gate of a plain listener.

    @param public_port: of https, for the redirect.
    """

    def __init__(self, gate: Gate, public_port: int) -> None:
        self._gate = gate
        self._port = public_port

    def judge(self, head: RequestHead, connection: ConnectionFacts) -> Verdict:
        """A redirect, an http application, or nothing known."""
        if not self._gate.is_known_host(head.host) or head.target == b"*":
            return _UNKNOWN_HOST
        if self._gate.is_plain_host(head.host):
            verdict = self._gate.judge(head, connection)
            if isinstance(verdict, (Forward, Refuse)):
                return verdict
        authority = head.host if self._port == 443 else b"%s:%d" % (head.host, self._port)
        return Redirect(b"https://%s%s" % (authority, head.target))
