"""Tests of L{appproxy.edge.view}."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from appproxy.catalog.snapshot import Catalog
from appproxy.edge.view import ApplicationView, ApplicationViews
from appproxy.model.application import Application, ConnectorGroup
from tests.contract.rig import DOMAIN, application

SSO = {"mode": "headers", "headers": {"Remote-User": {"claim": "user_principal_name"}}}


class ViewTests(SynchronousTestCase):
    """What is worked out once for each application."""

    def setUp(self) -> None:
        self.views = ApplicationViews()
        self.ended: list[str] = []
        self.revision = 0

    def follow(self, applications: Mapping[str, Application]) -> Mapping[str, ApplicationView]:
        """The views of another catalog."""
        self.revision += 1
        catalog = Catalog(self.revision, applications, {"main": ConnectorGroup(name="main")})
        self.views.update(catalog, self.ended.append)
        return self.views.by_id

    def test_values(self) -> None:
        """The values are the application's."""
        view = self.follow(
            {"wiki": application("wiki", backend_timeout="5s", websocket_origins=["https://Ok.Example/"])}
        )["wiki"]
        self.assertEqual((view.backend_timeout_seconds, view.group, view.revision), (5.0, "main", 1))
        self.assertEqual(view.upgrades, {b"websocket"})
        self.assertEqual(view.origins, {b"https://ok.example", f"https://wiki.{DOMAIN}".encode()})
        self.assertFalse(view.passthrough)

    def test_unchanged(self) -> None:
        """What did not change keeps its view, and with it its revision and its memos."""
        before = dict(self.follow({"wiki": application("wiki"), "hr": application("hr")}))
        after = self.follow({"wiki": application("wiki"), "hr": application("hr", users=["a@b.example"])})
        self.assertIs(after["wiki"], before["wiki"])
        self.assertEqual((after["hr"].revision, self.ended), (2, ["hr"]))

    def test_cosmetic(self) -> None:
        """A new name or description ends nobody's streams."""
        self.follow({"wiki": application("wiki")})
        view = self.follow({"wiki": application("wiki", description="New", visible=False)})["wiki"]
        self.assertEqual((view.application.description, self.ended), ("New", []))

    def test_removed(self) -> None:
        """What is gone ends."""
        self.follow({"wiki": application("wiki"), "hr": application("hr")})
        self.follow({"hr": application("hr")})
        self.assertEqual((self.ended, set(self.views.by_id)), (["wiki"], {"hr"}))

    def test_claims_of_the_group(self) -> None:
        """A group's connectors are told what any of its applications needs; that ends no streams."""
        self.follow({"wiki": application("wiki")})
        views = self.follow({"wiki": application("wiki"), "people": application("people", sso=SSO)})
        self.assertEqual({view.claims for view in views.values()}, {frozenset({"user_principal_name"})})
        self.assertEqual(self.ended, [])

    def test_every_setting_counts(self) -> None:
        """Any setting that decides about requests ends streams when it changes."""
        changes = {
            "internal_url": "http://other.internal.example:8080/",
            "users": ["ada@example.com"],
            "sso": SSO,
            "backend_timeout": "5s",
            "upgrades": [],
            "websocket_origins": ["*"],
            "ambiguous_paths": "pass",
            "retry": False,
            "cookie": {"same_site": "strict"},
        }
        for name, value in changes.items():
            self.follow({"wiki": application("wiki")})
            self.ended.clear()
            self.follow({"wiki": application("wiki", **{name: value})})
            self.assertEqual(self.ended, ["wiki"], name)

    def test_identity_headers(self) -> None:
        """What signs users on at one server nobody may send to it, through whatever application."""
        applications = {
            "wiki": application("wiki", sso=SSO),
            "open": application("open", internal_url=str(application("wiki").internal_url) + "open/"),
            "hr": application("hr", internal_url="http://hr.corp.example:8080/"),
        }
        views = dict(self.follow(applications))
        self.assertEqual(views["open"].identity, {b"Remote-User"})
        self.assertEqual(views["hr"].identity, frozenset())
        after = self.follow({**applications, "wiki": application("wiki")})
        self.assertEqual(after["open"].identity, frozenset())
