"""C{appproxy schema}."""

from __future__ import annotations

import copy
import json
import tomllib
from pathlib import Path
from typing import Any, Final

from click.testing import CliRunner
from jsonschema import Draft202012Validator
from twisted.trial.unittest import SynchronousTestCase

from appproxy.cli.files import MODELS
from appproxy.cli.schema import schema

EXAMPLES: Final = Path(__file__).parents[2] / "etc" / "appproxy"


class SchemaTests(SynchronousTestCase):
    """The schemas, used as an editor uses them."""

    def printed(self, kind: str) -> dict[str, Any]:
        """What the command prints: itself a valid schema."""
        plain: dict[str, Any] = json.loads(CliRunner().invoke(schema, [kind]).stdout)
        Draft202012Validator.check_schema(plain)
        return plain

    def validator(self, kind: str) -> Draft202012Validator:
        """The schema of one kind of file, in use."""
        return Draft202012Validator(self.printed(kind))

    def example(self, kind: str) -> dict[str, Any]:
        """The example of one kind."""
        return tomllib.loads((EXAMPLES / f"{kind}.toml").read_text("utf-8"))

    def test_examples(self) -> None:
        """Each example is valid."""
        for kind in MODELS:
            errors = [error.message for error in self.validator(kind).iter_errors(self.example(kind))]
            self.assertEqual(errors, [], kind)

    def test_shortest_file(self) -> None:
        """What may be left out is not asked for."""
        self.assertTrue(self.validator("edge").is_valid({"domain": "apps.example.com"}))
        self.assertTrue(
            self.validator("edge").is_valid({"domain": "a.example", "hosts": {"auth": "x.example"}})
        )

    def test_mistakes(self) -> None:
        """An unknown key, a wrong type and a number for a duration are marked."""
        validator = self.validator("edge")
        for section, key, value in (
            ("listen", "htps", [":443"]),
            ("limits", "connections", "many"),
            ("session", "idle_lifetime", 3600),
            ("limits", "head_size", 65536),
        ):
            wrong = copy.deepcopy(self.example("edge"))
            wrong[section][key] = value
            self.assertFalse(validator.is_valid(wrong), key)

    def test_defaults_are_as_written(self) -> None:
        """A default stands in the schema as it stands in a file."""
        properties = self.printed("edge")["$defs"]["SessionSettings"]["properties"]
        self.assertEqual(properties["maximum_lifetime"]["default"], "14h")
