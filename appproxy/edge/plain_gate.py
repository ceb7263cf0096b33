"""
Port 80: to https with everything we know, and applications that are published
on http themselves (passthrough ones only). Nothing else.
"""

from __future__ import annotations

from appproxy.edge.facts import ConnectionFacts
from appproxy.edge.gate import UNKNOWN_HOST, Gate
from appproxy.edge.verdict import Forward, Redirect, Refuse, Verdict
from appproxy.httpwire.heads import RequestHead


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
            return UNKNOWN_HOST
        if head.host in self._gate.plain_hosts:
            verdict = self._gate.judge(head, connection)
            if isinstance(verdict, (Forward, Refuse)) and verdict is not UNKNOWN_HOST:
                return verdict
        authority = head.host if self._port == 443 else b"%s:%d" % (head.host, self._port)
        return Redirect(b"https://%s%s" % (authority, head.target))
