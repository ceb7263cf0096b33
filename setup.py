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
from pathlib import Path
from typing import Any, Final

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CONFIGURATION: Final = "compiled.ini"

GROUP: Final = "appproxy"
"""All modules share one library, C{appproxy__mypyc}: calls between them need no look-up."""

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
    return ""


def extensions(folder: str) -> list[Extension]:
    """Turn the modules into C, in this folder."""
    from mypyc.build import mypycify

    parser = ConfigParser()
    parser.read(CONFIGURATION, encoding="utf-8")
    made = mypycify(
        ["--config-file", CONFIGURATION, *parser["mypy"]["files"].split()],
        # Measured: the third level takes longer to build and is no faster.
        opt_level="2",
        debug_level="0",
        multi_file=True,
        group_name=GROUP,
        target_dir=folder,
    )
    for extension in made:
        # Another compiler warns of other things.
        extension.extra_compile_args = [each for each in extension.extra_compile_args if each != "-Werror"]
    return made


class Compile(build_ext):
    """
    Asks mypyc only when something is really built: setup runs for each question of pip's, too.
    """

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
                super().run()
                return
            except (Exception, SystemExit) as error:
                if WISH == "1":
                    raise
                why = f"compiling failed: {error}"
        self._forget()
        if WISH == "1":
            raise SystemExit(why)
        print(f"appproxy is installed interpreted, which works and is slower: {why}", flush=True)

    def build_extensions(self) -> None:
        """Compile on all processors."""
        one_by_one = self.compiler.compile

        def at_once(sources: list[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                parts = threads.map(lambda source: one_by_one([source], **options), sources)
                return [file for part in parts for file in part]

        self.compiler.compile = at_once
        super().build_extensions()

    def _forget(self) -> None:
        """Half of the modules compiled would be none that was tested."""
        for extension in self.extensions:
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        self.extensions = []


setup(
    cmdclass={"build_ext": Compile},
    # That there are extensions makes the wheel one of this platform; which, build_ext finds out.
    ext_modules=[] if obstacle() else [Extension(f"{GROUP}__mypyc", [])],
)
