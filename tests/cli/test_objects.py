"""Tests of list, show, delete and status as an administrator runs them."""

from __future__ import annotations

from appproxy.catalog.documents import encode, key_of
from appproxy.cli.status import for_people
from appproxy.store.istore import Put
from tests.catalog.examples import application
from tests.cli.support import CommandTestCase


class ObjectsTests(CommandTestCase):
    """What is there."""

    async def test_list(self) -> None:
        """All types can be listed, by plural, singular and short names; empty ones say so on stderr."""
        await self.ask("apply", self.file, "--yes")
        for name in ("applications", "application", "apps", "app"):
            result = await self.ask("list", name)
            self.assertEqual(len(result.stdout.splitlines()), 3)
        self.assertIn("https://wiki.apps.example.com/", result.stdout)
        for name in ("connectors", "sessions", "tokens"):
            result = await self.ask("list", name)
            self.assertEqual((result.stdout, result.stderr), ("", f"no {name}\n"))
        self.assertIn("2030-01-01", (await self.ask("list", "certificates")).stdout)
        self.assertIn("Headquarters", (await self.ask("list", "connector-groups")).stdout)

    async def test_unknown_type(self) -> None:
        """A type that there is not is a wrong use, with what may have been meant."""
        result = await self.ask("list", "aps", code=2)
        self.assertIn('did you mean "apps"?', result.stderr)

    async def test_show(self) -> None:
        """One object has a line for each setting, or is JSON."""
        await self.ask("apply", self.file, "--yes")
        result = await self.ask("show", "app", "wiki")
        self.assertIn("sso.headers.X-Source.value", result.stdout)
        self.assertEqual((await self.ask_json("show", "app", "wiki"))["backend_timeout"], "85s")

    async def test_unknown_object(self) -> None:
        """An object that there is not is exit code 5."""
        for command in ("show", "delete"):
            more = ["--yes"] if command == "delete" else []
            result = await self.ask(command, "app", "wikki", *more, code=5)
            self.assertIn('there is no application "wikki"', result.stderr)

    async def test_delete(self) -> None:
        """Deleting needs --yes where nobody can be asked, and tells when it is in force."""
        await self.ask("apply", self.file, "--yes")
        await self.ask("delete", "app", "wiki", code=2)
        result = await self.ask("delete", "app", "wiki", "--yes")
        self.assertIn("deleted the application wiki; live at the edge", result.stderr)
        self.assertEqual(set(self.edge.feed.current.applications), {"caldav"})
        result = await self.ask("delete", "group", "hq", "--yes", code=1)
        self.assertIn("used by application caldav", result.stderr)

    async def test_control_characters(self) -> None:
        """A name cannot send a terminal its commands."""
        evil = application(name="wiki\x1b[2J\u202e")
        await self.edge.store.transact(puts=[Put(key_of("application", "evil"), encode(evil))])
        result = await self.ask("list", "apps")
        self.assertIn("wiki\\x1b[2J", result.stdout)
        self.assertNotIn("\x1b", result.stdout)
        self.assertNotIn("\u202e", result.stdout)


class StatusTests(CommandTestCase):
    """How the edge is."""

    def test_uptime(self) -> None:
        """How long the edge has been up is told in units that one can grasp."""
        told = {0: "0 s", 59: "59 s", 105: "1 min 45 s", 7200: "2 h 0 min", 183_845: "2 d 3 h"}
        self.assertEqual({seconds: for_people(seconds) for seconds in told}, told)

    async def test_status(self) -> None:
        """Edge, groups, tunnels and certificates are there, for people and for programs."""
        await self.ask("apply", self.file, "--yes")
        self.edge.tunnels.connect("c1", "hq")
        result = await self.ask("status")
        for part in ("store: up", "2 applications", "hq", "c1", "2030-01-01"):
            self.assertIn(part, result.stdout)
        self.assertEqual((await self.ask_json("status"))["tunnels"][0]["connector"], "c1")
