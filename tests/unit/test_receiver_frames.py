"""What is sent to a receiver, and what of its answer is read."""

import json
import os
import pickle
from datetime import UTC, datetime

import pytest

from providers.local.receiver.frames import (
    FRAMINGS,
    MAX_ANSWER_BYTES,
    UnreadableAnswer,
    answer,
    missing_bytes,
    request,
)

AT_NOON = datetime(2026, 2, 3, 12, 0, 5, 678_901, tzinfo=UTC)


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(8, "big") + body


@pytest.mark.parametrize(("framing", "loads"), [("pickle", pickle.loads), ("json", json.loads)])
def test_receiver_request_is_one_item_with_text_and_time_of_day(framing, loads):
    """Behind eight bytes of length, as the earlier servers sent it."""
    sent = request(FRAMINGS[framing], "Where is the light switch? 💡", AT_NOON)

    assert int.from_bytes(sent[:8], "big") == len(sent) - 8
    assert loads(sent[8:]) == [{"text": "Where is the light switch? 💡", "timestamp": "12:00:05.678"}]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("text", ["yes", "", "grüße 💡", "line\nbreak \\ backslash", "x" * 300, "€" * 10_000])
def test_receiver_answer_in_every_protocol_of_pickle_is_read(protocol, text):
    """An old receiver may write an old one."""
    received = framed(pickle.dumps(text, protocol=protocol))

    assert missing_bytes(received) == 0
    assert answer(FRAMINGS["pickle"], received) == text


class _Program:
    """Its pickle runs a command where it is loaded."""

    def __reduce__(self):
        return os.system, ("touch loaded",)


class _Text(str):
    """No plain string: loading it looks up this class."""

    __slots__ = ()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [_Program(), _Text("yes"), ["yes"], ("yes", "no"), {"text": "yes"}, b"yes", 7, None, True],
    ids=lambda value: type(value).__name__,
)
def test_receiver_answer_that_is_no_plain_string_is_refused_and_nothing_of_it_runs(
    protocol, value, tmp_path, monkeypatch
):
    """A pickle is a program; of an answer only the one string is read."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UnreadableAnswer):
        answer(FRAMINGS["pickle"], framed(pickle.dumps(value, protocol=protocol)))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        ("pickle", b""),
        ("pickle", b"<html>502 Bad Gateway</html>"),
        ("pickle", b"\x80\x04\x8c\x03yes"),  # no end
        ("pickle", b"\x80\x04\x8c\x09yes."),  # shorter than it says
        ("pickle", b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fyes."),  # 9 exabytes, it says
        ("pickle", b"\x80\x04\x8c\x02\xff\xfe."),  # no UTF-8
        ("pickle", b"\x80\x04\x8c\x03\xed\xa0\x80."),  # half a surrogate pair
        ("pickle", b"\x80\x04\x8c\x01a\x8c\x01b."),  # two strings
        ("pickle", b"\x80\x04."),  # none
        ("pickle", b"S'yes'\n."),  # Python 2
        ("json", b""),
        ("json", b"yes"),
        ("json", b'{"text": "yes"}'),
        ("json", b'"\xff\xfe"'),
        ("json", b'"\\ud800"'),
        ("json", b"[" * 60_000),
    ],
)
def test_receiver_answer_that_is_no_text_is_unreadable(framing, body):
    """Whatever it is instead."""
    with pytest.raises(UnreadableAnswer):
        answer(FRAMINGS[framing], framed(body))


@pytest.mark.parametrize(("received", "missing"), [(b"", 8), (bytes(7), 1), (bytes(8), 0), (framed(b"abc")[:-2], 2)])
def test_receiver_answer_says_how_much_is_missing(received, missing):
    """First the header, then what it announces."""
    assert missing_bytes(received) == missing


@pytest.mark.parametrize("size", [MAX_ANSWER_BYTES + 1, (-1) % (1 << 64), int.from_bytes(b"HTTP/1.1", "big")])
def test_receiver_answer_longer_than_allowed_is_refused_by_its_header(size):
    """Also a negative length, and another protocol's first bytes."""
    with pytest.raises(UnreadableAnswer, match=f"announced {size} bytes"):
        missing_bytes(size.to_bytes(8, "big"))


def test_receiver_answer_of_the_allowed_length_is_awaited():
    """The limit itself is allowed."""
    assert missing_bytes(MAX_ANSWER_BYTES.to_bytes(8, "big")) == MAX_ANSWER_BYTES
