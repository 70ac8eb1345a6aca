"""Stored conversations: title, history, window, and the formats of export."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.audio import ms
from app.domain.conversations.deletion import recordings_remain
from app.domain.conversations.export import as_captions, as_markdown, message_json
from app.domain.conversations.message import (
    TITLE_CHARACTERS,
    Conversation,
    MessageKind,
    StoredMessage,
    as_history,
    title_of,
)
from app.domain.conversations.options import ReplyOptions
from app.domain.dialog.conversation import Message, Role
from app.domain.tools import ToolCall
from app.domain.transcript import Word

TALK = Conversation("c1", "acme", "2026-01-02T12:00:00.000+00:00", "2026-01-02T12:01:00.000+00:00", title="Weather")
QUESTION = StoredMessage(
    1,
    Role.USER,
    "Will it rain?",
    "2026-01-02T12:00:02.000+00:00",
    turn=1,
    number=1,
    kind=MessageKind.VOICE,
    session="s1",
    start=ms(500),
    end=ms(2000),
    words=(Word("Will", 0, ms(200)), Word("it", ms(250), ms(400))),
    engine="local",
)
REPLY = StoredMessage(
    2,
    Role.ASSISTANT,
    "No, it stays dry. Take no umbrella with you.",
    "2026-01-02T12:00:03.000+00:00",
    turn=1,
    number=2,
    played="No, it stays dry.",
    cancelled="barge_in",
)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Will it rain?", "Will it rain?"),
        ("\n  Will \t it rain?\nTell me.", "Will it rain?"),
        ("word " * 40, ("word " * 15).strip() + "…"),
        ("x" * 200, "x" * (TITLE_CHARACTERS - 1) + "…"),
        (" \n ", ""),
    ],
)
def test_title_is_the_first_line_cut_at_a_word(text, title):
    assert title_of(text) == title


@given(st.text())
def test_title_is_one_short_line_of_any_text(text):
    title = title_of(text)

    assert len(title) <= TITLE_CHARACTERS
    assert title == " ".join(title.split())


def test_history_has_what_was_received_of_a_cut_reply_and_no_empty_message():
    gap = StoredMessage(3, Role.SYSTEM, "", REPLY.at, missing=4)
    erased = StoredMessage(4, Role.USER, "", REPLY.at)

    assert as_history([QUESTION, REPLY, gap, erased]) == (
        Message(Role.USER, "Will it rain?"),
        Message(Role.ASSISTANT, "No, it stays dry.", is_cut_off=True),
    )


HISTORY = tuple(Message((Role.USER, Role.ASSISTANT)[number % 2], str(number) * 100) for number in range(9))


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (ReplyOptions(max_characters=300), 3),
        (ReplyOptions(max_characters=399), 3),
        (ReplyOptions(max_tokens=75), 3),
        (ReplyOptions(max_characters=100, max_tokens=75), 3),
        (ReplyOptions(max_characters=10), 1),
    ],
)
def test_window_keeps_the_newest_messages_that_fit_by_characters_and_tokens(options, kept):
    assert options.prompt(HISTORY) == HISTORY[-kept:]


def test_prompt_begins_with_the_instructions_whatever_fits():
    assert ReplyOptions("Be brief.", max_characters=0).prompt(HISTORY)[0] == Message(Role.SYSTEM, "Be brief.")


def test_markdown_has_speakers_times_cuts_and_gaps():
    gap = StoredMessage(3, Role.SYSTEM, "", REPLY.at, missing=4)

    assert as_markdown(TALK, [QUESTION, REPLY, gap]) == (
        "# Weather\n\n2026-01-02T12:00:00.000+00:00 to 2026-01-02T12:01:00.000+00:00\n\n"
        "**User**, 2026-01-02T12:00:02.000+00:00\n\nWill it rain?\n\n"
        "**Assistant**, 2026-01-02T12:00:03.000+00:00 (cut: barge_in)\n\nNo, it stays dry.\n\n"
        "*4 messages are missing here.*\n"
    )


def test_captions_are_on_the_clock_of_the_conversation():
    """The utterance of 1.5 s ended when its message was stored; the reply is shown as long as it takes to read."""
    assert as_captions([QUESTION, REPLY], "srt") == (
        "1\n00:00:00,000 --> 00:00:01,500\nUser: Will it rain?\n\n"
        "2\n00:00:02,500 --> 00:00:03,900\nAssistant: No, it stays dry.\n"
    )
    assert as_captions([QUESTION], "vtt") == "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nUser: Will it rain?\n"


def test_captions_of_messages_that_follow_fast_are_in_order_and_none_is_shown_for_no_time():
    """Typed messages are stored faster than anyone reads."""
    texts = ["Will it rain?", "No, it stays dry. " * 20, "And on Sunday?", "It rains on Sunday. " * 20]
    written = as_captions([StoredMessage(n, Role.USER, text, REPLY.at) for n, text in enumerate(texts, 1)], "srt")
    times = [line.split(" --> ") for line in written.splitlines() if "-->" in line]

    assert len(times) > len(texts)
    assert all(start < end for start, end in times)
    assert all(end <= start for (_, end), (start, _) in pairwise(times))


def test_captions_of_nothing_are_empty_and_no_empty_line_ends_one_early():
    assert as_captions([], "srt") == ""
    assert "One Two" in as_captions([StoredMessage(1, Role.USER, "One\n\n\nTwo", REPLY.at)], "srt")


def test_json_of_a_message_has_seconds_of_the_session_and_no_field_that_does_not_apply():
    assert message_json(QUESTION) == {
        "number": 1,
        "turn": 1,
        "role": "user",
        "text": "Will it rain?",
        "at": "2026-01-02T12:00:02.000+00:00",
        "kind": "voice",
        "session": "s1",
        "start": 0.5,
        "end": 2.0,
        "words": [{"text": "Will", "start": 0.5, "end": 0.7}, {"text": "it", "start": 0.75, "end": 0.9}],
        "engine": "local",
    }
    assert message_json(REPLY)["played"] == "No, it stays dry."
    assert not {"words", "session", "costUsd", "missing"} & message_json(REPLY).keys()


def test_receipt_names_each_recording_that_remains():
    assert recordings_remain(()) == ()
    assert "DELETE /recordings/s1" in recordings_remain(("s1",))[0]


def test_history_has_the_calls_of_a_reply_in_front_of_its_text_and_without_one():
    call = ToolCall("c0", "weather", "{}", "Rain.")
    replied, cut = replace(REPLY, tool_calls=(call,)), replace(REPLY, text="", played="", tool_calls=(call,))

    called = Message(Role.ASSISTANT, "", tool_calls=(call,))
    assert as_history([replied]) == (called, Message(Role.ASSISTANT, "No, it stays dry.", is_cut_off=True))
    assert as_history([cut]) == (called,)


def test_a_message_names_its_speaker_where_speakers_are_told_apart():
    """In place of "User"."""
    said = replace(QUESTION, speaker=2)

    assert message_json(said)["speaker"] == 2
    assert "**Speaker 2**, " in as_markdown(TALK, [said])
    assert "Speaker 2: Will it rain?" in as_captions([said], "srt")
    assert "User: Will it rain?" in as_captions([QUESTION], "srt")
