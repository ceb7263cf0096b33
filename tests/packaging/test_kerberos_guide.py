"""docs/kerberos.md says what the code says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

from twisted.trial.unittest import SynchronousTestCase

from appproxy.catalog.documents import Document
from appproxy.catalog.file_form import parse_file
from appproxy.config.connector import load_connector
from appproxy.directory.directory import KEPT_SECONDS, UNKNOWN_KEPT_SECONDS
from appproxy.kerberos.causes import Cause
from appproxy.kerberos.tickets import TicketSettings
from appproxy.model.sign_on import LoginIdentity
from appproxy.sso.kerberos_accounts import NEVER_KEPT_SECONDS
from appproxy.sso.kerberos_advice import ADVICE
from tests.kerberos_causes import DOCUMENT, with_tables


class GuideTests(SynchronousTestCase):
    """The set-up guide of Kerberos sign-on."""

    def setUp(self) -> None:
        self.text = DOCUMENT.read_text("utf-8")

    def blocks(self, language: str) -> list[str]:
        """What stands in fences."""
        return re.findall(rf"^```{language}\n(.*?)^```$", self.text, re.DOTALL | re.MULTILINE)

    def test_tables(self) -> None:
        """The tables of causes are what `python -m tests.kerberos_causes` writes."""
        self.assertEqual(self.text, with_tables(self.text))

    def test_every_cause(self) -> None:
        """Whatever cause the product can name has a row."""
        named = set(re.findall(r"^\| `([a-z_0-9]+)` \|", self.text, re.MULTILINE))
        self.assertEqual({cause.value for cause in Cause} - named, set())
        self.assertEqual(set(ADVICE) - named, set())

    def test_login_identities(self) -> None:
        """Each of them is explained."""
        for each in get_args(LoginIdentity):
            self.assertIn(f"| `{each}` |", self.text)

    def test_times(self) -> None:
        """How long a change takes is how long things are remembered."""
        self.assertEqual((KEPT_SECONDS, NEVER_KEPT_SECONDS, UNKNOWN_KEPT_SECONDS), (300.0, 300.0, 30.0))
        self.assertEqual(TicketSettings().keep_seconds, 600.0)
        for each in ("| 5 minutes: accounts", "| 30 seconds |", "| 10 minutes: a ticket"):
            self.assertIn(each, self.text)

    def test_files(self) -> None:
        """connector.toml and the application are such as the daemons take."""
        connector, application, way_out = self.blocks("toml")
        groups = 'format = 1\n[connector_groups.hq]\nname = "Headquarters"\n'
        document = parse_file(groups + application, "applications.toml")
        assert isinstance(document, Document), document
        path = Path(self.mktemp())
        path.write_text(re.sub(r'"/etc/[^"]+"|"credential:[^"]+"', f'"{__file__}"', connector))
        settings = load_connector(path, {})
        assert not isinstance(settings, list), settings
        written = tomllib.loads(connector)
        self.assertEqual(list(settings.allowed_spns), written["allowed_spns"])
        self.assertIn(written["kerberos"]["principal"].partition("@")[0], self.text)
        path.write_text('allowed_backends = ["wiki:80"]\n' + way_out)
        settings = load_connector(path, {})
        assert not isinstance(settings, list), settings
        self.assertTrue(settings.proxy.negotiate)
