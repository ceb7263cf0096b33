"""Tests of L{appproxy.sso.kerberos_advice}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.sso.errors import SignOnError
from appproxy.sso.kerberos_advice import remedy_of


class RemedyTests(SynchronousTestCase):
    """L{remedy_of}."""

    def test_guards(self) -> None:
        """What the connector finds before any KDC has a remedy of its own, by name of the user."""
        general = remedy_of(SignOnError("x", "sso_user", "no such cause"), "ada")
        for cause in ("user_sensitive", "user_protected", "user_disabled", "account_expired"):
            remedy = remedy_of(SignOnError("x", "sso_user", cause), "ada")
            self.assertNotEqual(remedy, general, cause)
            self.assertIn("ada", remedy, cause)
