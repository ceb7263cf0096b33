"""Tests of L{appproxy.directory.settings}."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from appproxy.directory.settings import DirectoryClientSettings, ServerAddress

SERVERS = (ServerAddress("dc1", 636, True),)


class AddressTests(SynchronousTestCase):
    """How servers are written."""

    def test_forms(self) -> None:
        """Each scheme has its port; an IPv6 address stands in brackets."""
        for url, address in (
            ("ldaps://dc1.corp.example", ServerAddress("dc1.corp.example", 636, True)),
            ("ldap://dc1.corp.example/", ServerAddress("dc1.corp.example", 389, False)),
            ("ldaps://[::1]:3636", ServerAddress("::1", 3636, True)),
        ):
            self.assertEqual(ServerAddress.parse(url), address)
            self.assertEqual(ServerAddress.parse(str(address)), address)

    def test_refused(self) -> None:
        """Anything else is no server."""
        for url in (
            "dc1",
            "http://dc1",
            "ldaps://",
            "ldaps://a b",
            "ldaps://u@dc1",
            "ldaps://dc1/DC=x",
            "ldaps://a:b",
        ):
            self.assertRaises(ValueError, ServerAddress.parse, url)


class SettingsTests(SynchronousTestCase):
    """What belongs together."""

    def test_incomplete(self) -> None:
        """An empty password would bind as nobody, which many servers accept."""
        for settings in (
            {"bind": "simple", "user": "u"},
            {"bind": "simple", "password": "p"},
            {"bind": "keytab", "principal": "p"},
            {"bind": "keytab", "keytab": Path("k")},
        ):
            self.assertRaises(ValueError, DirectoryClientSettings, SERVERS, "DC=x", **settings)
        self.assertRaises(ValueError, DirectoryClientSettings, (), "DC=x", "simple", "u", "p")
        self.assertRaises(ValueError, DirectoryClientSettings, SERVERS, "", "simple", "u", "p")

    def test_password_hidden(self) -> None:
        """Whoever logs settings does not log the password."""
        settings = DirectoryClientSettings(SERVERS, "DC=x", "simple", "u", "s3cret")
        self.assertNotIn("s3cret", repr(settings))
