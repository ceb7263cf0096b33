"""
What the admin socket answers when it does not do what it was asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from appproxy.model.problems import Problem, suggestion


class AdminError(Exception):
    """
    A refusal that the administrator sees.

    @ivar status: of HTTP.
    @ivar code: for programs; stable.
    @ivar message: for people.
    @ivar details: more for programs.
    """

    def __init__(self, status: int, code: str, message: str, **details: object) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details: Mapping[str, object] = details

    def as_dict(self) -> dict[str, object]:
        """The answer's body."""
        return {"error": self.code, "message": self.message, **self.details}


def bad_request(message: str) -> AdminError:
    """What was sent is not understood."""
    return AdminError(400, "bad_request", message)


def refused(message: str) -> AdminError:
    """What was asked for is understood, and is not done."""
    return AdminError(409, "refused", message)


def changed_meanwhile() -> AdminError:
    """Somebody else was faster."""
    return AdminError(409, "changed", "the catalog has changed meanwhile; plan again")


def not_found(kind: str, name: str, known: Iterable[str] = ()) -> AdminError:
    """There is no such object."""
    return AdminError(404, "not_found", f'there is no {kind} "{name}"{suggestion(name, known)}')


def has_problems(problems: Sequence[Problem]) -> AdminError:
    """A file is wrong; every problem is told."""
    count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
    return AdminError(422, "problems", count, problems=[asdict(problem) for problem in problems])
