"""L{appproxy.model.application}."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from twisted.trial.unittest import SynchronousTestCase

from appproxy.model.application import Application, Backend, backend_view
from appproxy.model.schema import Model

WIKI: dict[str, Any] = {
    "name": "Wiki",
    "external_url": "https://wiki.example.com/",
    "internal_url": "http://wiki.corp.example/",
    "connector_group": "hq",
}


class ApplicationTests(SynchronousTestCase):
    """L{Application}."""

    def place(self, **changes: Any) -> str:
        """Which key is wrong."""
        error = self.assertRaises(ValidationError, Application.model_validate, {**WIKI, **changes})
        return ".".join(str(each) for each in error.errors()[0]["loc"])

    def test_switches(self) -> None:
        """A switch is true or false: a text or a number that looks like one could mean its opposite."""
        switches = [
            name for name, field in Application.model_fields.items() if "bool" in str(field.annotation)
        ]
        self.assertIn("verify_backend_certificate", switches)
        for name in switches:
            for value in ("false", "true", 0, 1):
                self.assertEqual(self.place(**{name: value}), name)
            Application.model_validate({**WIKI, name: True})
        for name in ("http_only", "persistent"):
            self.assertEqual(self.place(cookie={name: "false"}), f"cookie.{name}")

    def test_one_header_in_two_spellings(self) -> None:
        """Two headers that are one to an application are refused."""
        for other in ("x-remote-user", "X_Remote_User", "X.Remote-User"):
            headers = {"X-Remote-User": {"claim": "subject"}, other: {"claim": "mail"}}
            self.assertEqual(self.place(sso={"mode": "headers", "headers": headers}), "sso.headers")

    def test_separator(self) -> None:
        """Groups without anything between them could be read as others."""
        headers = {"X-Groups": {"claim": "groups", "join": ""}}
        self.assertIn("join", self.place(sso={"mode": "headers", "headers": headers}))

    def test_backend_view(self) -> None:
        """What a connector is told is part of the application, and strict as well."""
        view = backend_view("wiki", Application.model_validate(WIKI))
        self.assertEqual((view.id, view.internal_url.host), ("wiki", "wiki.corp.example"))
        plain = view.model_dump(mode="json")
        for name in ("translate_host_header", "verify_backend_certificate"):
            self.assertRaises(ValidationError, Backend.model_validate, {**plain, name: "false"})

    def test_models_are_frozen(self) -> None:
        """Nothing changes what was checked."""
        application: Model = Application.model_validate(WIKI)
        self.assertRaises(ValidationError, setattr, application, "everyone", True)
