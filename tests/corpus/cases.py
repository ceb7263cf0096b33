"""
Reads the corpus.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

FOLDER: Final = Path(__file__).parent
HOST: Final = b"$host"
ENDS: Final = frozenset({"", "stall", "half_close", "close_notify", "hang_up"})

TUNNEL_ENDS: Final = frozenset({"end", "reset", "second_head", "hang_up"})

_BYTES: Final = frozenset({"lines", "body", "raw"})
_RULES: Final = frozenset({"rule", "rule_in_pieces", "llhttp_takes_it"})

Case = TypeVar("Case")


@dataclass(frozen=True)
class Got:
    """
    A request as an application must get it.

    @ivar has: headers that come once, with this value.
    @ivar lacks: headers that do not come.
    """

    method: bytes = b"GET"
    target: bytes = b"/"
    body: bytes = b""
    has: Mapping[bytes, bytes] = field(default_factory=dict)
    lacks: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class RequestCase:
    """
    What a client sends.

    @ivar gets: what the application gets.
    @ivar status: of our refusal after that; 0 if there is none.
    @ivar rules: the names that the broken rule may have; the first, if all bytes come at once.
    @ivar closes: whether the connection ends.
    @ivar ends: what the client does after the bytes: one of L{ENDS}.
    @ivar llhttp_takes_it: whether llhttp sees no flaw in it.
    """

    name: str
    template: bytes
    gets: tuple[Got, ...]
    status: int
    rules: tuple[str, ...]
    closes: bool
    ends: str
    llhttp_takes_it: bool

    def message(self, host: bytes = b"a") -> bytes:
        """The bytes, for this host."""
        return self.template.replace(HOST, host)


@dataclass(frozen=True)
class AnswerCase:
    """
    What an application answers before it hangs up.

    @ivar asked: the method of the request.
    @ivar rules: the names that the broken rule may have; none if the answer is accepted.
    @ivar status: what the client gets.
    @ivar gives: with this body.
    """

    name: str
    data: bytes
    asked: bytes
    rules: tuple[str, ...]
    status: int
    gives: bytes
    llhttp_takes_it: bool


@dataclass(frozen=True)
class PathCase:
    """
    A target.

    @ivar rule: that it breaks; empty if it is read.
    @ivar path: that is read from it.
    @ivar ambiguous: what is ambiguous in it.
    """

    target: bytes
    rule: str
    path: str = ""
    ambiguous: frozenset[str] = frozenset()


@dataclass(frozen=True)
class TunnelRequestCase:
    """
    A head that a connector refuses.

    @ivar readable: whether it is a head at all.
    """

    name: str
    head: bytes
    readable: bool
    application: str


@dataclass(frozen=True)
class TunnelAnswerCase:
    """
    A head that a connector sends.

    @ivar data: the body that follows it.
    @ivar ends: what the connector does then: one of L{TUNNEL_ENDS}.
    @ivar readable: whether it is a head at all.
    @ivar status: what the client gets; 0 if the edge refuses it.
    @ivar body: with this body.
    @ivar lacks: and without these headers.
    """

    name: str
    head: bytes
    data: bytes
    ends: str
    asked: bytes
    readable: bool
    status: int
    body: bytes
    lacks: tuple[bytes, ...]


def bytes_of(value: Any) -> bytes:
    """The bytes that a string, a repetition, or a list of these stands for."""
    if isinstance(value, list):
        return b"".join(map(bytes_of, value))
    if isinstance(value, dict):
        return bytes_of(value["repeat"]) * int(value["times"])
    data: bytes = value.encode("latin-1")
    return data


def _message(table: dict[str, Any]) -> bytes:
    if "raw" in table:
        return bytes_of(table["raw"])
    return b"\r\n".join([*map(bytes_of, table["lines"]), b"", bytes_of(table.get("body", ""))])


def _rules(table: dict[str, Any]) -> tuple[str, ...]:
    given = [table[key] for key in ("rule", "rule_in_pieces") if key in table]
    return tuple(rule for each in given for rule in ([each] if isinstance(each, str) else each))


def _names(names: list[str]) -> tuple[bytes, ...]:
    return tuple(map(bytes_of, names))


def _check(where: str, table: dict[str, Any], known: frozenset[str]) -> None:
    if unknown := set(table) - known:
        raise ValueError(f"{where}: unknown keys {sorted(unknown)}")


def _got(where: str, table: dict[str, Any]) -> Got:
    _check(where, table, frozenset({"method", "target", "body", "has", "lacks"}))
    given = {key: bytes_of(table[key]) for key in ("method", "target", "body") if key in table}
    has = {bytes_of(name): bytes_of(value) for name, value in table.get("has", {}).items()}
    return Got(**given, has=has, lacks=_names(table.get("lacks", [])))


def read_request(name: str, table: dict[str, Any]) -> RequestCase:
    """
    One case of C{requests/}.

    @raise ValueError: for one that nobody could hold against anything.
    """
    _check(name, table, _BYTES | _RULES | {"gets", "status", "closes", "ends"})
    status, ends = table.get("status", 0), table.get("ends", "")
    gets = tuple(_got(name, each) for each in table.get("gets", []))
    if bool(status) != ("rule" in table) or ends not in ENDS or not (status or gets or ends):
        raise ValueError(f"{name}: says not what becomes of it")
    return RequestCase(
        name,
        _message(table),
        gets,
        status,
        _rules(table),
        bool(status) or table.get("closes", False),
        ends,
        table.get("llhttp_takes_it", False),
    )


def _answer(name: str, table: dict[str, Any]) -> AnswerCase:
    _check(name, table, _BYTES | _RULES | {"asked", "status", "gives"})
    if ("status" in table) == ("rule" in table):
        raise ValueError(f"{name}: says not what becomes of it")
    return AnswerCase(
        name,
        _message(table),
        bytes_of(table.get("asked", "GET")),
        _rules(table),
        table.get("status", 502),
        bytes_of(table.get("gives", "")),
        table.get("llhttp_takes_it", False),
    )


def _paths(name: str, table: dict[str, Any]) -> list[PathCase]:
    _check(name, table, frozenset({"rule", "targets", "reads", "ambiguous"}))
    if "rule" in table:
        return [PathCase(bytes_of(target), table["rule"]) for target in table["targets"]]
    ambiguous = frozenset(table.get("ambiguous", []))
    return [PathCase(bytes_of(target), "", path, ambiguous) for target, path in table["reads"].items()]


def _tunnel_request(name: str, table: dict[str, Any]) -> TunnelRequestCase:
    _check(name, table, frozenset({"head", "readable", "application"}))
    readable, application = table.get("readable", False), table.get("application", "ours")
    return TunnelRequestCase(name, bytes_of(table["head"]), readable, application)


def _tunnel_answer(name: str, table: dict[str, Any]) -> TunnelAnswerCase:
    known = frozenset({"head", "data", "ends", "asked", "readable", "status", "body", "lacks"})
    _check(name, table, known)
    ends = table.get("ends", "end")
    if ends not in TUNNEL_ENDS or (ends == "end" and "head" not in table):
        raise ValueError(f"{name}: says not what is sent")
    return TunnelAnswerCase(
        name,
        bytes_of(table.get("head", "")),
        bytes_of(table.get("data", "")),
        ends,
        bytes_of(table.get("asked", "GET")),
        table.get("readable", "status" in table),
        table.get("status", 0),
        bytes_of(table.get("body", "")),
        _names(table.get("lacks", [])),
    )


def _read(path: Path, make: Callable[[str, dict[str, Any]], Case]) -> list[Case]:
    return [make(name, table) for name, table in tomllib.loads(path.read_text("utf-8")).items()]


def _requests() -> list[RequestCase]:
    files = sorted((FOLDER / "requests").glob("*.toml"))
    cases = [case for path in files for case in _read(path, read_request)]
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        raise ValueError(f"two cases of one name: {sorted(name for name in names if names.count(name) > 1)}")
    return cases


REQUESTS: Final = _requests()
BAD_REQUESTS: Final = [case for case in REQUESTS if case.status and not case.gets and not case.ends]
"""Those that are nothing but refused."""

ANSWERS: Final = _read(FOLDER / "answers.toml", _answer)
PATHS: Final = [case for cases in _read(FOLDER / "paths.toml", _paths) for case in cases]
TUNNEL_REQUESTS: Final = _read(FOLDER / "tunnel_requests.toml", _tunnel_request)
TUNNEL_ANSWERS: Final = _read(FOLDER / "tunnel_answers.toml", _tunnel_answer)
