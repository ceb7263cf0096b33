"""
May this user use this application now? A pure decision; doubt refuses.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from twisted.logger import Logger

from appproxy.iappproxy import IAccessRule
from appproxy.model.application import Application
from appproxy.model.principal import Principal
from appproxy.model.refusal import Error, Refusal

NO_SESSION: Final = Refusal(Error.SignInRequired, "no_session")
NOT_ASSIGNED: Final = Refusal(Error.Forbidden, "not_assigned")
_RULE_FAILED: Final = Refusal(Error.Forbidden, "rule", "operator")

_KEPT_ASSIGNMENTS: Final = 4096
"""Applications whose assignment is kept prepared: more than one edge has."""

_log: Final = Logger(__name__)


def canonical_name(name: str) -> str:
    """A user principal name in the one form that is compared: NFC, lower case."""
    return unicodedata.normalize("NFC", name.strip()).lower()


class Assignment:
    """
    Who is assigned to one application, prepared for one look.

    A group is written as a readable name of C{[sign_in.group_names]} or as
    what the provider sends. Principals carry the readable name where there is
    one (L{appproxy.signin.claims}), so the other form is translated here.
    """

    __slots__ = ("everyone", "groups", "is_passthrough", "users")

    def __init__(self, application: Application, group_names: Mapping[str, str]) -> None:
        self.is_passthrough = application.pre_authentication == "passthrough"
        self.everyone = application.everyone
        self.users = frozenset(canonical_name(user) for user in application.users)
        self.groups = frozenset(
            name for group in application.groups for name in readable_names(group, group_names)
        )

    def admits(self, principal: Principal) -> bool:
        """Whether the user, or one of the user's groups, is assigned."""
        return (
            self.everyone
            or principal.user_principal_name in self.users
            or not self.groups.isdisjoint(principal.groups)
        )


def readable_names(group: str, group_names: Mapping[str, str]) -> list[str]:
    """
    The names that principals carry for a group of an application.

    @param group_names: readable name to what the provider sends.
    """
    if group in group_names:
        return [group]
    return [name for name, sent in group_names.items() if sent == group] or [group]


_prepared: dict[int, tuple[Application, Mapping[str, str], Assignment]] = {}


def assignment_of(application: Application, group_names: Mapping[str, str]) -> Assignment:
    """
    The prepared assignment of an application.

    Kept by identity: snapshots share their frozen applications, and hashing
    one costs more than the decision.
    """
    known = _prepared.get(id(application))
    if known is not None and known[0] is application and known[1] is group_names:
        return known[2]
    if len(_prepared) >= _KEPT_ASSIGNMENTS:
        _prepared.clear()
    assignment = Assignment(application, group_names)
    _prepared[id(application)] = (application, group_names, assignment)
    return assignment


def decide(
    application_id: str,
    application: Application,
    principal: Principal | None,
    now: Callable[[], datetime],
    group_names: Mapping[str, str],
    rules: Sequence[IAccessRule] = (),
) -> Refusal | None:
    """
    Judge one request.

    @param principal: the user, or L{None} without sign-in.
    @param now: tells the time, with its time zone; asked only if there are rules.
    @param group_names: readable name to what the provider sends.
    @param rules: asked in their order, the first refusal counts.
    @return: why not, or L{None} to let it through.
    """
    assignment = assignment_of(application, group_names)
    if not assignment.is_passthrough:
        if principal is None:
            return NO_SESSION
        if not assignment.admits(principal):
            return NOT_ASSIGNED
    if not rules:
        return None
    moment = now()
    for rule in rules:
        refusal = _ask(rule, application_id, application, principal, moment)
        if refusal is not None:
            return refusal
    return None


def _ask(
    rule: IAccessRule,
    application_id: str,
    application: Application,
    principal: Principal | None,
    moment: datetime,
) -> Refusal | None:
    """One rule's answer; one that fails or answers nonsense refuses."""
    try:
        answer = rule.refuse(application_id, application, principal, moment)
    except Exception:
        _log.failure("an access rule failed, so it refuses", fault="operator")
        return _RULE_FAILED
    if answer is None or isinstance(answer, Refusal):
        return answer
    _log.error("an access rule answered {answer!r}, so it refuses", answer=type(answer), fault="operator")
    return _RULE_FAILED
