"""Tests of C{appproxy session} and C{appproxy keys}, over a real admin socket."""

from __future__ import annotations

from appproxy.model.principal import Principal
from appproxy.session.record import SessionRecord, Tokens, encode_record, session_key
from appproxy.store.istore import Put
from tests.admin.support import SEALER
from tests.cli.support import CommandTestCase

SESSION = "0123456789abcdef" * 2


class SessionTests(CommandTestCase):
    """Bob is signed in."""

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """His session."""
        await super().setUp()
        principal = Principal("https://idp.example", "bob", SESSION, user_principal_name="bob@example.com")
        record = SessionRecord(principal, Tokens(), 1.7e9, 1.7e9 + 3600, 0)
        await self.edge.store.transact(puts=[Put(session_key(SESSION), encode_record(record, SEALER))])

    async def test_list(self) -> None:
        """Everybody's sessions, or one user's."""
        result = await self.ask("session", "list")
        self.assertIn("bob@example.com", result.stdout)
        rows = await self.ask_json("session", "list", "--user", "bob@example.com")
        self.assertEqual([row["id"] for row in rows], ["01234567"])
        result = await self.ask("session", "list", "--user", "eve@example.com/%2f")
        self.assertEqual((result.stdout, result.stderr), ("", "no sessions\n"))

    async def test_end(self) -> None:
        """By id, by user, or all; how many ended is told."""
        for arguments, said in (
            (("01234567",), "ended 1 session of bob@example.com\n"),
            (("--user", "bob@example.com"), "ended 1 session of bob@example.com\n"),
            (("--all",), "ended 1 session\n"),
        ):
            self.edge.ended.clear()
            result = await self.ask("session", "end", *arguments, "--yes")
            self.assertEqual((result.stderr, self.edge.ended), (said, [(SESSION, "administrator")]))
        self.assertEqual((await self.ask_json("session", "end", "--all", "--yes"))["ended"], 1)

    async def test_wrong(self) -> None:
        """Nothing ends without a word whose, nor without a yes; a name that there is not is exit code 5."""
        for arguments in ((), ("--all", "--user", "bob@example.com"), ("01234567", "--all")):
            await self.ask("session", "end", *arguments, "--yes", code=2)
        await self.ask("session", "end", "--all", code=2)
        await self.ask("session", "end", "--user", "bop@example.com", "--yes", code=5)
        await self.ask("session", "end", "76543210", "--yes", code=5)
        self.assertEqual(self.edge.ended, [])

    async def test_rotate_keys(self) -> None:
        """It is asked before, and how many sessions ended is told."""
        await self.ask("keys", "rotate", code=2)
        self.assertEqual(self.edge.ended, [])
        result = await self.ask("keys", "rotate", "--yes")
        self.assertEqual(result.stderr, "replaced the keys of all cookies; ended 3 sessions\n")
        self.assertEqual(await self.ask_json("keys", "rotate", "--yes"), {"ended": 3})
