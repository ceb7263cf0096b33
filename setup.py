"""
Compiles the modules that compiled.ini lists; everything else of packaging stands in setup.cfg.

APPPROXY_COMPILE=0 leaves them as they are, =1 fails where they cannot be compiled. Without it an
install goes on interpreted where mypyc or a C compiler is missing, or where one of them fails.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from importlib.util import find_spec
from itertools import repeat
from pathlib import Path
from typing import Any, Final

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

CONFIGURATION: Final = "compiled.ini"

GROUP: Final = "appproxy"
"""All modules share one library, C{appproxy__mypyc}: calls between them need no look-up."""

SELDOM: Final = """\
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#define SELDOM __attribute__((cold))
SELDOM void CPyError_OutOfMemory(void);
SELDOM void CPy_TypeError(const char *, PyObject *);
SELDOM void CPy_AddTraceback(const char *, const char *, int, PyObject *);
SELDOM void CPy_TypeErrorTraceback(const char *, const char *, int, PyObject *, const char *, PyObject *);
SELDOM void CPy_AttributeError(const char *, const char *, const char *, const char *, int, PyObject *);
SELDOM static void CPy_DecRef(PyObject *);
"""
"""
What mypyc's C calls where an exception passes. Nearly every line of Python has such a place: with these
marks they stand apart, and what runs all the time shares no cache line with what never runs.
"""

WISH: Final = os.environ.get("APPPROXY_COMPILE", "")


def obstacle() -> str:
    """Why nothing can be compiled here; empty if something can."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if WISH == "0":
        return "APPPROXY_COMPILE=0"
    if find_spec("mypyc") is None:
        return "mypyc (of the package mypy) is missing"
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler})"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python's headers are missing (Debian: python3-dev)"
    return ""


def extensions(folder: str) -> list[Extension]:
    """Turn the modules into C, in this folder."""
    from mypyc.build import mypycify

    parser = ConfigParser()
    parser.read(CONFIGURATION, encoding="utf-8")
    made = mypycify(
        ["--config-file", CONFIGURATION, *parser["mypy"]["files"].replace(",", " ").split()],
        opt_level="2",
        debug_level="0",
        multi_file=True,
        group_name=GROUP,
        target_dir=folder,
    )
    _mend(Path(folder) / "bytes_ops.c")
    seldom = Path(folder) / "seldom.h"
    _write(seldom, SELDOM)
    for extension in made:
        # Another compiler warns of other things.
        arguments = [each for each in extension.extra_compile_args if each != "-Werror"]
        extension.extra_compile_args = [*arguments, "-include", str(seldom)]
        extension.depends.append(str(seldom))
    return made


def _mend(source: Path) -> None:
    """In mypyc 2.4, C{value[start:end]} of bytes raises SystemError, and is not empty, if start > end."""
    text = source.read_text("utf-8")
    mended = text.replace("slice_len = endn - startn;", "slice_len = endn > startn ? endn - startn : 0;")
    _write(source, mended)


def _write(path: Path, text: str) -> None:
    """Leave a file alone that is right already: what is newer than its object is compiled again."""
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


class Compile(build_ext):
    """Asks mypyc only when something is really built: pip runs setup for each of its questions, too."""

    def finalize_options(self) -> None:
        """Nothing to build yet."""
        super().finalize_options()
        self.extensions = []

    def run(self) -> None:
        """Build, unless this is an editable install, whose sources are about to change."""
        if self.editable_mode:
            return
        why = obstacle()
        if not why:
            try:
                self.distribution.ext_modules = extensions(os.path.join("build", "c"))
                self.swig_opts = None  # which is made a list of, once
                super().finalize_options()
                self._remove_all_but(self.extensions)
                super().run()
                return
            except (Exception, SystemExit) as error:
                if WISH == "1":
                    raise
                why = f"compiling failed: {error}"
        # Half of the modules compiled would be a form that nobody tested.
        self.extensions = []
        self._remove_all_but([])
        if WISH == "1":
            raise SystemExit(why)
        tell(why)

    def build_extensions(self) -> None:
        """Compile on all processors, and only what is newer than what came of it the last time."""
        compile_all = self.compiler.compile

        def compile_one(source: str, options: dict[str, Any]) -> list[str]:
            made: list[str] = self.compiler.object_filenames([source], output_dir=options["output_dir"])
            if newer_group([source, *options["depends"]], made[0]):
                compile_all([source], **options)
            return made

        def compile_at_once(sources: list[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                made = threads.map(compile_one, sources, repeat(options))
                return [each for one in made for each in one]

        self.compiler.compile = compile_at_once
        super().build_extensions()

    def _remove_all_but(self, extensions: list[Extension]) -> None:
        """What an earlier build left would be packed too."""
        folder = Path(self.build_lib)
        kept = {folder / self.get_ext_filename(self.get_ext_fullname(each.name)) for each in extensions}
        for each in folder.rglob("*" + sysconfig.get_config_var("EXT_SUFFIX")):
            if each not in kept:
                each.unlink()


def tell(why: str) -> None:
    """Say that nothing is compiled."""
    print(f"appproxy stays interpreted, which works and is slower: {why}", flush=True)


if __name__ == "__main__":
    if obstacle():
        tell(obstacle())
    setup(
        cmdclass={"build_ext": Compile},
        # That there are extensions makes the wheel one of this platform; which, build_ext finds out.
        ext_modules=[Extension(f"{GROUP}__mypyc", [])] if WISH == "1" or not obstacle() else [],
    )
