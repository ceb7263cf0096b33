"""Tests of L{appproxy.httpwire.cookies}."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.cookies import (
    OUR_PREFIX,
    divide,
    for_host_only,
    own_cookie,
    sets_own_cookie,
)

NAME = b"__Host-appproxy-session"
SECRET = b"S3CRET"
SPELLINGS = (
    b"%b=%b",
    b" %b=%b",
    b"\t%b =%b",
    b'"%b"=%b',
    b'"%b=%b"',
    b"=%b=%b",
    b"$%b=%b",
    b"a=1, %b=%b",
    b"%b-2=%b",
    b"%b.1=%b",
    b'%b="%b"',
)


class OwnCookieTests(SynchronousTestCase):
    """Our cookies in requests."""

    def test_found(self) -> None:
        """Our cookie is found wherever it stands."""
        for cookie in (b"%b=v", b"a=b; %b=v", b"a=b;%b=v;c=d", b"a=b; %b=v ; c=d", b"a=b;\t %b=v \t; c"):
            self.assertEqual(own_cookie(cookie % NAME, NAME), b"v")

    def test_exact_name_only(self) -> None:
        """No other spelling counts."""
        for name in (NAME.lower(), NAME + b"x", NAME + b".1", b"x" + NAME, b'"' + NAME + b'"', NAME + b" "):
            self.assertIsNone(own_cookie(name + b"=v", NAME))
        self.assertIsNone(own_cookie(b"a=" + NAME + b"=v", NAME))
        self.assertIsNone(own_cookie(b"", NAME))

    def test_two_are_none(self) -> None:
        """Of two cookies of our name neither counts."""
        self.assertIsNone(own_cookie(b"%b=v; %b=w" % (NAME, NAME), NAME))

    def test_cut_in_every_spelling(self) -> None:
        """Our cookies are cut from what the application gets: every case, quoting, spacing, chunk."""
        for spelling in SPELLINGS:
            for name in (NAME, NAME.lower(), NAME.upper(), OUR_PREFIX + b"sign-in"):
                cookie = b"a=b;" + spelling % (name, SECRET) + b"; c=d"
                self.assertEqual(divide(cookie)[1], b"a=b; c=d", cookie)

    def test_others_stay_as_they_are(self) -> None:
        """A value without our cookies is not touched."""
        for cookie in (b"a=b", b'a="x;y" ;; =b', b"", b"__Host-other=x"):
            self.assertEqual(divide(cookie)[1], cookie)

    def test_nothing_left(self) -> None:
        """Where all cookies are ours nothing is left."""
        self.assertEqual(divide(b"%b=v; %b-in=w" % (NAME, NAME))[1], b"")

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.sampled_from([NAME, b"=", b";", b" ", b'"', b",", SECRET, b"a", b"$"]), max_size=15))
    def test_our_name_never_passes(self, parts: list[bytes]) -> None:
        """
        However the header is made up, our name is not in what passes, and nothing is added.

        Security row 5.
        """
        cookie = b"".join(parts)
        left = divide(cookie)[1]
        self.assertNotIn(NAME.lower(), left.lower())
        self.assertTrue(all(part in cookie for part in left.split(b";")))

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.sampled_from([NAME, b"=", b";", b" ", b'"', b",", b"v", b"a", b"__host-appproxy"]), max_size=15
        )
    )
    def test_divided(self, parts: list[bytes]) -> None:
        """Ours apart from the rest mean what all of them do, and every part is somewhere."""
        cookie = b"".join(parts)
        ours, others = divide(cookie)
        self.assertEqual(own_cookie(ours, NAME), own_cookie(cookie, NAME))
        self.assertNotIn(b"__host-appproxy", others.lower())
        pieces = [each.strip() for each in cookie.split(b";")]
        mine = [each for each in pieces if b"__host-appproxy" in each.lower()]
        self.assertEqual([each.strip() for each in ours.split(b";") if each.strip()], mine)
        theirs = [each for each in pieces if each and b"__host-appproxy" not in each.lower()]
        self.assertEqual([each.strip() for each in others.split(b";") if each.strip()], theirs)


class SetOwnCookieTests(SynchronousTestCase):
    """Our cookies in responses."""

    def test_planted(self) -> None:
        """Each spelling that a browser could take for our cookie is recognised."""
        for spelling in SPELLINGS:
            self.assertTrue(sets_own_cookie(spelling % (NAME.swapcase(), b"x") + b"; Path=/"))

    def test_others(self) -> None:
        """Applications' own cookies are not ours."""
        self.assertFalse(sets_own_cookie(b"__Host-wiki=x; Path=/; Secure"))


class HostOnlyTests(SynchronousTestCase):
    """Cookies of an application stay with its host."""

    def test_wider_domains_go(self) -> None:
        """A Domain other than the host itself is left out, in every spelling; all else stays."""
        for domain in (
            b"; Domain=apps.example",
            b";DOMAIN = .Apps.Example ",
            b"; domain=%61pps.example",
            b"; \tDomain\t=\tapps.example.",
            b"; Domain=other.example",
            b"; Domain=",
            b"; Domain",
            b"; Domain=wiki.apps.example; domain=apps.example",
        ):
            cookie = for_host_only(b"a=Domain=x" + domain + b"; Path=/; Secure", b"wiki.apps.example")
            self.assertNotIn(b"domain=apps", cookie.lower())
            self.assertIn(cookie.replace(b"; Domain=wiki.apps.example", b""), [b"a=Domain=x; Path=/; Secure"])

    def test_own_domain_stays(self) -> None:
        """The host itself may be named; a value without attributes is not touched."""
        for cookie in (b"a=b; Domain=.Wiki.apps.example; Path=/", b"domain=apps.example", b"a=b"):
            self.assertEqual(for_host_only(cookie, b"wiki.apps.example"), cookie)
