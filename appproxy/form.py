"""
The two forms of this package: parts of it may have been compiled when it was installed (C{compiled.ini}).

The sources are always there too, and with C{APPPROXY_INTERPRETED=1} in the environment they are what runs:
to see whether it is the compiler's fault.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from importlib.util import find_spec
from types import ModuleType
from typing import Final

INTERPRETED: Final = "APPPROXY_INTERPRETED"
"""The variable of the environment that asks for the sources."""

_PACKAGE: Final = "appproxy"


class Sources(MetaPathFinder):
    """Finds our modules' sources, and no extension modules beside them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See C{importlib.abc.MetaPathFinder}."""
        if path is None or not fullname.startswith(f"{_PACKAGE}."):
            return None
        found = (FileFinder(each, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(fullname) for each in path)
        return next((spec for spec in found if spec is not None), None)


def prefer_sources() -> None:
    """From now on nothing compiled is imported."""
    sys.meta_path.insert(0, Sources())


def form() -> str:
    """C{compiled} or C{interpreted}."""
    spec = find_spec(f"{_PACKAGE}.bare")
    return "interpreted" if spec is None or (spec.origin or "").endswith(".py") else "compiled"
