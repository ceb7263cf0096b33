"""Tests of L{appproxy.session.cookies}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.session.cookies import SESSION_COOKIE, SIGN_IN_COOKIE, clear_cookie, set_cookie


class CookieTests(SynchronousTestCase):
    """Setting our cookies."""

    def test_set(self) -> None:
        """What C{__Host-} demands is always there."""
        self.assertEqual(
            set_cookie(SESSION_COOKIE, b"abc"),
            b"__Host-appproxy-session=abc; Path=/; Secure; HttpOnly; SameSite=Lax",
        )
        self.assertEqual(
            set_cookie(SIGN_IN_COOKIE, b"x", max_age=60.9, same_site="strict", http_only=False),
            b"__Host-appproxy-sign-in=x; Path=/; Secure; SameSite=Strict; Max-Age=60",
        )
        self.assertIn(b"Max-Age=0", clear_cookie(SESSION_COOKIE))
