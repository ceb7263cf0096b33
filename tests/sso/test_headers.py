"""L{appproxy.sso.headers} and L{appproxy.sso.modes}."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.names import name_of
from appproxy.model.principal import Principal
from appproxy.sso.headers import MAXIMUM_VALUE_BYTES, HeaderMode
from appproxy.sso.modes import NoMode, SignOnError, SignOns
from tests.connector.support import ADA, backend

HEADERS = {
    "X-Remote-User": {"claim": "user_principal_name"},
    "X-Groups": {"claim": "groups", "join": ";"},
    "X-Source": {"value": "appproxy"},
}


def headers(**of: Any) -> HeaderMode:
    """A mode with these headers."""
    described = backend(passthrough=False, sso={"mode": "headers", "headers": of or HEADERS})
    made = SignOns(["headers"]).of(described)
    assert isinstance(made, HeaderMode)
    return made


def user(**claims: Any) -> Principal:
    """Somebody with these claims."""
    return Principal("https://idp.example", "sub", "0" * 32, **claims)


class HeaderTests(SynchronousTestCase):
    """L{HeaderMode}."""

    def test_headers(self) -> None:
        """Claims and constants, groups in a fixed order."""
        ada = user(user_principal_name="ada@example.com", groups=frozenset({"HR", "All staff"}))
        self.assertEqual(
            headers().headers(ada),
            [
                (b"X-Remote-User", b"ada@example.com"),
                (b"X-Groups", b"All staff;HR"),
                (b"X-Source", b"appproxy"),
            ],
        )

    def test_missing(self) -> None:
        """A claim that the user lacks sends no header: nobody is not a user with an empty name."""
        self.assertEqual(headers().headers(user()), [(b"X-Source", b"appproxy")])

    def test_nobody(self) -> None:
        """Without a user there is no sign-on."""
        self.assertRaises(SignOnError, headers().headers, None)

    def test_control_characters(self) -> None:
        """A value that would be more than a value stops the request; what it was is not told."""
        for evil in ("a\r\nX-Admin: 1", "a\nb", "a\rb", "a\0b", "\t", "a\x7f", "a\x1bb"):
            error = self.assertRaises(SignOnError, headers().headers, user(user_principal_name=evil))
            self.assertNotIn(evil, str(error))
            self.assertIn("X-Remote-User", str(error))

    def test_outer_blanks(self) -> None:
        """Servers cut blanks off: whose name begins with one would be somebody else there."""
        for evil in (" admin", "admin ", " "):
            self.assertRaises(SignOnError, headers().headers, user(user_principal_name=evil))
            self.assertRaises(SignOnError, headers().headers, user(groups=frozenset({"HR", evil})))

    def test_separator(self) -> None:
        """A group's name cannot make two groups of one."""
        self.assertRaises(SignOnError, headers().headers, user(groups=frozenset({"a;admins"})))
        self.assertRaises(SignOnError, headers().headers, user(groups=frozenset({"x", ";"})))
        self.assertEqual(headers().headers(user(groups=frozenset({"a,b"})))[0], (b"X-Groups", b"a,b"))

    def test_long_separator(self) -> None:
        """Nor can two names together that each have a part of a longer separator."""
        mode = headers(**{"X-Groups": {"claim": "groups", "join": "||"}})
        self.assertEqual(mode.headers(user(groups=frozenset({"a", "b"}))), [(b"X-Groups", b"a||b")])
        for evil in ({"a|", "b"}, {"a||b"}):
            self.assertRaises(SignOnError, mode.headers, user(groups=frozenset(evil)))

    def test_empty_group(self) -> None:
        """A group without a name is none."""
        self.assertRaises(SignOnError, headers().headers, user(groups=frozenset({"", "HR"})))

    def test_unicode(self) -> None:
        """Other letters go as UTF-8; what is no text at all does not go."""
        made = headers().headers(user(user_principal_name="zoë@example.com"))
        self.assertEqual(made[0].value, "zoë@example.com".encode())
        self.assertRaises(SignOnError, headers().headers, user(user_principal_name="a\ud800"))

    def test_size(self) -> None:
        """A value that no server takes is refused here, with a reason."""
        groups = frozenset(f"group {number:06}" for number in range(2000))
        self.assertRaises(SignOnError, headers().headers, user(groups=groups))
        self.assertGreater(MAXIMUM_VALUE_BYTES, 400 * 40)

    def test_kept(self) -> None:
        """A user's headers are made once, and those of the least recent user go first."""
        kept = headers()
        made = kept.headers(ADA)
        self.assertIs(kept.headers(ADA), made)
        self.patch(__import__("appproxy.sso.headers", fromlist=["x"]), "_KEPT_USERS", 2)
        kept.headers(user(user_principal_name="b"))
        kept.headers(ADA)
        kept.headers(user(user_principal_name="c"))
        self.assertIs(kept.headers(ADA), made)

    def test_kept_few(self) -> None:
        """However many users come: only so many are kept, each with what is theirs."""
        kept = headers()
        users = [user(user_principal_name=f"u{number}") for number in range(5000)]
        for each in users + users[:10]:
            self.assertEqual(kept.headers(each)[0].value, each.user_principal_name.encode())
            self.assertLessEqual(len(kept._made) + len(kept._made_before), 2 * 1024)

    def test_owns(self) -> None:
        """It knows its own from those of others, also of the same length."""
        mode = headers()
        for name in (b"X-Remote-User", b"x_remote.user", b"XREMOTEUSER", b"X-Groups", b"x-source"):
            self.assertTrue(mode.owns(name_of(name)), name)
        for name in (b"X-Remote-Uses", b"X-Remote-Users", b"Groups", b"Y-Groups", b"x" * 300):
            self.assertFalse(mode.owns(name_of(name)), name)
        for size in (31, 32, 40, 63, 64, 200):
            mode = headers(**{"X" * size: {"claim": "subject"}})
            for other in range(1, 300):
                self.assertEqual(mode.owns(name_of(b"x" * other)), other == size)

    def test_owned(self) -> None:
        """The mode owns its headers in every spelling, also those it sends nothing in today."""
        self.assertEqual(headers().owned_headers, {b"xremoteuser", b"xgroups", b"xsource"})

    def test_shared_connections(self) -> None:
        """Headers bind no connection to a user."""
        self.assertFalse(headers().binds_connection)

    @settings(max_examples=150)
    @given(st.text(max_size=20), st.frozensets(st.text(max_size=8), max_size=4))
    def test_always_one_line(self, name: str, groups: frozenset[str]) -> None:
        """Whatever the claims: each header is one line, and reads back as what it was made of."""
        try:
            signed_on = headers().headers(user(user_principal_name=name, groups=groups))
        except SignOnError:
            return
        made = {each.name: each.value for each in signed_on}
        for value in made.values():
            self.assertFalse(set(value) & set(b"\r\n\0"))
        if groups:
            self.assertEqual(frozenset(made[b"X-Groups"].decode().split(";")), groups)
        if name:
            self.assertEqual(made[b"X-Remote-User"].decode(), name)


class ModeTests(SynchronousTestCase):
    """L{mode}."""

    def test_none(self) -> None:
        """Without sign-on nothing is added, and nothing is owned."""
        none = SignOns(["none"]).of(backend())
        self.assertIsInstance(none, NoMode)
        self.assertEqual((none.headers(ADA), none.headers(None)), ([], []))
        self.assertEqual((none.owned_headers, none.binds_connection), (frozenset(), False))
        self.assertFalse(none.owns(name_of(b"X-Remote-User")))
