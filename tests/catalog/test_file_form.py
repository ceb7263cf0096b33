"""Tests of the catalog's file form: what is read, and every problem with its place."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.catalog.documents import Document, Entries
from appproxy.catalog.file_form import MAXIMUM_FILES, parse_file, parse_files
from tests.catalog.examples import APPLICATIONS, application, group, read

FIVE_MISTAKES = """\
format = 1
[connector_groups.hq]
name = "Headquarters"
[applications.wiki]
nmae = "Team wiki"
name = "Team wiki"
external_url = "https://wiki.apps.example.com/page"
internal_url = "http://wiki.corp.example:8080/"
connector_group = "hqq"
[applications.wiki.sso]
mode = "saml"
[applications.caldav]
name = "Calendars"
external_url = "https://cal.apps.example.com/"
internal_url = "https://cal.corp.example/"
connector_group = "hq"
backend_timeout = "85 seconds"
"""


def told(
    *files: tuple[str, str], beside: Entries | None = None, own_hosts: Collection[str] = ()
) -> list[str]:
    """Every problem of these files, as printed."""
    found = parse_files(files, beside, own_hosts)
    return [] if isinstance(found, Document) else [str(problem) for problem in found]


def file_of(*tables: str) -> str:
    """A file of these applications, in one group."""
    return "\n".join(["format = 1", "[connector_groups.hq]", 'name = "HQ"', *tables])


def table_of(entry_id: str, external_url: str, name: str = "") -> str:
    """An application's table: five lines."""
    return (
        f'[applications.{entry_id}]\nname = "{name or entry_id}"\nexternal_url = "{external_url}"\n'
        f'internal_url = "http://x.corp.example/"\nconnector_group = "hq"'
    )


class ReadTests(SynchronousTestCase):
    """Files without a problem."""

    def test_example(self) -> None:
        """The documented example is read: objects, settings, defaults."""
        document = read()
        self.assertEqual(set(document.applications), {"wiki", "caldav"})
        self.assertEqual(document.applications["wiki"].users, ("ada@example.com",))
        self.assertEqual(document.applications["caldav"].backend_timeout, 85.0)
        self.assertEqual(document.groups["hq"].name, "Headquarters")

    def test_several_files(self) -> None:
        """A group of one file serves an application of another."""
        groups = 'format = 1\n[connector_groups.hq]\nname = "HQ"\n'
        applications = "format = 1\n" + table_of("a", "https://a.example/")
        document = parse_files([("apps.toml", applications), ("groups.toml", groups)])
        assert isinstance(document, Document)
        self.assertEqual((set(document.applications), set(document.groups)), ({"a"}, {"hq"}))

    def test_beside_what_exists(self) -> None:
        """A file may name a group that exists, and change an application that exists."""
        beside = Document({"a": application("https://a.example/")}, {"hq": group()})
        self.assertEqual(
            told(("a.toml", "format = 1\n" + table_of("a", "https://a.example/")), beside=beside), []
        )

    @settings(max_examples=100, deadline=None)
    @given(st.one_of(st.text(max_size=80), st.integers(0, len(APPLICATIONS)).map(lambda n: APPLICATIONS[:n])))
    def test_never_raises(self, text: str) -> None:
        """Whatever a file holds, the answer is a document or problems of that file."""
        found = parse_file(text, "x.toml")
        if not isinstance(found, Document):
            self.assertTrue(found)
            self.assertEqual({problem.file for problem in found}, {"x.toml"})


class ProblemTests(SynchronousTestCase):
    """Files with problems: all at once, each with its place."""

    def test_five_mistakes(self) -> None:
        """Five mistakes are five problems, with line and key path, in the order of the file."""
        problems = told(("apps.toml", FIVE_MISTAKES))
        self.assertEqual(
            [problem.split(": ")[:2] for problem in problems],
            [
                ["apps.toml:5", "applications.wiki.nmae"],
                ["apps.toml:7", "applications.wiki.external_url"],
                ["apps.toml:9", "applications.wiki.connector_group"],
                ["apps.toml:10", "applications.wiki.sso"],
                ["apps.toml:17", "applications.caldav.backend_timeout"],
            ],
        )
        self.assertIn('did you mean "name"?', problems[0])
        self.assertIn('did you mean "hq"?', problems[2])
        self.assertIn("not supported yet", problems[3])

    def test_what_hides_behind_another_mistake(self) -> None:
        """A rule over several settings is told together with a mistake in one of them."""
        table = (
            table_of("a", "https://a.example/")
            + '\npre_authentication = "passthrough"\neveryone = true\nretry = 7'
        )
        problems = told(("apps.toml", file_of(table)))
        self.assertEqual(len(problems), 2)
        self.assertIn("takes no users", problems[0])
        self.assertIn("applications.a.retry", problems[1])

    def test_modes_that_are_not_built(self) -> None:
        """
        Ways to sign on that are not there yet are refused by name: none is quietly taken for another.

        Security row 23. Security row 46.
        """
        for name in ("saml", "form", "password", "Headers", "none"):
            table = table_of("a", "https://a.example/") + f'\nsso = {{ mode = "{name}" }}'
            problems = told(("apps.toml", file_of(table)))
            expected = 0 if name == "none" else 1
            self.assertEqual(len(problems), expected, (name, problems))
            self.assertTrue(all("applications.a.sso" in problem for problem in problems), problems)

    def test_missing_format(self) -> None:
        """A file without a format, or of another one, is refused."""
        self.assertEqual(told(("a.toml", "")), ["a.toml: format: is missing"])
        self.assertEqual(told(("a.toml", "format = 2")), ["a.toml:1: format: write 1"])

    def test_broken_file_beside_a_wrong_one(self) -> None:
        """A file that is no TOML hides no problem of the others."""
        problems = told(("a.toml", "x ="), ("b.toml", "format = 2"))
        self.assertTrue(problems[0].startswith("a.toml:1: is not TOML"))
        self.assertEqual(problems[1], "b.toml:1: format: write 1")

    def test_too_many_files(self) -> None:
        """A folder that is surely the wrong one is refused as a whole."""
        self.assertEqual(len(told(*[("a.toml", "format = 1")] * (MAXIMUM_FILES + 1))), 1)


class CrossCheckTests(SynchronousTestCase):
    """What no object can know by itself."""

    def test_written_twice(self) -> None:
        """An object in two files is told with both places."""
        problems = told(("a.toml", APPLICATIONS), ("b.toml", APPLICATIONS))
        self.assertEqual(len(problems), 3)
        self.assertIn("b.toml:4: applications.wiki: is written twice", problems[1])
        self.assertIn("applications.wiki (a.toml:4)", problems[1])

    def test_same_address(self) -> None:
        """Two applications at one address clash, in the file and with what exists."""
        tables = table_of("a", "https://x.example/"), table_of("b", "https://X.example:443/")
        [problem] = told(("apps.toml", file_of(*tables)))
        self.assertIn("apps.toml:11: applications.b.external_url", problem)
        self.assertIn("applications.a (apps.toml:4)", problem)
        beside = Document({"old": application("https://x.example/")}, {"hq": group("Old")})
        [problem] = told(("apps.toml", file_of(tables[0])), beside=beside)
        self.assertIn("old, which exists already", problem)

    def test_one_origin_for_a_host(self) -> None:
        """A host has one scheme and port; other paths of it are fine."""
        fine = table_of("a", "https://x.example/"), table_of("b", "https://x.example/b/")
        self.assertEqual(told(("apps.toml", file_of(*fine))), [])
        [problem] = told(("apps.toml", file_of(fine[0], table_of("b", "https://x.example:8443/b/"))))
        self.assertIn("a host has one scheme and port", problem)

    def test_same_name(self) -> None:
        """Two applications of one name cannot be told apart in the portal."""
        tables = table_of("a", "https://a.example/", "Wiki"), table_of("b", "https://b.example/", "WIKI")
        [problem] = told(("apps.toml", file_of(*tables)))
        self.assertIn("applications.b.name", problem)

    def test_addresses_swapped(self) -> None:
        """Two existing applications may exchange their addresses in one file."""
        beside = Document(
            {"a": application("https://a.example/"), "b": application("https://b.example/", name="B")},
            {"hq": group("HQ")},
        )
        tables = table_of("a", "https://b.example/"), table_of("b", "https://a.example/")
        self.assertEqual(told(("apps.toml", file_of(*tables)), beside=beside), [])

    def test_hosts_of_the_edge(self) -> None:
        """No application takes the sign-in host, whatever its path."""
        table = table_of("a", "https://Auth.example/x/")
        [problem] = told(("apps.toml", file_of(table)), own_hosts=["auth.example"])
        self.assertIn("auth.example is a host of the edge itself", problem)
