"""
The CA: shown, followed by a new one, retired.
"""

from __future__ import annotations

from appproxy.admin.audit import audit
from appproxy.admin.errors import refused
from appproxy.admin.objects import Row, rfc3339
from appproxy.admin.peer import Peer
from appproxy.pki.authority import Authority, IssuerAway, NotNow


class Authorities:
    """Every question about the CA."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    async def show(self) -> Row:
        """Its generations, and who depends on an older one than the newest."""
        authority = self._authority
        behind = (await authority.behind()).values()
        return {
            "authorities": [
                {
                    "number": each.number,
                    "root_sha256": each.root_hash,
                    "expires_at": rfc3339(each.root.not_valid_after_utc),
                    "state": self._state_of(each.number),
                }
                for each in authority.generations
            ],
            "behind": [
                {"name": each.name, "role": each.role} for each in sorted(behind, key=lambda each: each.name)
            ],
        }

    async def rotate(self, peer: Peer) -> Row:
        """Make a new one, which from now on is trusted beside the present one."""
        try:
            await self._authority.rotate()
        except NotNow as error:
            raise refused(str(error)) from None
        except IssuerAway as error:
            raise refused(f"{error}; the present root has to vouch for the new one") from None
        audit(peer, "create", f"pki/ca/{self._authority.newest.number}", 0)
        return await self.show()

    async def retire(self, peer: Peer, *, force: bool = False) -> Row:
        """
        Trust the newest alone.

        @param force: revoke who depends on the one before.
        """
        old = [each.number for each in self._authority.generations[:-1]]
        try:
            revoked = await self._authority.retire(force=force)
        except NotNow as error:
            raise refused(str(error)) from None
        for number in old:
            audit(peer, "delete", f"pki/ca/{number}", 0)
        return {**await self.show(), "revoked": revoked}

    def _state_of(self, number: int) -> str:
        authority = self._authority
        if number < authority.serving.number:
            return "trusted"
        if number > authority.serving.number:
            return "taking over"
        return "in use"
