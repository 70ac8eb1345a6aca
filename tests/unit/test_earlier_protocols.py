"""Protocols of earlier servers without a socket."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.errors import ClientError
from app.domain.transcript import Hypothesis
from app.web.earlier.bare_audio import BareAudio
from app.web.earlier.first_frame import Dialect, dialect_of
from app.web.earlier.whisperlive import END_OF_AUDIO, WhisperLive, pcm_of, read_options, uid_of
from app.web.parley.packets import pack

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("frame", "dialect"),
    [
        ({"text": '{"uid": "a", "task": "transcribe"}'}, Dialect.WHISPERLIVE),
        ({"text": '{"command": "get_parameter"}'}, Dialect.CONTROL),
        ({"text": '{"type": "configure"}'}, Dialect.PACKETS),
        ({"text": "["}, Dialect.PACKETS),
        ({"bytes": pack(b'{"sampleRate": 48000}', b"\1\0" * 256)}, Dialect.PACKETS),
        ({"bytes": pack(b'{"sampleRate": 7}', b"")}, Dialect.BARE_AUDIO),
        ({"bytes": b"\1\0" * 800}, Dialect.BARE_AUDIO),
        ({"bytes": b""}, Dialect.BARE_AUDIO),
        ({}, Dialect.BARE_AUDIO),
    ],
)
def test_a_client_is_known_by_its_first_frame(frame, dialect):
    assert dialect_of(frame) is dialect


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_bare_audio_loses_no_byte_at_the_edges_of_frames(frames):
    protocol = BareAudio()
    chunks = [chunk for frame in frames for chunk in protocol.receive({"bytes": frame})]

    whole = b"".join(frames)
    assert b"".join(chunk.pcm for chunk in chunks) == whole[: len(whole) // 2 * 2]


@given(st.integers(-32767, 32767))
def test_float_samples_are_the_integers_they_were_made_of(sample):
    assert pcm_of((np.array([sample], "<f4") / 32767).astype("<f4").tobytes(), "float32") == np.int16(sample).tobytes()


def test_samples_that_are_no_numbers_or_too_loud_are_bounded():
    data = np.array([np.nan, np.inf, -np.inf, 7, -7], "<f4").tobytes()

    assert np.frombuffer(pcm_of(data, "float32"), "<i2").tolist() == [0, 32767, -32767, 32767, -32767]
    assert np.frombuffer(pcm_of(bytes([0, 128, 255]), "uint8"), "<i2").tolist() == [-32768, 0, 32512]


@pytest.mark.parametrize(("data", "form"), [(b"123", "float32"), (b"1", "int16"), (bytes((1 << 20) + 4), "float32")])
def test_a_frame_that_is_no_audio_is_a_client_error(data, form):
    with pytest.raises(ClientError):
        pcm_of(data, form)


@pytest.mark.parametrize(
    "text", ['{"uid": 7}', '{"uid": "a", "task": "translate"}', '{"uid": "a", "audio_format": "x"}']
)
def test_options_that_cannot_be_served_are_refused(text):
    with pytest.raises(ClientError):
        read_options(text)
    assert uid_of(text) in ("", "a")


async def told(protocol: WhisperLive, shown: object) -> list[dict]:
    return [json.loads(message) for message in await protocol.messages(shown)]


async def test_an_open_segment_follows_the_drafts_and_is_closed_by_the_final():
    protocol = WhisperLive(read_options('{"uid": "a", "send_last_n_segments": 2}'))
    protocol.receive({"bytes": bytes(4 * 48_000)})

    await told(protocol, do.ShowSpeechStarted(1, 1, 8_000, 16_000))
    (draft,) = await told(protocol, do.ShowDraft(1, 1, "the gate", "the"))
    language, final = await told(
        protocol, do.ShowFinal(1, 1, Hypothesis("The gate.", is_final=True, language="en"), 8_000, 40_000, 44_000)
    )

    assert draft["segments"] == [{"start": "1.000", "end": "3.000", "text": "the gate", "completed": False}]
    assert language == {"uid": "a", "language": "en", "language_prob": 1.0}
    assert final["segments"] == [{"start": "1.000", "end": "2.500", "text": "The gate.", "completed": True}]


async def test_after_the_end_of_audio_nothing_is_taken_and_the_end_of_the_turn_is_told():
    protocol = WhisperLive(read_options('{"uid": "a"}'))

    assert await told(protocol, do.ShowTurnEnd(1, "the gate")) == []
    assert [type(item) for item in protocol.receive({"bytes": END_OF_AUDIO})] == [ev.ClientEnded]
    assert protocol.receive({"bytes": bytes(400)}) == []
    assert await told(protocol, do.ShowTurnEnd(1, "the gate")) == [{"uid": "a", "message": "DISCONNECT"}]
