"""Server-sent events and chat chunks, as the many servers that copy OpenAI's protocol write them."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.openai.chat_chunks import ChatChunk, UnreadableChunk, read_chunk
from providers.openai.sse import EventDecoder

STREAM = (
    "\ufeffdata: one\n\n: a comment\n\ndata:\n\ndata: \n\nretry: 3000\n\nevent: ping\n\nid: 1\n: ping\n\n"
    "event: message\r\ndata:two\r\n\r\ndata: three\rdata: more\r\rdata: \u2028four\n\ndata: [DONE]"
).encode()
EVENTS = ["one", "two", "three\nmore", "\u2028four", "[DONE]"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_are_decoded_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    """Comments, empty events and other fields are no events; the last event needs no blank line behind it."""
    decoder = EventDecoder()
    bounds = [0, *sorted(cuts), len(STREAM)]

    events = [data for start, end in pairwise(bounds) for data in decoder.push(STREAM[start:end])]

    assert [*events, *decoder.finish()] == EVENTS


@pytest.mark.parametrize(
    ("choice", "chunk"),
    [
        ({"delta": {"content": "Hi"}, "finish_reason": None}, ChatChunk("Hi")),
        ({"delta": {"content": "Hi"}, "finish_reason": ""}, ChatChunk("Hi")),
        ({"delta": None, "finish_reason": "stop"}, ChatChunk(finish_reason="stop")),
        ({"finish_reason": "stop"}, ChatChunk(finish_reason="stop")),
        ({"delta": {"content": None}}, ChatChunk()),
        ({"delta": {"content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]}}, ChatChunk("Hi")),
        ({"delta": {"content": [{"type": "image_url", "image_url": {}}]}}, ChatChunk()),
        ({"delta": {"reasoning": "hm"}}, ChatChunk(reasoning="hm")),
        ({"delta": {"reasoning_content": "hm"}}, ChatChunk(reasoning="hm")),
        ({"delta": {"reasoning": {"text": "hm"}}}, ChatChunk(reasoning="{'text': 'hm'}")),
        ({"delta": {"refusal": "No."}}, ChatChunk(is_refusal=True)),
    ],
)
def test_a_chunk_is_read_leniently(choice: dict[str, object], chunk: ChatChunk) -> None:
    """Missing, null and empty fields say nothing; parts of text are one text; thinking is not part of the answer."""
    assert read_chunk(json.dumps({"choices": [choice]})) == replace(chunk, has_choice=True)


@pytest.mark.parametrize("data", ['{"choices": null}', '{"choices": []}', '{"usage": {}}'])
def test_a_chunk_without_choices_is_empty(data: str) -> None:
    """OpenAI's own last chunk, with the usage, is one."""
    assert read_chunk(data) == ChatChunk()


@pytest.mark.parametrize(
    "data",
    [
        "{not json",
        "[]",
        "7",
        '{"error": {"message": "model crashed"}}',
        '{"choices": 7}',
        '{"choices": [7]}',
        '{"choices": [{"delta": {"content": 7}}]}',
        '{"choices": [{"delta": {"content": ["Hi"]}}]}',
        '{"choices": [{"delta": "Hi"}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_chunk_is_unreadable(data: str) -> None:
    """Whatever it is, the error is the same."""
    with pytest.raises(UnreadableChunk):
        read_chunk(data)
