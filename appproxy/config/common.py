"""
What the three configuration files share: the sections C{[log]} and
C{[metrics]}, and how a file is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, StrictBool

from appproxy.config.fields import FileContext, OptionalFilePath
from appproxy.model.problems import Problem, TomlDocument, validate
from appproxy.model.schema import Model

M = TypeVar("M", bound=BaseModel)


TransportName = Literal["fast", "stock"]
"""The TLS layers of L{appproxy.transport.layers}."""


class TlsSettings(Model):
    """
    C{[tls]}, where there is no more to it.

    @ivar transport: C{stock} = Twisted's own.
    """

    transport: TransportName = "fast"


class LogSettings(Model):
    """
    C{[log]}.

    @ivar file: L{None} = stdout.
    @ivar access: whether each request has its line.
    @ivar query_strings: whether that line has the query: it carries secrets.
    """

    level: Literal["debug", "info", "warn", "error"] = "info"
    format: Literal["json", "text"] = "json"
    file: OptionalFilePath = None
    access: StrictBool = True
    query_strings: StrictBool = False

    def format_on(self, *, terminal: bool) -> Literal["json", "text"]:
        """The format, which is text on a terminal unless the file says otherwise."""
        return "text" if terminal and "format" not in self.model_fields_set else self.format


def read_settings(model: type[M], path: Path, environment: Mapping[str, str]) -> M | list[Problem]:
    """
    Read and check one configuration file.

    @param environment: only C{CREDENTIALS_DIRECTORY} is looked at, which systemd sets.
    @return: the settings, or every problem of the file.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        return [Problem(str(path), None, "", f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError:
        return [Problem(str(path), None, "", "is not UTF-8 text")]
    return parse_settings(model, text, str(path), file_context(path.parent, environment))


def file_context(folder: Path, environment: Mapping[str, str]) -> FileContext:
    """The context of a file in this folder."""
    credentials = environment.get("CREDENTIALS_DIRECTORY")
    return FileContext(folder.absolute(), Path(credentials) if credentials else None)


def parse_settings(model: type[M], text: str, name: str, context: FileContext) -> M | list[Problem]:
    """
    Check the text of a configuration file.

    @param name: what problems call it.
    """
    document = TomlDocument.parse(text, name)
    if isinstance(document, list):
        return document
    return validate(model, document.data, document, context=context)
