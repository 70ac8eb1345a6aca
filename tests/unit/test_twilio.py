"""Twilio's protocol without a socket: signatures, tokens, call audio, marks."""

import math
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from app.domain.audio import SAMPLE_RATE
from app.domain.errors import ClientError
from app.media.g711 import encode_g711
from app.web.twilio import messages
from app.web.twilio.call_audio import FRAME, MAX_GAP_S, CallInput, ReplyOutput
from app.web.twilio.call_tokens import LIFETIME_S, CallTokens
from app.web.twilio.playback import MARK_EVERY, Playback
from app.web.twilio.signature import is_signed, signature

URL = "https://voice.example.org/twilio/voice"
texts = st.text(string.ascii_letters + string.digits + "+= &ü", max_size=8)


@given(st.dictionaries(texts, texts, max_size=5), texts)
def test_signature_is_the_one_of_twilios_own_library(fields, token):
    assert signature(token, URL, list(fields.items())) == RequestValidator(token).compute_signature(URL, fields)


@pytest.mark.parametrize(
    ("configured", "signed"),
    [
        (URL, URL),
        (URL, URL.replace(".org", ".org:443")),
        (URL.replace(".org", ".org:443"), URL),
        (URL.replace(".org", ".org:8443"), URL.replace(".org", ".org:8443")),
        ("wss://voice.example.org/twilio/stream", "wss://voice.example.org:443/twilio/stream"),
    ],
)
def test_a_default_port_may_be_written_or_not(configured, signed):
    assert is_signed("token", configured, (), RequestValidator("token").compute_signature(signed, {}))


@pytest.mark.parametrize(
    "presented", ["", "x", "é", RequestValidator("other").compute_signature(URL, {"CallSid": "CA1"})]
)
def test_a_foreign_signature_is_none(presented):
    assert not is_signed("token", URL, [("CallSid", "CA1")], presented)
    assert not is_signed("token", f"{URL}?x=1", [("CallSid", "CA1")], signature("token", URL, [("CallSid", "CA1")]))


def test_a_token_works_once_for_its_own_call_in_its_time():
    now = 1000.0
    tokens = CallTokens("secret", lambda: now)
    token, late = tokens.issue("CA1"), tokens.issue("CA2")

    assert not tokens.accept("CA9", token)
    assert tokens.accept("CA1", token)
    assert not tokens.accept("CA1", token)
    now += LIFETIME_S + 1
    assert not tokens.accept("CA2", late)
    assert not tokens.accept("CA1", token)
    assert not CallTokens("another", lambda: 1000.0).accept("CA1", token)


@given(st.text(max_size=60))
def test_no_other_text_is_a_token(text):
    assert not CallTokens("secret").accept("CA1", text)


def test_lost_audio_is_silence_of_the_same_length():
    call = CallInput()
    chunks = [*call.push(b"\x00" * FRAME, "0"), *call.push(b"\x00" * FRAME, "500"), *call.flush()]

    pcm = np.concatenate([np.frombuffer(chunk.pcm, "<i2") for chunk in chunks])
    assert chunks[0].start == 0
    assert len(pcm) == (0.5 + 0.02) * SAMPLE_RATE
    assert np.abs(pcm[SAMPLE_RATE // 10 : SAMPLE_RATE * 4 // 10]).max() < 64
    assert np.abs(pcm[:160]).max() > 20_000


@pytest.mark.parametrize("timestamp", ["", "x", "-5", "٣", "99999999999999999999"])
def test_a_timestamp_that_makes_no_sense_adds_ten_seconds_of_silence_at_most(timestamp):
    call = CallInput()
    samples = sum(chunk.samples for chunk in [*call.push(b"\x00" * FRAME, timestamp), *call.flush()])

    assert samples <= (MAX_GAP_S + 0.02) * SAMPLE_RATE + 2


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=12))
def test_a_reply_leaves_in_whole_frames_and_loses_nothing(lengths):
    output, total = ReplyOutput(), sum(lengths)
    tone = (8000 * np.sin(np.arange(total) * 2 * math.pi * 440 / SAMPLE_RATE)).astype("<i2").tobytes()
    pieces, at = [], 0
    for length in lengths:
        pieces.append(output.push(tone[2 * at : 2 * (at + length)]))
        at += length
    pieces.append(output.flush())

    assert all(len(piece) % FRAME == 0 for piece in pieces)
    assert 0 <= sum(map(len, pieces)) - total // 2 <= FRAME + 1


def test_marks_tell_what_was_played_and_those_of_a_dropped_reply_tell_nothing():
    playback = Playback()

    assert playback.sent(1, MARK_EVERY - 1) is None
    first, last = playback.sent(1, 1), playback.ended(1)
    assert playback.returned(first) == (1, MARK_EVERY)
    assert playback.returned(first) is None
    assert playback.returned(last) is None or last == first
    second = playback.sent(2, MARK_EVERY)
    playback.drop()
    assert playback.returned(second) is None
    assert playback.ended(3) is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"event": "hello"}', '{"event": "media"}', '{"event": "media", "media": {"payload": 5}}', "\x00"],
)
def test_what_is_no_message_is_a_client_error(text):
    with pytest.raises(ClientError):
        messages.decode(text)


def test_a_payload_that_is_no_base64_is_a_client_error():
    event = messages.decode('{"event": "media", "media": {"payload": "a*b"}}')

    with pytest.raises(ClientError):
        messages.payload(event.media)
    assert messages.payload(messages.Audio("//8=")) == b"\xff\xff" == encode_g711(bytes(4), "ulaw")
