"""
Access rules that an operator enables: objects in files of the plugin directories.

Found is not enabled: only what C{[plugins] enabled} names is used, and a name
that is not found stops the start, since a missing rule would let people in.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from twisted.plugin import IPlugin
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from appproxy.iappproxy import IAccessRule


class PluginProblem(Exception):
    """An enabled plugin cannot be used; the message says which and why."""


def enabled_rules(directories: Sequence[Path], enabled: Sequence[str]) -> list[IAccessRule]:
    """
    The enabled access rules, in the order of C{enabled}.

    @raise PluginProblem: if one is not found, found twice, or does not keep to its interface.
    """
    if not enabled:
        return []
    found: dict[str, IAccessRule] = {}
    problems: list[str] = []
    for path in _files(directories):
        try:
            rules = list(_rules_of(_load(path)))
        except PluginProblem as problem:
            # Only a problem if something that is enabled is missing then.
            problems.append(str(problem))
            continue
        for rule in rules:
            if found.setdefault(rule.name, rule) is not rule and rule.name in enabled:
                raise PluginProblem(f"there are two plugins named {rule.name!r}")
    missing = [name for name in enabled if name not in found]
    if missing:
        folders = ", ".join(map(str, directories))
        raise PluginProblem("; ".join([f"no plugin is named {missing[0]!r} in {folders}", *problems]))
    return [found[name] for name in enabled]


def _files(directories: Sequence[Path]) -> Iterator[Path]:
    for directory in dict.fromkeys(each.resolve() for each in directories):
        yield from sorted(directory.glob("*.py"))


def _load(path: Path) -> ModuleType:
    name = f"appproxy_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginProblem(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginProblem(f"{path}: {type(error).__name__}: {error}") from error
    return module


def _rules_of(module: ModuleType) -> Iterator[IAccessRule]:
    for value in vars(module).values():
        if isinstance(value, type) or not IAccessRule.providedBy(value) or not IPlugin.providedBy(value):
            continue
        try:
            verifyObject(IAccessRule, value)
        except Invalid as error:
            raise PluginProblem(f"{module.__file__}: {error}") from error
        yield value
