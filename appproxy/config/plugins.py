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
    for module in _modules(directories):
        for rule in _rules_of(module):
            if rule.name in found and rule.name in enabled:
                raise PluginProblem(f"there are two plugins named {rule.name!r}")
            found[rule.name] = rule
    missing = [name for name in enabled if name not in found]
    if missing:
        folders = ", ".join(str(each) for each in directories)
        raise PluginProblem(f"no plugin is named {missing[0]!r} in {folders}")
    return [found[name] for name in enabled]


def _modules(directories: Sequence[Path]) -> Iterator[ModuleType]:
    for directory in directories:
        for path in sorted(directory.glob("*.py")):
            yield _load(path)


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
