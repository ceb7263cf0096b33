"""Problems: what is wrong, where, and what to write instead."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.application import Application, Identifier
from appproxy.model.problems import Problem, TomlDocument, format_key_path, validate
from appproxy.model.schema import Model


class Catalog(Model):
    """A small model with every kind of nesting."""

    format: Literal[1]
    applications: dict[Identifier, Application] = {}
    numbers: tuple[Annotated[int, Field(ge=0)], ...] = ()
    on: bool = True


def problems(text: str) -> list[str]:
    """The problems of a catalog's text."""
    document = TomlDocument.parse(text, "file.toml")
    found = document if isinstance(document, list) else validate(Catalog, document.data, document)
    assert isinstance(found, list)
    return [str(problem) for problem in found]


WIKI = """format = 1
[applications.wiki]
name = "Wiki"
external_url = "https://wiki.example.com/"
internal_url = "http://wiki/"
connector_group = "hq"
"""


class ProblemTests(SynchronousTestCase):
    """L{Problem} and L{format_key_path}."""

    def test_text(self) -> None:
        """File, line, key path and message, as far as each is known."""
        self.assertEqual(str(Problem("a.toml", 12, "x.y", "is missing")), "a.toml:12: x.y: is missing")
        self.assertEqual(str(Problem("a.toml", None, "", "is not TOML")), "a.toml: is not TOML")

    def test_key_path(self) -> None:
        """A key that TOML would quote is quoted; an index stands in brackets."""
        self.assertEqual(format_key_path(("a-b", "c d", 0, 'e"')), 'a-b."c d"[0]."e\\""')


class ParseTests(SynchronousTestCase):
    """L{TomlDocument.parse}."""

    def test_syntax_error_has_its_line(self) -> None:
        """One problem, with the line that tomllib tells."""
        self.assertEqual(problems("a = 1\nb = =\n"), ["file.toml:2: is not TOML: Invalid value"])

    def test_unfinished_document(self) -> None:
        """An error at the end of the file is on its last line."""
        (problem,) = problems('a = 1\nb = """\n\n')
        self.assertTrue(problem.startswith("file.toml:2: is not TOML: "), problem)

    def test_too_deep(self) -> None:
        """A file made to exhaust the stack is refused, not obeyed."""
        self.assertEqual(problems("a = " + "[" * 100_000), ["file.toml: is nested too deeply"])


class ValidateTests(SynchronousTestCase):
    """L{validate}."""

    def test_valid(self) -> None:
        """A file without problems gives the model."""
        document = TomlDocument.parse(WIKI, "file.toml")
        assert isinstance(document, TomlDocument)
        catalog = validate(Catalog, document.data, document)
        assert isinstance(catalog, Catalog)
        self.assertEqual(catalog.applications["wiki"].name, "Wiki")

    def test_all_at_once_in_the_order_of_the_file(self) -> None:
        """Five mistakes, five problems, each with its line."""
        text = WIKI.replace("name =", "nam =").replace("http://wiki/", "ftp://wiki/")
        text += "[applications.wiki.cookie]\nhttp_ony = true\n[applications.wiki.sso]\nmode = 'saml'\n"
        self.assertEqual(
            problems(text),
            [
                "file.toml:2: applications.wiki.name: is missing",
                'file.toml:3: applications.wiki.nam: is not a setting; did you mean "name"?',
                "file.toml:5: applications.wiki.internal_url: an address starts with http:// or https://",
                'file.toml:8: applications.wiki.cookie.http_ony: is not a setting; did you mean "http_only"?',
                "file.toml:9: applications.wiki.sso: mode 'saml' is not supported yet; "
                "use one of none, headers, kerberos",
            ],
        )

    def test_inside_a_tagged_union(self) -> None:
        """The tag that pydantic puts into a place is not a key, even where a key has the same name."""
        text = (
            WIKI + '[applications.wiki.sso]\nmode = "headers"\nfoo = 1\nheaders.X-A = { claimm = "mail" }\n'
        )
        self.assertEqual(
            problems(text),
            [
                "file.toml:9: applications.wiki.sso.foo: is not a setting",
                "file.toml:10: applications.wiki.sso.headers.X-A.claimm: is not a setting; "
                'did you mean "claim"?',
            ],
        )
        self.assertEqual(
            problems(WIKI + '[applications.wiki.sso]\nmode = "headers"\n'),
            ["file.toml:7: applications.wiki.sso.headers: is missing"],
        )

    def test_wrong_types(self) -> None:
        """What to write instead, in TOML's words."""
        self.assertEqual(
            problems('format = 2\non = "x"\nnumbers = [1, -1, "a"]\napplications = []\n'),
            [
                "file.toml:1: format: write 1",
                "file.toml:2: on: write true or false",
                "file.toml:3: numbers[1]: input should be greater than or equal to 0",
                "file.toml:3: numbers[2]: write a whole number",
                "file.toml:4: applications: write a table",
            ],
        )

    def test_wrong_name_of_a_table(self) -> None:
        """A key that is data, not a setting, is a problem of its own."""
        (problem,) = problems(WIKI.replace("applications.wiki", 'applications."Wiki!"'))
        self.assertTrue(problem.startswith('file.toml:2: applications."Wiki!": '), problem)

    def test_values_are_not_repeated(self) -> None:
        """What stands in the wrong place may be a secret: no message repeats it."""
        text = 'format = "hunter2"\non = "hunter2"\nnumbers = "hunter2"\nsecret = "hunter2"\n'
        self.assertNotIn("hunter2", "".join(problems(text)))

    def test_part_of_a_document(self) -> None:
        """Places are those of the whole document when a part is validated."""
        document = TomlDocument.parse(WIKI + "visibel = true\n", "file.toml")
        assert isinstance(document, TomlDocument)
        found = validate(
            Application, document.data["applications"]["wiki"], document, ("applications", "wiki")
        )
        self.assertEqual(
            found,
            [
                Problem(
                    "file.toml", 7, "applications.wiki.visibel", 'is not a setting; did you mean "visible"?'
                )
            ],
        )
