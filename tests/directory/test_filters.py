"""Tests of L{appproxy.directory.filters}."""

from __future__ import annotations

import base64
import re
from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st
from ldap3.operation.search import parse_filter
from twisted.trial.unittest import SynchronousTestCase

from appproxy.directory.filters import (
    Identity,
    IdentityKind,
    escape,
    name_filter,
    spn_filter,
    user_filter,
)

NAMED: Final = (IdentityKind.USER_PRINCIPAL_NAME, IdentityKind.SAM_ACCOUNT_NAME)


def unescape(text: str) -> bytes:
    """What RFC 4515 says an assertion's value stands for."""
    return re.sub(rb"\\([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), text.encode())


def leaves(query: str) -> list[tuple[str, bytes]]:
    """Attribute and value of each comparison that the LDAP library finds in a filter."""
    found = []

    def walk(node: object) -> None:
        for each in getattr(node, "elements", ()):
            walk(each)
        assertion = getattr(node, "assertion", None)
        if assertion is not None:
            found.append((assertion["attr"], unescape(bytes(assertion["value"]).decode("latin-1"))))

    walk(parse_filter(query, None, True, True, None, False))
    return found


class EscapeTests(SynchronousTestCase):
    """Whatever a name holds, it is a value and nothing else."""

    @given(st.text())
    @example("*")
    @example(")(objectClass=*")
    @example("\0")
    @example("\\2a")
    @example("a:=b")
    @example("\ud800")
    def test_text(self, text: str) -> None:
        """Text comes out as it went in, with nothing in it that means anything in a filter."""
        escaped = escape(text)
        self.assertEqual(unescape(escaped), text.encode("utf-8", "surrogatepass"))
        self.assertEqual(set(escaped) & set("*()\0=:~<>&|! "), set())

    @given(st.binary())
    def test_bytes(self, raw: bytes) -> None:
        """So do bytes."""
        self.assertEqual(unescape(escape(raw)), raw)

    @given(st.text(min_size=1), st.sampled_from(NAMED))
    @example("*)(sAMAccountName=*", IdentityKind.SAM_ACCOUNT_NAME)
    def test_as_the_library_reads_it(self, name: str, kind: IdentityKind) -> None:
        """The library that sends a filter finds two comparisons in it, the second one with this name."""
        first, second = leaves(user_filter(Identity(kind, name)))
        self.assertEqual(first, ("sAMAccountType", b"805306368"))
        self.assertEqual(second, (kind.value, name.encode("utf-8", "surrogatepass")))

    @given(st.binary(min_size=16, max_size=16))
    def test_immutable_id(self, raw: bytes) -> None:
        """The same bytes are looked for in both attributes."""
        identity = Identity(IdentityKind.IMMUTABLE_ID, base64.b64encode(raw).decode())
        _, guid, consistency = leaves(user_filter(identity))
        self.assertEqual((guid, consistency), (("objectGUID", raw), ("mS-DS-ConsistencyGuid", raw)))


class FilterTests(SynchronousTestCase):
    """Filters by what is known of a user."""

    def test_sid(self) -> None:
        """In bytes."""
        identity = Identity(IdentityKind.SID, "S-1-5-32-544")
        (_, found) = leaves(user_filter(identity))
        self.assertEqual(found, ("objectSid", bytes.fromhex("01020000000000052000000020020000")))

    def test_refused(self) -> None:
        """What cannot be anybody's is not searched for."""
        for kind, value in (
            (IdentityKind.USER_PRINCIPAL_NAME, ""),
            (IdentityKind.SID, "S-1-5-*"),
            (IdentityKind.IMMUTABLE_ID, "*"),
            (IdentityKind.IMMUTABLE_ID, "c2hvcnQ="),
            (IdentityKind.IMMUTABLE_ID, "é"),
        ):
            self.assertRaises(ValueError, user_filter, Identity(kind, value))

    def test_others(self) -> None:
        """Names of groups and services are escaped as well."""
        self.assertEqual(name_filter("a*"), r"(sAMAccountName=a\2a)")
        self.assertEqual(spn_filter("HTTP/a)"), r"(servicePrincipalName=HTTP\2fa\29)")
