"""Tests of L{appproxy.session.cookies}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.session.cookies import SESSION_COOKIE, SIGN_IN_COOKIE, clear_cookie, find_cookie, set_cookie


class CookieTests(SynchronousTestCase):
    """Finding and setting our cookies."""

    def test_found(self) -> None:
        """The value is found among others, in any of several headers."""
        for headers in (
            [b"__Host-appproxy-session=abc"],
            [b"a=b; __Host-appproxy-session=abc; c=d"],
            [b"a=b", b"x=y;__Host-appproxy-session=abc"],
            [b"a=b;\t __Host-appproxy-session=abc \t; c"],
        ):
            self.assertEqual(find_cookie(headers, SESSION_COOKIE), b"abc")

    def test_not_ours(self) -> None:
        """Exactly one name counts: no other case, no prefix, no suffix, no value that looks like it."""
        for header in (
            b"__host-appproxy-session=abc",
            b"x__Host-appproxy-session=abc",
            b"__Host-appproxy-session2=abc",
            b"__Host-appproxy-session.1=abc",
            b"__Host-appproxy-session =abc",
            b"a=__Host-appproxy-session=abc",
            b"__Host-appproxy-sign-in=abc",
            b"",
        ):
            self.assertIsNone(find_cookie([header], SESSION_COOKIE), header)

    def test_twice(self) -> None:
        """Two of a name are none."""
        name = b"__Host-appproxy-session="
        self.assertIsNone(find_cookie([name + b"a; " + name + b"b"], SESSION_COOKIE))
        self.assertIsNone(find_cookie([name + b"a", name + b"a"], SESSION_COOKIE))

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
