"""
What goes wrong with a directory, by stable reasons.
"""

from __future__ import annotations

from typing import Final, Literal

Reason = Literal[
    "directory_unreachable",
    "directory_timeout",
    "directory_tls",
    "directory_refused",
    "user_unknown",
    "user_ambiguous",
    "group_unknown",
    "overloaded",
]

RANK: Final[tuple[Reason, ...]] = (
    "directory_unreachable",
    "directory_timeout",
    "directory_tls",
    "directory_refused",
)
"""What several servers failed with, the least telling first."""

UNKNOWN: Final = frozenset({"user_unknown", "user_ambiguous", "group_unknown"})
"""The directory has answered, and this is its answer."""


class DirectoryError(Exception):
    """
    A look-up that came to nothing.

    @ivar reason: one of L{Reason}, for logs and metrics.
    @ivar detail: what an administrator needs to know; without secrets.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason: Reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")

    def again(self) -> DirectoryError:
        """The same for another waiter: an exception that is raised collects a traceback of its own."""
        return DirectoryError(self.reason, self.detail)


def most_telling(errors: list[DirectoryError]) -> DirectoryError:
    """One error for what several servers failed with, with all of their details."""
    ranked = sorted(errors, key=lambda each: RANK.index(each.reason) if each.reason in RANK else len(RANK))
    details = dict.fromkeys(each.detail for each in errors)
    return DirectoryError(ranked[-1].reason, "; ".join(details))
