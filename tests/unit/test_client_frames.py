"""Whatever bytes a client sends, reading them gives input for the session or a ClientError."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import ClientError
from app.web.parley.messages import Order, decode, order
from app.web.parley.packets import pack, unpack

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
ORDERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["configure", "end", "cancel", "say", "sing", "", 3, None])},
    optional=dict.fromkeys(
        ["language", "reply", "speak", "place", "archive", "deadlineMs", "person", "turns", "silenceMs", "text", "x"],
        JSON,
    ),
)
RATES = JSON | st.sampled_from([8000, 48000, 96001, 0])
METADATA = st.fixed_dictionaries({}, optional={"sampleRate": RATES, "x": JSON})
NESTED = "[" * 1000 + "]" * 1000


def read_control(text: str) -> Order:
    """The order in a text frame. Raises ClientError."""
    return order(decode(text))


def client_error_or_none(read, frame) -> ClientError | None:
    try:
        read(frame)
    except ClientError as error:
        return error
    return None


@given(st.text() | st.characters(categories=["Cs"]) | JSON.map(json.dumps) | ORDERS.map(json.dumps))
def test_any_text_frame_is_an_order_or_a_client_error(text):
    client_error_or_none(lambda raw: order(decode(raw)), text)


@given(st.binary() | st.binary().map(lambda raw: pack(raw, b"\1\0")))
def test_any_binary_frame_is_a_packet_or_a_client_error(frame):
    client_error_or_none(unpack, frame)


@given(METADATA | JSON, st.binary())
def test_a_packet_with_any_json_as_metadata_is_read_or_a_client_error(metadata, pcm):
    client_error_or_none(unpack, pack(json.dumps(metadata).encode(), pcm))


@pytest.mark.parametrize(
    "text",
    [
        NESTED,
        f'{{"type":"configure","language":{NESTED}}}',
        f'{{"x":{NESTED},"type":"end"}}',
        '{"type":"say","text":"\ud800"}',
        '{"type":"configure","deadlineMs":1e999}',
        f'{{"type":"configure","deadlineMs":{"9" * 5000}}}',
    ],
    ids=["bare", "in a field", "in an unknown field", "a lone surrogate", "infinite", "5000 digits"],
)
def test_hostile_json_in_an_order_is_a_bad_message(text):
    assert client_error_or_none(lambda raw: order(decode(raw)), text).code == "bad_message"


@pytest.mark.parametrize("character", ["\0", "\x07", "\x1b", "\x1f", "\x7f", "\x85"])
def test_say_with_a_control_character_is_a_bad_message(character):
    """No synthesizer can speak it, and databases and subtitles cannot hold every one."""
    text = json.dumps({"type": "say", "text": f"Hello{character}there."})

    error = client_error_or_none(lambda raw: order(decode(raw)), text)

    assert (error.code, str(error)) == ("bad_message", "say needs a text without control characters, such as NUL")


def test_key_terms_of_a_client():
    """A list replaces the one before; none and an empty one empty it; an absent one leaves it."""
    terms = [
        read_control(json.dumps({"type": "configure", **sent})).key_terms
        for sent in ({"keyTerms": ["Siobhan", "rigor mortis", "Siobhan"]}, {"keyTerms": []}, {"keyTerms": None}, {})
    ]

    assert terms == [("Siobhan", "rigor mortis"), (), (), None]
    for wrong in (["a,b"], ["x"] * 201, "Siobhan", [7]):
        text = json.dumps({"type": "configure", "keyTerms": wrong})
        assert client_error_or_none(read_control, text).code == "bad_message"


def test_say_may_have_several_lines():
    text = json.dumps({"type": "say", "text": "Hello.\r\n\tHow are you?"})

    assert order(decode(text)).text == "Hello.\r\n\tHow are you?"


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        (NESTED, "bad_metadata"),
        (f'{{"x":{NESTED},"sampleRate":16000}}', "bad_metadata"),
        ('{"sampleRate":1e999}', "bad_metadata"),
        (f'{{"sampleRate":{"9" * 400}}}', "bad_sample_rate"),
        (f'{{"sampleRate":{"9" * 5000}}}', "bad_metadata"),
        ('{"sampleRate":-16000}', "bad_sample_rate"),
    ],
    ids=["bare", "in an unknown field", "infinite", "400 digits", "5000 digits", "negative"],
)
def test_hostile_json_in_a_packet_is_named(metadata, code):
    assert client_error_or_none(unpack, pack(metadata.encode(), b"\1\0")).code == code
