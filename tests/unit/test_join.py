"""Segments are joined as people write: spaces, marks, scripts without spaces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.transcript import join


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["Turn the", "light on."], "Turn the light on."),
        ([" Hello. ", "", "  ", "How are you?"], "Hello. How are you?"),
        (["Turn it on", ".", "Now"], "Turn it on. Now"),
        (["Yes", ", please"], "Yes, please"),
        (["Yes.", ". Please"], "Yes. Please"),
        (["Really?", "?"], "Really?"),
        (["It costs", ".5 dollars"], "It costs .5 dollars"),
        (["It runs on", ".NET"], "It runs on .NET"),
        (["Well", "... yes"], "Well ... yes"),
        (["今日は", "いい天気です。", "そうですね"], "今日はいい天気です。そうですね"),
        (["我说", "hello", "你好"], "我说 hello 你好"),
        (["안녕", "하세요"], "안녕 하세요"),
        ([], ""),
    ],
)
def test_segments_are_joined_as_people_write(texts, joined):
    assert join(texts) == joined


@given(st.lists(st.text("ab .,?。日", max_size=6), max_size=5))
def test_joining_loses_no_letter_and_leaves_no_space_at_the_ends(texts):
    joined = join(texts)

    assert [c for c in joined if c in "ab日"] == [c for text in texts for c in text if c in "ab日"]
    assert joined == joined.strip()
