"""
An access rule: people get in during office hours only.

Edit the constants below. Copy the file to a folder of C{[plugins] directories}
and list C{office_hours} in C{[plugins] enabled}.
"""

from __future__ import annotations

from datetime import datetime, time
from zoneinfo import ZoneInfo

from twisted.plugin import IPlugin
from zope.interface import implementer

from appproxy.iappproxy import IAccessRule
from appproxy.model.application import Application
from appproxy.model.principal import Principal
from appproxy.model.refusal import Error, Refusal

TIME_ZONE = ZoneInfo("Europe/Berlin")
"""Where the office is; summer time follows from it."""

OPENS = time(7, 0)
CLOSES = time(19, 0)
"""The first minute inside and the first minute outside; closing before opening spans midnight."""

DAYS = {"Mon", "Tue", "Wed", "Thu", "Fri"}
"""The days on which the office opens."""

APPLICATIONS: set[str] | None = None
"""Ids of the applications that keep office hours; L{None} = all."""

EXCEPT_GROUPS = {"On call"}
"""Members of these groups get in at any time."""

_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@implementer(IPlugin, IAccessRule)
class OfficeHours:
    """
    Refuses outside of office hours.

    A passthrough application has no users, so nobody there can be excepted.

    @param opens: the first moment inside.
    @param closes: the first moment outside.
    @param days: names of C{_NAMES}: the days on which C{opens} falls.
    """

    name = "office_hours"

    def __init__(
        self,
        *,
        time_zone: ZoneInfo = TIME_ZONE,
        opens: time = OPENS,
        closes: time = CLOSES,
        days: set[str] = DAYS,
        applications: set[str] | None = APPLICATIONS,
        except_groups: set[str] = EXCEPT_GROUPS,
    ) -> None:
        if not days <= set(_NAMES):
            raise ValueError(f"the days are {', '.join(_NAMES)}")
        self._time_zone = time_zone
        self._opens = opens
        self._closes = closes
        self._days = days
        self._applications = applications
        self._except_groups = except_groups

    def refuse(
        self, application_id: str, application: Application, principal: Principal | None, now: datetime
    ) -> Refusal | None:
        """See L{IAccessRule.refuse}."""
        if self._applications is not None and application_id not in self._applications:
            return None
        if principal is not None and principal.groups & self._except_groups:
            return None
        if self._is_open(now.astimezone(self._time_zone)):
            return None
        return Refusal(Error.Forbidden, "rule", detail=f"{application.name} is open {self._hours()}.")

    def _is_open(self, local: datetime) -> bool:
        clock = local.time()
        weekday = local.weekday()
        if self._opens <= self._closes:
            return self._opens <= clock < self._closes and _NAMES[weekday] in self._days
        if clock < self._closes:
            # The night belongs to the day on which it began.
            return _NAMES[weekday - 1] in self._days
        return clock >= self._opens and _NAMES[weekday] in self._days

    def _hours(self) -> str:
        days = " ".join(day for day in _NAMES if day in self._days)
        return f"{days}, {self._opens:%H:%M} to {self._closes:%H:%M} ({self._time_zone})"


office_hours = OfficeHours()
