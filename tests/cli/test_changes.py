"""Tests of plan, apply and export as an administrator runs them."""

from __future__ import annotations

from appproxy.catalog.documents import encode, key_of
from appproxy.store.istore import Put
from tests.catalog.examples import APPLICATIONS, group, read
from tests.cli.support import CommandTestCase, run

FIVE_MISTAKES = """\
format = 1
[applications.wiki]
nmae = "Team wiki"
name = "Team wiki"
external_url = "https://wiki.apps.example.com/page"
internal_url = "http://wiki.corp.example:8080/"
connector_group = "hq"
everyone = 3
backend_timeout = "85 seconds"
"""


class PlanTests(CommandTestCase):
    """Nothing changes; what would is shown."""

    async def test_plan(self) -> None:
        """Objects and settings are on stdout, the count on stderr; the exit code tells on request."""
        result = await self.ask("plan", self.file)
        self.assertIn("+ application wiki\n", result.stdout)
        self.assertIn('    backend_timeout: "3m"', (await self.ask("plan", self.changed())).stdout)
        self.assertEqual(result.stderr, "3 to create\n")
        await self.ask("plan", self.file, "--exit-code", code=10)
        self.assertEqual(dict(self.edge.feed.current.applications), {})

    def changed(self) -> str:
        """The file with one setting more."""
        return self.write("more.toml", APPLICATIONS.replace("users =", 'backend_timeout = "3m"\nusers ='))

    async def test_update(self) -> None:
        """A change shows before and after."""
        await self.ask("apply", self.file, "--yes")
        result = await self.ask("plan", self.changed())
        self.assertEqual(result.stdout, '~ application wiki\n    backend_timeout: (default) -> "3m"\n')

    async def test_problems(self) -> None:
        """Every mistake is printed with its place, and the exit code is 3."""
        path = self.write("wrong.toml", FIVE_MISTAKES)
        result = await self.ask("plan", path, code=3)
        self.assertEqual(result.stdout, "")
        places = [line.split(": ")[0].removeprefix(path) for line in result.stderr.splitlines()]
        self.assertEqual(places, [":3", ":5", ":7", ":8", ":9", "5 problems"])
        as_json = await self.ask("plan", path, "--output", "json", code=3)
        self.assertIn('"key_path": "applications.wiki.nmae"', as_json.stdout)

    async def test_unreadable_file(self) -> None:
        """A file that is not there hides no problem of the others."""
        result = await self.ask("plan", "/nowhere.toml", self.write("wrong.toml", FIVE_MISTAKES), code=3)
        self.assertIn("/nowhere.toml: cannot be read", result.stderr)
        self.assertIn("6 problems", result.stderr)

    async def test_stdin_and_folder(self) -> None:
        """A file may be standard input, or a folder of files."""
        self.assertIn("+ application wiki", (await self.ask("plan", "-", stdin=APPLICATIONS)).stdout)
        groups, applications = APPLICATIONS.split("[applications.wiki]", 1)
        self.write("some/groups.toml", groups)
        self.write("some/wiki.toml", "format = 1\n[applications.wiki]" + applications)
        self.assertIn("+ application wiki", (await self.ask("plan", f"{self.folder}/some")).stdout)


class ApplyTests(CommandTestCase):
    """The catalog becomes what the file says."""

    async def test_apply(self) -> None:
        """After apply the edge has it; how long that took is told, and is well under two seconds."""
        self.edge.tunnels.connect("c1", "hq")
        self.edge.tunnels.are_prompt = True
        result = await self.ask("apply", self.file, "--yes")
        self.assertEqual(dict(self.edge.feed.current.applications), read().applications)
        self.assertRegex(
            result.stderr,
            r"made 3 changes at revision \d+; live at the edge and 1 connector after [01]\.\d\d s",
        )
        again = await self.ask("apply", self.file, "--yes")
        self.assertEqual((again.stdout, again.stderr), ("", "nothing to change\n"))

    async def test_needs_a_terminal(self) -> None:
        """Without a terminal and without --yes nothing is done: that is a wrong use."""
        await self.ask("apply", self.file, code=2)
        self.assertEqual(dict(self.edge.feed.current.applications), {})

    async def test_prune(self) -> None:
        """Objects that the file does not name go only with --prune."""
        await self.ask("apply", self.file, "--yes")
        empty = self.write("empty.toml", "format = 1\n")
        await self.ask("apply", empty, "--yes")
        self.assertEqual(len(self.edge.feed.current.applications), 2)
        result = await self.ask("apply", empty, "--yes", "--prune")
        self.assertIn("- application wiki", result.stdout)
        self.assertEqual(len(self.edge.feed.current.applications), 0)

    async def test_changed_meanwhile(self) -> None:
        """If somebody changes the catalog between plan and apply, the exit code is 5, and nothing is done."""
        revision = (await self.ask_json("plan", self.file))["revision"]
        await self.edge.store.transact(puts=[Put(key_of("connector_group", "x"), encode(group("X")))])
        answer = await self.ask_json("plan", self.file)
        self.assertGreater(answer["revision"], revision)
        # The command plans and applies in one go: the change has to come in between.
        self.patch(self.edge.store, "transact", self.overtaken(self.edge.store.transact))
        await self.ask("apply", self.file, "--yes", code=5)
        self.assertEqual(dict(self.edge.feed.current.applications), {})

    def overtaken(self, transact):  # type: ignore[no-untyped-def]
        """The store's transaction, with another one before it."""

        def slower(**changes):  # type: ignore[no-untyped-def]
            other = transact(puts=[Put(key_of("connector_group", "y"), encode(group("Y")))])
            return other.addCallback(lambda _: transact(**changes))

        return slower

    async def test_json(self) -> None:
        """For programs there is one JSON document on stdout, and no more."""
        answer = await self.ask_json("apply", self.file, "--yes")
        self.assertEqual((answer["live"], len(answer["changes"])), (True, 3))


class ExportTests(CommandTestCase):
    """The catalog comes back as a file."""

    async def test_export(self) -> None:
        """What is exported is complete: applied with --prune, it changes nothing."""
        await self.ask("apply", self.file, "--yes")
        exported = await self.ask("export")
        self.assertEqual(read(exported.stdout), read())
        result = await self.ask("apply", "-", "--prune", "--yes", stdin=exported.stdout)
        self.assertEqual(result.stderr, "nothing to change\n")


class ServerTests(CommandTestCase):
    """Which edge is asked."""

    async def test_away(self) -> None:
        """If no edge listens, the exit code is 4 and the message says where it was looked for."""
        result = run("--server", "unix:/nowhere/admin.sock", "export")
        self.assertEqual(result.exit_code, 4)
        self.assertIn("/nowhere/admin.sock", result.stderr)

    async def test_environment(self) -> None:
        """APPPROXY_SERVER names the edge; an address that is none is a wrong use."""
        for server in ("https://x", "unix:", "/run/x.sock"):
            result = run("export", environment={"APPPROXY_SERVER": server})
            self.assertEqual(result.exit_code, 2, server)
        result = run("export", environment={"APPPROXY_SERVER": "unix:/nowhere"})
        self.assertEqual(result.exit_code, 4)
