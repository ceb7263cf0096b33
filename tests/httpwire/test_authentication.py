"""L{appproxy.httpwire.authentication}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.httpwire.authentication import AUTHORIZATION, WWW_AUTHENTICATE, binds_connection
from appproxy.httpwire.block import blocks_of
from appproxy.httpwire.field import field, fields


class BindingTests(SynchronousTestCase):
    """L{binds_connection}."""

    def test_request(self) -> None:
        """NTLM and Negotiate in any case, with or without a token."""
        for value in (b"NTLM TlRMTVNTUAAB", b"negotiate YII", b"Negotiate", b"nTlM"):
            self.assertTrue(
                binds_connection(blocks_of([field(b"Authorization", value)]), AUTHORIZATION), value
            )
            self.assertTrue(
                binds_connection(blocks_of(fields([(b"A", b"b"), (b"AUTHORIZATION", value)])), AUTHORIZATION)
            )

    def test_answer(self) -> None:
        """One among several challenges, in one header or in several."""
        for headers in (
            [(b"WWW-Authenticate", b"Negotiate"), (b"WWW-Authenticate", b"NTLM")],
            [(b"www-authenticate", b'Basic realm="x", NTLM')],
            [(b"WWW-Authenticate", b'Basic realm="x",Negotiate,NTLM')],
            [(b"WWW-Authenticate", b"Basic"), (b"WWW-Authenticate", b"NTLM abc")],
            [(b"WWW-Authenticate", b",\tNegotiate")],
        ):
            self.assertTrue(binds_connection(blocks_of(fields(headers)), WWW_AUTHENTICATE), headers)

    def test_others(self) -> None:
        """Schemes that belong to the request bind nothing, nor does another header."""
        for value in (b"Basic eA==", b"Bearer NTLM", b'Digest username="ntlm"', b"Negotiated x", b""):
            self.assertFalse(
                binds_connection(blocks_of([field(b"Authorization", value)]), AUTHORIZATION), value
            )
        self.assertFalse(binds_connection(blocks_of([field(b"X-Authorization", b"NTLM x")]), AUTHORIZATION))
        self.assertFalse(binds_connection(blocks_of([field(b"WWW-Authenticate", b"NTLM x")]), AUTHORIZATION))
        self.assertFalse(binds_connection(blocks_of([]), AUTHORIZATION))
