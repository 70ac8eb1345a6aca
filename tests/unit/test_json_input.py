"""JSON of unknown origin: one kind of error."""

import msgspec
import pytest

from app.json_input import decode_json

DECODER = msgspec.json.Decoder()


@pytest.mark.parametrize(
    "data", [b"", b"{", b'"\xff"', b'{"\x80":1}', '"\ud800"', b"[" * 3000, b'{"a":' * 3000, b"1e999"], ids=range(8)
)
def test_what_cannot_be_decoded_is_a_decode_error(data):
    with pytest.raises(msgspec.DecodeError):
        decode_json(data, DECODER)


def test_json_is_decoded():
    assert decode_json(b'{"a":[1,"\xc3\xa4"]}', DECODER) == {"a": [1, "ä"]}
