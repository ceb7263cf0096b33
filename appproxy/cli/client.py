"""
Asks the edge through its admin socket, and waits for the answer.
"""

from __future__ import annotations

import grp
import http.client
import json
import os
import socket
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from appproxy.model.problems import Problem

DEFAULT_SERVER: Final = "unix:/run/appproxy/edge/admin.sock"

ANSWER_SECONDS: Final = 60.0
"""Longer than the edge waits for anything on a command's behalf."""

MAXIMUM_ANSWER: Final = 256 << 20
"""A wrong server cannot fill the memory."""

_HOST: Final = "appproxy"


class ServerAway(Exception):
    """The edge cannot be reached, or does not let us in; the message says what to do."""


class Refused(Exception):
    """
    The edge says no.

    @ivar code: what it is, for programs.
    @ivar problems: of the files that were sent.
    """

    def __init__(self, code: str, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.problems = problems


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__(_HOST, timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class AdminClient:
    """
    The edge as the commands see it.

    @ivar server: its address, for messages.
    """

    def __init__(self, server: str) -> None:
        """
        @raise ValueError: if the address is none.
        """
        self.server = server
        self._path = server.removeprefix("unix:")
        if not self._path or self._path == server:
            raise ValueError(f'"{server}" is no address; write unix:/path/to/admin.sock')

    def get(self, *path: str) -> Any:
        """
        Ask.

        @raise ServerAway: if there is no answer.
        @raise Refused: if the answer is no.
        """
        return self._ask("GET", path, None)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """
        Ask with more words; raises as L{get}.

        @param path: of ours; its parts have no slash.
        """
        return self._ask("POST", tuple(path.split("/")), body)

    def order(self, *path: str) -> Any:
        """Have something done that needs no more words; raises as L{get}."""
        return self._ask("POST", path, None)

    def delete(self, *path: str) -> Any:
        """Have something deleted; raises as L{get}."""
        return self._ask("DELETE", path, None)

    def _ask(self, method: str, path: tuple[str, ...], body: Mapping[str, object] | None) -> Any:
        target = "/v1/" + "/".join(quote(part, safe="") for part in path)
        connection = _UnixConnection(self._path)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            connection.request(method, target, None if body is None else json.dumps(body).encode(), headers)
            response = connection.getresponse()
            return _understand(response.status, response.read(MAXIMUM_ANSWER))
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            raise ServerAway(self._why(error)) from error
        finally:
            connection.close()

    def _why(self, error: Exception) -> str:
        match error:
            case PermissionError():
                return f"you may not use {self._path}: {_who_may(self._path)}"
            case FileNotFoundError() | ConnectionRefusedError():
                return f"no edge listens at {self._path}; is it running, or does --server name another?"
            case TimeoutError():
                return f"the edge at {self._path} did not answer within {ANSWER_SECONDS:.0f} s"
        return f"{self._path} does not answer as an edge does: {error}"


def _who_may(path: str) -> str:
    try:
        status = os.stat(path)
        group = grp.getgrgid(status.st_gid).gr_name
    except (OSError, KeyError):
        return "be root, its owner, or in its group"
    return f"be root, or in the group {group} (usermod -aG {group} USER, then sign in again)"


def _understand(status: int, content: bytes) -> Any:
    answer = json.loads(content)
    if status == 200:
        return answer
    if not isinstance(answer, dict):
        raise http.client.HTTPException(f"status {status}")
    if status == 403:
        raise ServerAway(str(answer.get("message")))
    problems = tuple(Problem(**problem) for problem in answer.get("problems", ()))
    raise Refused(str(answer.get("error")), str(answer.get("message")), problems)
