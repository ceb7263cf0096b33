"""L{appproxy.config.plugins}."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from appproxy.config.plugins import PluginProblem, enabled_rules

RULE = """
from twisted.plugin import IPlugin
from zope.interface import implementer
from appproxy.iappproxy import IAccessRule

@implementer(IPlugin, IAccessRule)
class Rule:
    def __init__(self, name):
        self.name = name

    def refuse(self, application_id, application, principal, now):
        return None

"""


class PluginTests(SynchronousTestCase):
    """L{enabled_rules}."""

    def setUp(self) -> None:
        """Two empty directories."""
        self.first, self.second = (Path(self.mktemp()) for _ in range(2))
        for each in (self.first, self.second):
            each.mkdir(parents=True)

    def names(self, *enabled: str) -> list[str]:
        """The names of the rules found."""
        return [rule.name for rule in enabled_rules([self.first, self.second], enabled)]

    def problem(self, *enabled: str) -> str:
        """Why they cannot be used."""
        return str(self.assertRaises(PluginProblem, self.names, *enabled))

    def test_order(self) -> None:
        """What is enabled is used, in the order of the setting; what is not enabled is not."""
        (self.first / "a.py").write_text(RULE + "a, b = Rule('a'), Rule('b')\n")
        (self.second / "c.py").write_text(RULE + "c = Rule('c')\n")
        self.assertEqual(self.names("c", "a"), ["c", "a"])

    def test_none(self) -> None:
        """Nothing enabled, nothing read: a directory that is not there is no problem then."""
        (self.first / "a.py").write_text("1/0")
        self.assertEqual(self.names(), [])
        self.assertEqual(enabled_rules([Path("/nowhere")], []), [])

    def test_missing(self) -> None:
        """A rule that is not found stops the start: without it people would get in."""
        self.assertIn("'a'", self.problem("a"))

    def test_two(self) -> None:
        """Two rules of one name: nobody can know which one was meant."""
        for folder in (self.first, self.second):
            (folder / "a.py").write_text(RULE + "a = Rule('a')\n")
        self.assertIn("two plugins", self.problem("a"))

    def test_one_under_two_names(self) -> None:
        """One rule that a module calls by two names is one rule."""
        (self.first / "a.py").write_text(RULE + "a = Rule('a')\nb = a\n")
        self.assertEqual(self.names("a"), ["a"])

    def test_directory_named_twice(self) -> None:
        """So is one of a directory that stands in the setting twice."""
        (self.first / "a.py").write_text(RULE + "a = Rule('a')\n")
        rules = enabled_rules([self.first, self.first / "." / ".." / self.first.name], ["a"])
        self.assertEqual(len(rules), 1)

    def test_broken(self) -> None:
        """A file that cannot be loaded is named when something that is enabled may be in it."""
        (self.first / "a.py").write_text("1/0")
        problem = self.problem("a")
        self.assertIn("a.py", problem)
        self.assertIn("ZeroDivisionError", problem)
        self.assertNotIn("appproxy_plugin_a", sys.modules)

    def test_broken_one_beside(self) -> None:
        """One that nobody enabled anything of stops nobody."""
        (self.first / "a.py").write_text("import a_library_that_is_not_there\n")
        (self.first / "b.py").write_text(RULE + "b = Rule('b')\n")
        self.assertEqual(self.names("b"), ["b"])

    def test_syntax(self) -> None:
        """A file that is no Python likewise."""
        (self.first / "a.py").write_text("def\n")
        self.assertIn("SyntaxError", self.problem("a"))

    def test_interface(self) -> None:
        """An enabled rule that does not do what it says it does is refused."""
        (self.first / "a.py").write_text(
            RULE + "class Wrong(Rule):\n    def refuse(self):\n        pass\n\na = Wrong('a')\n"
        )
        self.assertIn("a.py", self.problem("a"))

    def test_not_a_plugin(self) -> None:
        """Classes, and objects that provide only one of the two interfaces, are no plugins."""
        (self.first / "a.py").write_text(
            RULE.replace("@implementer(IPlugin, IAccessRule)", "@implementer(IAccessRule)")
            + "a = Rule('a')\n"
        )
        self.assertIn("no plugin", self.problem("a"))
