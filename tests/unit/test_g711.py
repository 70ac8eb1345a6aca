"""G.711 against the values of the standard."""

import numpy as np
import pytest

from app.media.g711 import Law, decode_g711, encode_g711

LAWS: list[Law] = ["ulaw", "alaw"]


@pytest.mark.parametrize(
    ("law", "code", "sample"),
    [
        ("ulaw", 0xFF, 0),
        ("ulaw", 0x7F, 0),
        ("ulaw", 0x80, 32124),
        ("ulaw", 0x00, -32124),
        ("ulaw", 0xEF, 132),
        ("alaw", 0xD5, 8),
        ("alaw", 0x55, -8),
        ("alaw", 0xAA, 32256),
        ("alaw", 0x2A, -32256),
        ("alaw", 0xC5, 264),
    ],
)
def test_codes_have_the_values_of_the_standard(law, code, sample):
    """Zero, the extremes, and the first step of the second segment."""
    assert np.frombuffer(decode_g711(bytes([code]), law), "<i2").tolist() == [sample]


@pytest.mark.parametrize("law", LAWS)
def test_every_code_is_encoded_as_itself(law):
    """But for the negative zero of mu-law, which is the same sample as the positive one."""
    codes = bytes(range(256))

    again = encode_g711(decode_g711(codes, law), law)

    assert decode_g711(again, law) == decode_g711(codes, law)
    assert sum(a != b for a, b in zip(again, codes, strict=True)) == (1 if law == "ulaw" else 0)


@pytest.mark.parametrize("law", LAWS)
def test_the_error_of_a_sample_is_small_beside_the_sample(law):
    """At most half a step: 1/32 of the sample, or the first segment's own step; the extremes are clipped."""
    samples = np.arange(-32768, 32768)

    decoded = np.frombuffer(decode_g711(encode_g711(samples.astype("<i2").tobytes(), law), law), "<i2")

    clipped = np.clip(samples, -32256, 32256)
    assert (np.abs(decoded - clipped) <= np.maximum(16, np.abs(samples) / 32 + 5)).all()


@pytest.mark.parametrize("law", LAWS)
def test_nothing_is_nothing(law):
    """Empty audio is empty on both sides."""
    assert (encode_g711(b"", law), decode_g711(b"", law)) == (b"", b"")
