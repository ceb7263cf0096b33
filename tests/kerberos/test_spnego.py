"""Tests of L{appproxy.kerberos.spnego}."""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import binary, sampled_from
from twisted.trial.unittest import SynchronousTestCase

from appproxy.kerberos.spnego import (
    MAXIMUM_TOKEN_BYTES,
    SpnegoError,
    State,
    is_response,
    read_response,
    wrap,
)

KRB5 = bytes.fromhex("06092a864886f712010202")
NTLM = bytes.fromhex("060a2b06010401823702020a")


def value(tag: int, body: bytes) -> bytes:
    """A DER value."""
    if len(body) < 128:
        return bytes((tag, len(body))) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 128 | len(size))) + size + body


def response(*fields: bytes) -> bytes:
    """A NegTokenResp of these fields."""
    return value(0xA1, value(0x30, b"".join(fields)))


def state(number: int) -> bytes:
    """The field C{negState}."""
    return value(0xA0, bytes((0x0A, 1, number)))


def token(content: bytes) -> bytes:
    """The field C{responseToken}."""
    return value(0xA2, value(0x04, content))


def told(reply: bytes) -> tuple[State | None, bool, bytes, bytes]:
    """All that an answer says."""
    read = read_response(reply)
    return read.state, read.is_kerberos, read.token, read.mic


class WrapTests(SynchronousTestCase):
    """L{wrap}."""

    def test_known_bytes(self) -> None:
        """A NegTokenInit that offers krb5 alone, byte for byte as RFC 4178 says."""
        expected = "6025 06062b0601050502 a01b 3019 a00d 300b 06092a864886f712010202 a208 0406 746f6b656e21"
        self.assertEqual(wrap(b"token!").hex(), expected.replace(" ", ""))


class ReadTests(SynchronousTestCase):
    """L{read_response}."""

    def test_windows(self) -> None:
        """State, mechanism and token, as Windows and mod_auth_gssapi send them."""
        reply = response(state(0), value(0xA1, KRB5), token(b"AP-REP"))
        self.assertTrue(is_response(reply))
        self.assertEqual(told(reply), (State.accept_completed, True, b"AP-REP", b""))

    def test_signed(self) -> None:
        """The signature over the mechanisms is handed out."""
        reply = response(token(b"AP-REP"), value(0xA3, value(0x04, b"MIC")))
        self.assertEqual(told(reply), (None, True, b"AP-REP", b"MIC"))

    def test_other_mechanism(self) -> None:
        """A mechanism that was not offered is seen; Windows' own number of Kerberos is Kerberos."""
        self.assertFalse(read_response(response(state(1), value(0xA1, NTLM))).is_kerberos)
        microsoft = bytes.fromhex("06092a864882f712010202")
        self.assertTrue(read_response(response(state(1), value(0xA1, microsoft))).is_kerberos)

    def test_rejected(self) -> None:
        """A refusal without a token."""
        self.assertIs(read_response(response(state(2))).state, State.reject)

    def test_refused(self) -> None:
        """What DER or RFC 4178 does not allow."""
        long_form = bytes((0xA1, 0x81, 7, 0x30, 5)) + state(0)
        for reply in (
            b"",
            b"\xa1",
            response(state(4)),
            response(state(0), state(0)),
            response(token(b"x"), state(0)),
            response(value(0xA4, b"")),
            response(value(0xA0, b"")),
            response(value(0xA2, b"\x05\x00")),
            response(value(0xA0, bytes((0x0A, 2, 0, 0)))),
            response(value(0xA1, KRB5 + b"\x00")),
            response(state(0)) + b"\x00",
            response(state(0))[:-1],
            value(0x60, b""),
            long_form,
            b"\xa1\x80\x00\x00",
            b"\xa1\x84\xff\xff\xff\xff" + bytes(100),
        ):
            with self.assertRaises(SpnegoError, msg=reply.hex()):
                read_response(reply)

    def test_bounded(self) -> None:
        """A token beyond the bound is not looked at."""
        with self.assertRaisesRegex(SpnegoError, "over 65536 bytes"):
            read_response(response(token(bytes(MAXIMUM_TOKEN_BYTES))))

    @given(binary(max_size=200))
    def test_any_bytes(self, data: bytes) -> None:
        """Any bytes are read or refused, never anything else."""
        for reply in (data, response(data), response(state(0), data)):
            try:
                read_response(reply)
            except SpnegoError:
                pass

    @given(binary(max_size=70_000), sampled_from(State), binary(max_size=300))
    def test_round_trip(self, content: bytes, chosen: State, mic: bytes) -> None:
        """What was written is read, of any size up to the bound, and no byte of it may be missing."""
        reply = response(state(chosen.value), token(content), value(0xA3, value(4, mic)))
        if len(reply) > MAXIMUM_TOKEN_BYTES:
            self.assertRaises(SpnegoError, read_response, reply)
            return
        self.assertEqual(told(reply), (chosen, True, content, mic))
        self.assertRaises(SpnegoError, read_response, reply[:-1])
