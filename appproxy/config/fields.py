"""
The kinds of value that a configuration file holds: paths, listeners, hosts.

A path is relative to the file that names it; that file's folder, and the one
where systemd lays credentials, come in as pydantic's context (L{FileContext}).
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema

from appproxy.model.units import Duration, Size
from appproxy.model.web_address import normalise_host
from appproxy.transport.addresses import HostPort, ListenAddress

CREDENTIAL: Final = "credential:"
"""What a path starts with that names one of systemd's credentials."""

LONGEST_DURATION: Final = 400 * 86400.0
"""More than a year is a slip of the pen, and no timer overflows."""

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}\Z")


@dataclass(frozen=True)
class FileContext:
    """
    Where the file being read stands.

    @ivar folder: what its relative paths are relative to.
    @ivar credentials: C{$CREDENTIALS_DIRECTORY}, where there is one.
    """

    folder: Path = Path()
    credentials: Path | None = None


def _context(info: ValidationInfo) -> FileContext:
    return info.context if isinstance(info.context, FileContext) else FileContext()


def _resolve(value: object, info: ValidationInfo) -> object:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("write a path in quotes")
    if not value.startswith(CREDENTIAL):
        return _context(info).folder / value
    name = value.removeprefix(CREDENTIAL)
    if not _FILE_NAME.match(name):
        raise ValueError(f'write "{CREDENTIAL}" and the name of a credential, without a folder')
    folder = _context(info).credentials
    return folder / name if folder is not None else Path(value)


def _resolve_unless_empty(value: object, info: ValidationInfo) -> object:
    return None if value in ("", None) else _resolve(value, info)


_PATH_SCHEMA: Final = {
    "type": "string",
    "description": f'a path, relative to this file, or "{CREDENTIAL}NAME"',
}

FilePath = Annotated[Path, BeforeValidator(_resolve), WithJsonSchema({**_PATH_SCHEMA, "minLength": 1})]
"""A path. C{credential:NAME} without a credentials folder stays as it is: there is no such file."""

OptionalFilePath = Annotated[
    Path | None, BeforeValidator(_resolve_unless_empty), WithJsonSchema({**_PATH_SCHEMA, "default": ""})
]
"""A path, or L{None} for C{""}."""


def _listen_address(value: object, info: ValidationInfo) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError('write ":443", "127.0.0.1:8443", "[::1]:8443", "unix:/path" or "systemd:NAME"')
    path = value.removeprefix("unix:")
    if path and path != value:
        value = f"unix:{_context(info).folder / path}"
    return str(ListenAddress.parse(value))


ListenText = Annotated[str, BeforeValidator(_listen_address)]
"""Where to listen, as text that L{ListenAddress.parse} reads; a Unix path is made absolute."""


def _unix_only(value: str) -> str:
    if not value.startswith("unix:"):
        raise ValueError('write "unix:" and a path: this is never served on the network')
    return value


UnixListenText = Annotated[ListenText, AfterValidator(_unix_only)]
"""C{unix:/path}."""


def _host_port(value: str) -> str:
    return str(HostPort.parse(value))


HostPortText = Annotated[str, AfterValidator(_host_port)]
"""C{host:443}, C{[::1]:443}, as text that L{HostPort.parse} reads."""


def host_name(value: str) -> str:
    """
    A host name in lower-case ASCII.

    @raise ValueError: if it is an address, or no name at all.
    """
    host = normalise_host(value)
    if ":" in host or host.replace(".", "").isdigit():
        raise ValueError("write a host name, not an address")
    return host


HostName = Annotated[str, AfterValidator(host_name)]
"""A host name in lower-case ASCII."""


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError(f'{json.dumps(value)} is not a network such as "10.0.0.0/8"') from None


NetworkText = Annotated[str, AfterValidator(_network)]
"""C{10.0.0.0/8}, C{fc00::/7}."""


def _at_least_one(value: object) -> object:
    if value in ([], ()):
        raise ValueError("write at least one")
    return value


NotEmpty: Final = BeforeValidator(_at_least_one)
"""For a list: pydantic's own length check complains a second time when every element is wrong."""

PositiveDuration = Annotated[
    Duration,
    Field(gt=0, le=LONGEST_DURATION),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(ms|s|m|h|d)$"}),
]
"""A wait or a lifetime: more than nothing."""

SizeText = Annotated[Size, WithJsonSchema({"type": "string", "pattern": r"^\d+(B|KiB|MiB|GiB)$"})]
"""A size in bytes."""


def later(default: Any) -> BeforeValidator:
    """
    A key of a later stage: its default may be written, nothing else.

    @param default: as it stands in a file, not as the model holds it.
    """

    def only_default(value: object) -> object:
        if value not in (default, _as_model_value(default)):
            raise ValueError(f"not supported yet; leave it out, or write {json.dumps(default)}")
        return value

    return BeforeValidator(only_default)


def _as_model_value(default: Any) -> Any:
    return tuple(default) if isinstance(default, list) else default
