"""
Tests of L{appproxy.tunnel.frames}.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.tunnel import frames
from appproxy.tunnel.errors import TunnelError
from appproxy.tunnel.frames import BLOCKED, DATA, FIN, SPLIT_ABOVE, Decoder, encode, limit_of
from tests.tunnel.support import Frame, read

KINDS = st.sampled_from([*frames.KINDS, 0x50, 0x90, 0xFF])


@st.composite
def any_frame(draw: st.DrawFn) -> Frame:
    """A frame of any kind, sometimes of its largest size."""
    kind = draw(KINDS)
    largest = limit_of(kind)
    size = draw(st.one_of(st.integers(0, min(40, largest)), st.just(largest)))
    return (
        kind,
        draw(st.integers(0, 3)),
        draw(st.integers(0, 2**32 - 1)),
        bytes([draw(st.integers(0, 255))]) * size,
    )


def joined(events: list[Frame]) -> list[Frame]:
    """The events with the parts of large DATA frames put together again."""
    whole: list[Frame] = []
    for kind, flags, number, payload in events:
        last = whole[-1] if whole else None
        if last and kind == DATA == last[0] and number == last[2] and not last[1]:
            whole[-1] = (kind, flags, number, last[3] + payload)
        else:
            whole.append((kind, flags, number, payload))
    return whole


class DecoderTests(SynchronousTestCase):
    """Bytes to frames."""

    @settings(max_examples=150, deadline=None)
    @given(st.lists(any_frame(), max_size=6), st.data())
    def test_any_split(self, sent: list[Frame], data: st.DataObject) -> None:
        """Any split of the bytes gives the same frames, large DATA joined again."""
        wire = b"".join(encode(kind, number, payload, flags) for kind, flags, number, payload in sent)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=12)))
        decoder = Decoder()
        got: list[Frame] = []
        for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
            got += read(decoder, wire[start:end])
        self.assertEqual(joined(got), joined(sent))
        self.assertEqual(decoder.held, 0)

    def test_byte_by_byte(self) -> None:
        """Single bytes add up to frames, small DATA in one piece."""
        wire = encode(DATA, 1, b"x" * SPLIT_ABOVE, FIN) + encode(frames.END, 2)
        decoder = Decoder()
        got = [frame for index in range(len(wire)) for frame in read(decoder, wire[index : index + 1])]
        self.assertEqual(got, [(DATA, FIN, 1, b"x" * SPLIT_ABOVE), (frames.END, 0, 2, b"")])

    def test_large_data_is_handed_on_at_once(self) -> None:
        """What is there of a large DATA frame is not held back; flags come with its last part."""
        wire = encode(DATA, 9, b"a" * 50_000, FIN | BLOCKED)
        decoder = Decoder()
        self.assertEqual(read(decoder, wire[:1010]), [(DATA, 0, 9, b"a" * 1000)])
        self.assertEqual(decoder.held, 0)
        self.assertEqual(read(decoder, wire[1010:-1]), [(DATA, 0, 9, b"a" * 48_999)])
        self.assertEqual(read(decoder, wire[-1:] + b"\x14"), [(DATA, FIN | BLOCKED, 9, b"a")])
        self.assertEqual(decoder.held, 1)

    def test_too_long(self) -> None:
        """A length above the kind's limit is refused from the header alone, after the frames before it."""
        for kind in [*frames.KINDS, 0x7F, 0xFF]:
            decoder = Decoder()
            wire = encode(frames.PING, 0, b"ok") + frames.pack_header(kind, 0, 1, limit_of(kind) + 1)
            decoder.feed(wire)
            self.assertTrue(decoder.next())
            self.assertEqual((decoder.kind, decoder.payload), (frames.PING, b"ok"))
            error = self.assertRaises(TunnelError, decoder.next)
            self.assertEqual(error.code, "frame_size")

    def test_holds_little(self) -> None:
        """What waits for its rest never exceeds the largest frame that is not DATA."""
        decoder = Decoder()
        wire = encode(frames.OPEN, 1, b"h" * limit_of(frames.OPEN))
        most = 0
        for start in range(0, len(wire) - 1, 1000):
            self.assertEqual(read(decoder, wire[start : min(start + 1000, len(wire) - 1)]), [])
            most = max(most, decoder.held)
        self.assertEqual(most, len(wire) - 1)
        self.assertEqual(len(read(decoder, wire[-1:])), 1)
        self.assertEqual(decoder.held, 0)

    def test_encode_refuses(self) -> None:
        """We never send what the peer would refuse."""
        self.assertRaises(ValueError, encode, frames.PING, 0, b"x" * 65)
