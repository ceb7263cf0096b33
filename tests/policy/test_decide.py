"""Tests of L{appproxy.policy.decide}."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from appproxy.iappproxy import IAccessRule
from appproxy.model.application import Application
from appproxy.model.principal import Principal
from appproxy.model.refusal import Error, Refusal
from appproxy.policy import decide as module
from appproxy.policy.decide import canonical_name, decide

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ADA = Principal("issuer", "ada", "s" * 32, "ada@example.com", groups=frozenset({"HR", "raw-id"}))
NAMES = {"HR": "7d2a", "Staff": "99ff"}


def application(**settings: Any) -> Application:
    """An application with what matters here."""
    return Application.model_validate(
        {
            "name": "Wiki",
            "external_url": "https://wiki.example.com/",
            "internal_url": "http://wiki.corp.example/",
            "connector_group": "hq",
            **settings,
        }
    )


@implementer(IAccessRule)
class Rule:
    """A rule with a fixed answer, which may be an exception."""

    name = "test"

    def __init__(self, answer: object = None) -> None:
        self.answer = answer
        self.asked: list[tuple[object, ...]] = []

    def refuse(self, *question: object) -> Refusal | None:
        """Answer."""
        self.asked.append(question)
        if isinstance(self.answer, Exception):
            raise self.answer
        return cast("Refusal | None", self.answer)


def ask(app: Application, principal: Principal | None = ADA, rules: Sequence[Rule] = ()) -> Refusal | None:
    """Decide at noon."""
    return decide("wiki", app, principal, lambda: NOON, NAMES, cast("Sequence[IAccessRule]", rules))


class AssignmentTests(SynchronousTestCase):
    """Who is assigned."""

    def test_nobody(self) -> None:
        """An application that names nobody is for nobody."""
        self.assertEqual(ask(application()), Refusal(Error.Forbidden, "not_assigned"))

    def test_user(self) -> None:
        """A user is assigned by principal name, whatever its case in the catalog."""
        self.assertIsNone(ask(application(users=["Ada@EXAMPLE.com"])))
        self.assertIsNotNone(ask(application(users=["grace@example.com", "ada@example.com.evil.test"])))

    def test_nameless_user(self) -> None:
        """A user without a principal name is never taken for an empty entry."""
        nameless = replace(ADA, user_principal_name="", groups=frozenset())
        self.assertIsNotNone(ask(application(users=["ada@example.com"]), nameless))

    def test_group(self) -> None:
        """A group counts by its readable name, or by what the provider sends."""
        for group in ("HR", "7d2a", "raw-id"):
            self.assertIsNone(ask(application(groups=[group])), group)
        for group in ("Staff", "99ff", "hr", "other"):
            self.assertIsNotNone(ask(application(groups=[group])), group)

    def test_everyone(self) -> None:
        """Everyone who is signed in, but nobody who is not."""
        stranger = Principal("issuer", "x", "s" * 32)
        self.assertIsNone(ask(application(everyone=True), stranger))
        refusal = ask(application(everyone=True), None)
        self.assertEqual(refusal, Refusal(Error.SignInRequired, "no_session"))

    def test_passthrough(self) -> None:
        """A passthrough application asks nobody's name."""
        self.assertIsNone(ask(application(pre_authentication="passthrough"), None))

    def test_new_snapshot(self) -> None:
        """A changed assignment, or changed group names, count at once."""
        before, after = application(users=["ada@example.com"]), application(users=["grace@example.com"])
        self.assertIsNone(ask(before))
        self.assertIsNotNone(ask(after))
        group = application(groups=["raw-id"])
        self.assertIsNone(ask(group))
        self.assertIsNotNone(decide("wiki", group, ADA, lambda: NOON, {"Named": "raw-id"}))

    def test_prepared_are_bounded(self) -> None:
        """However many applications there are, the prepared ones stay bounded."""
        wiki = application(users=["ada@example.com"])
        for _ in range(module._KEPT_ASSIGNMENTS + 20):
            self.assertIsNone(ask(wiki.model_copy()))
            self.assertLessEqual(len(module._prepared), module._KEPT_ASSIGNMENTS)

    def test_canonical_name(self) -> None:
        """One form of a name: NFC, lower case."""
        self.assertEqual(canonical_name(" Zoe\u0308@Example.COM"), "zo\xeb@example.com")


class RuleTests(SynchronousTestCase):
    """Access rules of plugins."""

    open_to_all = application(everyone=True)

    def test_asked_in_order(self) -> None:
        """The first refusal counts; later rules are not asked."""
        first, second, third = Rule(), Rule(Refusal(Error.Forbidden, "rule", detail="closed")), Rule()
        self.assertEqual(ask(self.open_to_all, ADA, [first, second, third]), second.answer)
        self.assertEqual(first.asked, [("wiki", self.open_to_all, ADA, NOON)])
        self.assertEqual(third.asked, [])

    def test_not_asked_for_strangers(self) -> None:
        """A rule cannot let in somebody who is not assigned."""
        rule = Rule()
        self.assertIsNotNone(ask(application(), ADA, [rule]))
        self.assertEqual(rule.asked, [])

    def test_passthrough(self) -> None:
        """Rules hold for passthrough too, without a user."""
        rule = Rule(Refusal(Error.Forbidden, "rule"))
        app = application(pre_authentication="passthrough")
        self.assertEqual(ask(app, None, [rule]), rule.answer)
        self.assertEqual(rule.asked, [("wiki", app, None, NOON)])

    def test_raising_refuses(self) -> None:
        """A rule that fails refuses, and the log says why."""
        refusal = ask(self.open_to_all, ADA, [Rule(RuntimeError("boom"))])
        self.assertEqual((refusal and refusal.error, refusal and refusal.reason), (Error.Forbidden, "rule"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_nonsense_refuses(self) -> None:
        """An answer that is neither yes nor no is no."""
        for nonsense in (True, False, 0, "", "ok", object()):
            self.assertIsNotNone(ask(self.open_to_all, ADA, [Rule(nonsense)]), nonsense)
