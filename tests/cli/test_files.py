"""Which file is which, and what several say together."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from appproxy.cli.files import MODELS, Text, check_texts, kind_of, read_texts
from appproxy.config.edge import EdgeSettings
from appproxy.model.problems import Problem

EXAMPLES = Path(__file__).parents[2] / "etc" / "appproxy"
EDGE = Text("edge.toml", 'domain = "apps.example.com"\n')
GROUP = 'format = 1\n[connector_groups.hq]\nname = "HQ"\n'
APPLICATION = """format = 1
[applications.wiki]
name = "Wiki"
external_url = "https://wiki.apps.example.com/"
internal_url = "http://wiki/"
connector_group = "hq"
"""


def messages(*texts: Text | Problem) -> list[str]:
    """The problems of some files, as text."""
    return [str(problem) for problem in check_texts(texts, {}).problems]


class KindTests(SynchronousTestCase):
    """L{kind_of}."""

    def test_by_name(self) -> None:
        """A file with one of our names is that file, even when it is broken."""
        self.assertEqual(kind_of(Text("/etc/x/connector.toml", "=")), "connector")

    def test_by_content(self) -> None:
        """Each example is recognised under any other name, too."""
        for kind in MODELS:
            content = (EXAMPLES / f"{kind}.toml").read_text("utf-8")
            self.assertEqual(kind_of(Text("<stdin>", content)), kind)

    def test_unknown(self) -> None:
        """What has nothing of ours is none of ours."""
        self.assertIsNone(kind_of(Text("x.toml", "[tool.black]\n")))
        self.assertEqual(
            messages(Text("x.toml", "[tool.black]\n"), Text("y.toml", "=")),
            [
                "x.toml: is none of edge, connector, relay and applications",
                "y.toml:1: is not TOML: Invalid statement",
            ],
        )


class ReadTests(SynchronousTestCase):
    """L{read_texts}."""

    def test_folder(self) -> None:
        """A folder stands for its TOML files, in order."""
        names = [each.name for each in read_texts([str(EXAMPLES)]) if isinstance(each, Text)]
        self.assertEqual(names, sorted(str(path) for path in EXAMPLES.glob("*.toml")))

    def test_standard_input(self) -> None:
        """A hyphen stands for standard input."""
        self.assertEqual(read_texts(["-"], stdin=lambda: "a = 1"), [Text("<stdin>", "a = 1")])

    def test_unreadable(self) -> None:
        """A file that is missing or no text, and a folder without files, are problems, not tracebacks."""
        folder = Path(self.mktemp())
        folder.mkdir()
        binary = folder.with_suffix(".toml")
        binary.write_bytes(b"\xff")
        found = read_texts([str(folder), str(folder / "x.toml"), str(binary)])
        self.assertEqual(
            [str(each) for each in found],
            [
                f"{folder}: has no *.toml file",
                f"{folder}/x.toml: cannot be read: No such file or directory",
                f"{binary}: is not UTF-8 text",
            ],
        )


class CheckTests(SynchronousTestCase):
    """L{check_texts}."""

    def test_examples(self) -> None:
        """All examples together are without problems."""
        checked = check_texts(read_texts([str(EXAMPLES)]), {})
        self.assertEqual(checked.problems, [])
        self.assertEqual(len(checked.settings), 3)
        assert checked.applications is not None
        self.assertEqual(set(checked.applications.applications), {"wiki", "calendars"})

    def test_problems_of_all_files(self) -> None:
        """Every file is checked, whatever is wrong with the others."""
        found = messages(Text("edge.toml", ""), Text("connector.toml", "foo = 1"), Text("relay.toml", "="))
        self.assertEqual(
            found,
            [
                "edge.toml: domain: is missing",
                "connector.toml: allowed_backends: is missing",
                "connector.toml:1: foo: is not a setting",
                "relay.toml:1: is not TOML: Invalid statement",
            ],
        )

    def test_catalog_in_parts(self) -> None:
        """The catalog's files are one: a group in one file serves an application in another."""
        self.assertEqual(messages(Text("groups.toml", GROUP), Text("wiki.toml", APPLICATION)), [])
        self.assertEqual(len(messages(Text("wiki.toml", APPLICATION))), 1)

    def test_host_of_the_edge(self) -> None:
        """An application cannot take a host of the edge that is checked with it."""
        taken = Text(
            "apps.toml", GROUP + APPLICATION.replace("format = 1", "").replace("wiki.apps", "auth.apps")
        )
        self.assertEqual(messages(taken), [])
        (problem,) = messages(EDGE, taken)
        self.assertIn("applications.wiki.external_url", problem)

    def test_credentials_folder(self) -> None:
        """The environment is that of the command, so a unit's own check sees its credentials."""
        sign_in = '[sign_in]\nissuer = "https://i"\nclient_id = "c"\nclient_secret_file = "credential:s"\n'
        checked = check_texts(
            [Text("edge.toml", EDGE.content + sign_in)], {"CREDENTIALS_DIRECTORY": "/run/c"}
        )
        settings = checked.settings["edge.toml"]
        assert isinstance(settings, EdgeSettings) and settings.sign_in
        self.assertEqual(settings.sign_in.client_secret_file, Path("/run/c/s"))
