"""C{plugins/office_hours.py}, loaded from its file as a plugin is."""

from __future__ import annotations

import importlib.util
import sys
from datetime import UTC, datetime, time
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from zoneinfo import ZoneInfo

from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from appproxy.iappproxy import IAccessRule
from appproxy.model.application import Application
from appproxy.model.principal import Principal
from appproxy.model.refusal import Error

FILE: Final = Path(__file__).parents[2] / "plugins" / "office_hours.py"
WIKI: Final = Application.model_validate(
    {
        "name": "Wiki",
        "external_url": "https://wiki.example.com/",
        "internal_url": "http://wiki/",
        "connector_group": "hq",
        "everyone": True,
    }
)
ADA: Final = Principal("https://issuer", "ada", "0" * 32)
ON_CALL: Final = Principal("https://issuer", "grace", "1" * 32, groups=frozenset({"On call"}))
BERLIN: Final = ZoneInfo("Europe/Berlin")


def load() -> ModuleType:
    """The plugin's module, which no package holds."""
    specification = importlib.util.spec_from_file_location("office_hours", FILE)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


class OfficeHoursTests(SynchronousTestCase):
    """The access rule."""

    def setUp(self) -> None:
        """The module as it is shipped."""
        before = sys.dont_write_bytecode
        sys.dont_write_bytecode = True
        self.addCleanup(setattr, sys, "dont_write_bytecode", before)
        self.module = load()

    def rule(self, **settings: Any) -> IAccessRule:
        """A rule with other hours than the shipped ones."""
        rule: IAccessRule = self.module.OfficeHours(**{"time_zone": BERLIN, **settings})
        return rule

    def is_open(self, rule: IAccessRule, now: datetime, principal: Principal | None = ADA) -> bool:
        """Whether the rule lets this user through."""
        return rule.refuse("wiki", WIKI, principal, now) is None

    def test_is_a_plugin(self) -> None:
        """The module offers one object that is both a plugin and an access rule, under its file's name."""
        shipped = self.module.office_hours
        self.assertTrue(verifyObject(IAccessRule, shipped))
        self.assertTrue(IPlugin.providedBy(shipped))
        self.assertEqual(shipped.name, FILE.stem)

    def test_hours(self) -> None:
        """The first minute is inside, the closing minute outside."""
        rule = self.rule(opens=time(7), closes=time(19))
        for clock, expected in (
            (time(6, 59, 59), False),
            (time(7), True),
            (time(18, 59), True),
            (time(19), False),
        ):
            monday = datetime.combine(datetime(2026, 3, 2), clock, BERLIN)
            self.assertEqual(self.is_open(rule, monday), expected, clock)

    def test_days(self) -> None:
        """Closed on days that are not listed."""
        rule = self.rule()
        self.assertTrue(self.is_open(rule, datetime(2026, 3, 6, 12, tzinfo=BERLIN)))
        self.assertFalse(self.is_open(rule, datetime(2026, 3, 7, 12, tzinfo=BERLIN)))

    def test_time_zone_and_summer_time(self) -> None:
        """The office's clock counts, whatever zone the time comes in, in winter and summer."""
        rule = self.rule(opens=time(7), closes=time(19))
        self.assertFalse(self.is_open(rule, datetime(2026, 1, 5, 5, 30, tzinfo=UTC)))
        self.assertTrue(self.is_open(rule, datetime(2026, 7, 6, 5, 30, tzinfo=UTC)))

    def test_over_midnight(self) -> None:
        """A night shift belongs to the day on which it began."""
        rule = self.rule(opens=time(22), closes=time(6), days={"Fri"})
        self.assertTrue(self.is_open(rule, datetime(2026, 3, 6, 23, tzinfo=BERLIN)))
        self.assertTrue(self.is_open(rule, datetime(2026, 3, 7, 5, tzinfo=BERLIN)))
        self.assertFalse(self.is_open(rule, datetime(2026, 3, 6, 5, tzinfo=BERLIN)))
        self.assertFalse(self.is_open(rule, datetime(2026, 3, 7, 23, tzinfo=BERLIN)))

    def test_who_is_excepted(self) -> None:
        """Members of a listed group get in; nobody at a passthrough application can be one."""
        night = datetime(2026, 3, 2, 3, tzinfo=BERLIN)
        self.assertTrue(self.is_open(self.rule(), night, ON_CALL))
        self.assertFalse(self.is_open(self.rule(), night, ADA))
        self.assertFalse(self.is_open(self.rule(), night, None))

    def test_which_applications(self) -> None:
        """Only the listed applications keep office hours."""
        night = datetime(2026, 3, 2, 3, tzinfo=BERLIN)
        self.assertTrue(self.is_open(self.rule(applications={"payroll"}), night))
        self.assertFalse(self.is_open(self.rule(applications={"wiki"}), night))

    def test_refusal(self) -> None:
        """The page says when to come again."""
        refusal = self.rule().refuse("wiki", WIKI, ADA, datetime(2026, 3, 2, 3, tzinfo=BERLIN))
        assert refusal is not None
        self.assertEqual((refusal.error, refusal.reason, refusal.status), (Error.Forbidden, "rule", 403))
        self.assertEqual(refusal.detail, "Wiki is open Mon Tue Wed Thu Fri, 07:00 to 19:00 (Europe/Berlin).")

    def test_misspelt_day(self) -> None:
        """A day that does not exist would close the office for good: it is an error at start."""
        self.assertRaises(ValueError, self.rule, days={"Monday"})
