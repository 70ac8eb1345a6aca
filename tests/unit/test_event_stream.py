"""The emulator's framing agrees with Amazon's own."""

from datetime import UTC, datetime

import pytest
from amazon_transcribe.eventstream import EventStreamBuffer, EventStreamMessageSerializer
from hypothesis import given
from hypothesis import strategies as st

from tests.emulators.event_stream import BadFrame, Frame, Frames
from tests.emulators.sigv4 import Signed

FRAMES = st.builds(
    Frame,
    st.dictionaries(
        st.text("abc:-", min_size=1, max_size=20),
        st.text(max_size=50)
        | st.binary(max_size=50)
        | st.integers(0, 2**31).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
        max_size=4,
    ),
    st.binary(max_size=300),
)


@given(FRAMES)
def test_event_stream_encoder_matches_the_sdk(frame: Frame) -> None:
    """Written by either, read by either."""
    theirs = EventStreamMessageSerializer().serialize(frame.headers, frame.payload)
    buffer = EventStreamBuffer()
    buffer.add_data(frame.encode())

    assert frame.encode() == theirs
    assert next(buffer).payload == frame.payload
    assert list(Frames().feed(theirs)) == [frame]


@given(st.lists(FRAMES, max_size=4), st.integers(1, 40))
def test_event_stream_decoder_accepts_chunks_of_any_size(frames: list[Frame], length: int) -> None:
    """The network knows no frames."""
    data, reader = b"".join(frame.encode() for frame in frames), Frames()

    assert [f for at in range(0, len(data), length) for f in reader.feed(data[at : at + length])] == frames


@pytest.mark.parametrize("at", [0, 9, 14, -1])
def test_event_stream_decoder_detects_a_flipped_bit(at: int) -> None:
    """In the length, its checksum, the body and the body's checksum."""
    data = bytearray(Frame({":a": "b"}, b"payload").encode())
    data[at] ^= 1

    with pytest.raises(BadFrame):
        list(Frames().feed(bytes(data)))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer token",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d, SignedHeaders=host, Signature=" + "00" * 32,
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=00",
    ],
)
def test_malformed_authorization_header_is_refused(header: str) -> None:
    """Present is not enough."""
    with pytest.raises(ValueError):
        Signed.parse(header)
