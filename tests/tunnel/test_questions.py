"""L{appproxy.tunnel.questions}: the user in the head of a question."""

from __future__ import annotations

from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.block import blocks_of
from appproxy.httpwire.field import field
from appproxy.httpwire.wire_heads import pack_request, unpack_request
from appproxy.model.principal import Principal
from appproxy.tunnel.questions import MAXIMUM_PRINCIPAL, PRINCIPAL, principal_header, principal_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ADA = Principal("https://idp.example", "", "", "ada@example.com")


def named(*values: bytes) -> Principal:
    """The user whom headers with these values name."""
    return principal_of(blocks_of([field(PRINCIPAL, value) for value in values]))


class PrincipalHeaderTests(SynchronousTestCase):
    """From an edge to a connector."""

    @given(st.builds(Principal, TEXT, TEXT, TEXT, TEXT, on_premises_sid=TEXT))
    def test_arrives(self, principal: Principal) -> None:
        """Whatever a user is called, the connector reads the same user."""
        head = pack_request(b"EXPLAIN", b"/", blocks_of([principal_header(principal)]))
        self.assertEqual(principal_of(unpack_request(head)[2]), principal)

    @given(st.binary(max_size=200))
    def test_anything(self, value: bytes) -> None:
        """What is no user's header is refused, and nothing worse."""
        self.assertRaises(ValueError, named, b64encode(value))
        self.assertRaises(ValueError, named, value.hex().encode())

    def test_refused(self) -> None:
        """No user, two users, another spelling of one, and nesting without end are refused."""
        self.assertRaises(ValueError, named)
        good = b64encode(ADA.encoded)
        self.assertEqual(named(good), ADA)
        self.assertRaises(ValueError, named, good, good)
        self.assertRaises(ValueError, named, b64encode(ADA.encoded.replace(b":", b": ")))
        self.assertRaises(ValueError, named, b64encode(b"[" * 12_000))

    def test_too_long(self) -> None:
        """More than fits is refused on both sides."""
        long = Principal("", "", "", "a" * MAXIMUM_PRINCIPAL)
        self.assertRaises(ValueError, principal_header, long)
        self.assertRaises(ValueError, named, b64encode(long.encoded))
