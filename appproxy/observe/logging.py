"""
Where events go: one JSON object a line, or text for a person.

C{twistd --logger appproxy.observe.logging.json_observer} works for any
application; our daemons make their own by L{make_observer}, with level,
format and file of their configuration.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from appproxy.observe.access_log import LineWriter

STANDARD_OUTPUT: Final = 1
HIDDEN: Final = "[hidden]"
MAXIMUM_TEXT: Final = 8192
"""Characters of one value: a message or a traceback fits; a body that got into an event does not."""

_LEVELS: Final = {level: number for number, level in enumerate(LogLevel.iterconstants())}
_DEFAULT_LEVEL: Final = LogLevel.info
_BOOKKEEPING: Final = frozenset(
    {"format", "message", "time", "system", "isError", "failure", "why", "namespace", "level", "daemon"}
)
"""Keys of the logging system itself, and ours that no event may overwrite."""

_SECRET_KEY: Final = re.compile(
    r"secret|passw|passphrase|token|cookie|credential|authori[sz]ation|ticket|private|_key$|^key$"
)
_SECRET_TEXT: Final = re.compile(
    # Header fields: up to the end of the line.
    r"(?P<field>\b(?:set-)?cookie|\b(?:proxy-)?authorization)(?P<colon>['\"]?\s*[:=,]\s*)[^\r\n]+"
    # Settings and parameters: up to the next separator.
    r"|(?P<name>\bpassword|\bpassphrase|\bclient_secret|\b\w+_token|\bassertion|(?<=[?&])(?:code|state|ticket))"
    r"(?P<equals>['\"]?\s*[:=]\s*['\"]?)[^\s'\"&;,]+"
    # What is known by its looks: join tokens, JSON Web Tokens, keys.
    r"|\bapj1\.[\w-]+"
    r"|\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.IGNORECASE | re.DOTALL,
)


def redact(text: str) -> str:
    """Blot out what looks like a secret: a last resort behind callers that do not log any."""

    def blot(match: re.Match[str]) -> str:
        known = (match["field"], match["colon"], match["name"], match["equals"])
        return "".join(part for part in known if part) + HIDDEN

    return _SECRET_TEXT.sub(blot, text)


def _shown(value: object) -> Any:
    """A value as JSON can carry it, bounded and without secrets."""
    if value is None or isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return redact(str(value)[:MAXIMUM_TEXT])


def fields_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """What the caller said in an event's fields, without the logging system's own."""
    return {
        key: HIDDEN if _SECRET_KEY.search(key.lower()) else _shown(value)
        for key, value in event.items()
        if not key.startswith("log_") and key not in _BOOKKEEPING
    }


def message_of(event: LogEvent) -> str:
    """The event's format filled in, with secret fields hidden, as one line or more."""
    safe = {key: HIDDEN if _SECRET_KEY.search(key.lower()) else value for key, value in event.items()}
    return redact(formatEvent(safe)[:MAXIMUM_TEXT])


def traceback_of(event: Mapping[str, Any]) -> str:
    """The event's traceback, without the values of variables; empty if there is none."""
    failure = event.get("log_failure")
    if not isinstance(failure, Failure):
        return ""
    return redact(failure.getTraceback(detail="default")[-MAXIMUM_TEXT:])


def time_text(seconds: float) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def record_of(event: LogEvent, daemon: str) -> dict[str, Any]:
    """An event as the JSON object that is logged."""
    level = event.get("log_level") or _DEFAULT_LEVEL
    record: dict[str, Any] = {
        "time": time_text(event.get("log_time", 0.0)),
        "level": "error" if level is LogLevel.critical else level.name,
        "event": "log",
        "daemon": daemon,
        "message": message_of(event),
    }
    record.update(fields_of(event))
    if _LEVELS[level] >= _LEVELS[LogLevel.warn]:
        # Whoever did not say whose fault it is did not expect it.
        record.setdefault("fault", "ours")
    traceback = traceback_of(event)
    if traceback:
        record["traceback"] = traceback
    return record


def json_line(event: LogEvent, daemon: str) -> bytes:
    """An event as one line of JSON."""
    text = json.dumps(record_of(event, daemon), separators=(",", ":"), default=str)
    return text.encode("ascii") + b"\n"


def text_line(event: LogEvent, daemon: str) -> bytes:
    """An event for a person; what would move a terminal's cursor is escaped."""
    record = record_of(event, daemon)
    shown = f"{record['time']} {record['level']:<5} {record['message']}"
    lines = [shown, *record.get("traceback", "").splitlines()]
    safe = ["".join(each if each.isprintable() else repr(each)[1:-1] for each in line) for line in lines]
    return "\n    ".join(safe).encode("utf-8", "backslashreplace") + b"\n"


_FORMATS: Final[dict[str, Callable[[LogEvent, str], bytes]]] = {"json": json_line, "text": text_line}


@implementer(ILogObserver)
class LineObserver:
    """
    Writes every event from a level up as one line.

    @ivar level: the lowest level shown; may be changed at any time (a reload).
    """

    def __init__(
        self, writer: LineWriter, line: Callable[[LogEvent, str], bytes], daemon: str, level: str
    ) -> None:
        """
        @raise ValueError: if there is no such level.
        """
        self._writer = writer
        self._line = line
        self._daemon = daemon
        self._threshold = 0
        self.level = level

    @property
    def level(self) -> str:
        """The lowest level shown: C{debug}, C{info}, C{warn} or C{error}."""
        return self._level

    @level.setter
    def level(self, level: str) -> None:
        found = next((each for each in _LEVELS if each.name == level and level != "critical"), None)
        if found is None:
            raise ValueError('the level is "debug", "info", "warn" or "error"')
        self._level = level
        self._threshold = _LEVELS[found]

    def __call__(self, event: LogEvent) -> None:
        """Write the event, if its level is high enough."""
        level = event.get("log_level") or _DEFAULT_LEVEL
        if _LEVELS[level] >= self._threshold:
            self._writer.write_now(self._line(event, self._daemon))


def make_observer(
    writer: LineWriter, daemon: str, *, level: str = "info", format: str = "json"
) -> LineObserver:
    """
    The observer of one daemon.

    @param writer: shared with the access log, so that lines keep their order.
    @param format: C{"json"} or C{"text"}.
    @raise ValueError: if there is no such level or format.
    """
    if format not in _FORMATS:
        raise ValueError('the format is "json" or "text"')
    return LineObserver(writer, _FORMATS[format], daemon, level)


def json_observer() -> LineObserver:
    """JSON lines on standard output, for C{twistd --logger}."""
    return make_observer(LineWriter(STANDARD_OUTPUT), "appproxy")


def text_observer() -> LineObserver:
    """Text on standard output, for C{twistd --logger}."""
    return make_observer(LineWriter(STANDARD_OUTPUT), "appproxy", format="text")
