"""Where a streamed reply is cut for the voice."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.dialog.sentences import SentenceChunker, speakable


def pieces_of(*deltas: str, chunker: SentenceChunker | None = None) -> list[str]:
    chunker = chunker or SentenceChunker()
    pieces: list[str] = []
    for delta in deltas:
        chunker, complete = chunker.push(delta)
        pieces += complete
    return [*pieces, *chunker.finish()]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("Yes.", ["Yes."]),
        ("The capital is Paris. It is old.", ["The capital is Paris.", "It is old."]),
        ("Of course, I can help, gladly. Ask.", ["Of course,", "I can help, gladly.", "Ask."]),
        ("Ok, that is all I know.", ["Ok, that is all I know."]),
        (
            "This is a rather classic tale that has become old, and so on. It is a rather good one and bad.",
            ["This is a rather classic tale", "that has become old, and so on.", "It is a rather good one and bad."],
        ),
        ("I know a rather old man who's kind. Yes.", ["I know a rather old man who's kind.", "Yes."]),
        ("I know a rather kind old man who's kind. Yes.", ["I know a rather kind old man", "who's kind.", "Yes."]),
        ("Der Zug kommt heute etwas später und hält hier.", ["Der Zug kommt heute etwas später", "und hält hier."]),
        ("Ask Dr. Smith or Mrs. Jones. They know.", ["Ask Dr. Smith or Mrs. Jones.", "They know."]),
        ("Take fruit e.g. apples. Eat.", ["Take fruit e.g. apples.", "Eat."]),
        ("We met at 5 p.m. Then we left.", ["We met at 5 p.m.", "Then we left."]),
        ("We met at 5 p.m. on Monday. Good.", ["We met at 5 p.m. on Monday.", "Good."]),
        ("Apples, pears etc. are fruit.", ["Apples, pears etc. are fruit."]),
        ("John F. Kennedy spoke. We heard.", ["John F. Kennedy spoke.", "We heard."]),
        ("It was I. He left.", ["It was I.", "He left."]),
        ("See No. 5. Or not.", ["See No. 5.", "Or not."]),
        ("No. That is wrong.", ["No.", "That is wrong."]),
        ("Pi is 3.14 or so. Round it.", ["Pi is 3.14 or so.", "Round it."]),
        ("About 1,000,000 people at 10:30 came. Yes.", ["About 1,000,000 people at 10:30 came.", "Yes."]),
        ("Well... let me see. Right.", ["Well... let me see.", "Right."]),
        ("Wait… No.", ["Wait…", "No."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ('"Really?" she asked. "Yes!"', ['"Really?" she asked.', '"Yes!"']),
        ("It works (I think.) Try it.", ["It works (I think.)", "Try it."]),
        ("What?! No way!", ["What?!", "No way!"]),
        ("Visit example.com today. Bye.", ["Visit example.com today.", "Bye."]),
        ("1. Wash it.\n2. Cook it.\n", ["1. Wash it.", "2. Cook it."]),
        ("- one\n- two\n\n* three", ["one", "two", "three"]),
        ("First line\nsecond line", ["First line", "second line"]),
        ("今天天气很好。我们去公园吧！好吗？", ["今天天气很好。", "我们去公园吧！", "好吗？"]),  # noqa: RUF001 because these are Chinese signs
        ("今天，天气好、很好。走吧", ["今天，天气好、", "很好。", "走吧"]),  # noqa: RUF001 because these are Chinese signs
        ("他说「好。」然后走了。", ["他说「好。」", "然后走了。"]),
        ("## Title\nSome **bold. Words** here.", ["Title", "Some bold.", "Words here."]),
        ("Run `pip install` now. *Really* _do_ it.", ["Run pip install now.", "Really do it."]),
        ("Read [the docs. All of them](https://a.b/c?d=e) now. Ok.", ["Read the docs. All of them now.", "Ok."]),
        ("![a cat](cat.png) Nice. [1] says so.", ["a cat Nice.", "[1] says so."]),
        ("> quoted words\n---\n```python\nx = 2 * 3\n```\n", ["quoted words", "x = 2 * 3"]),
        ("Keep snake_case and 2*3 and C# and #1.", ["Keep snake_case and 2*3 and C#", "and #1."]),
        ("Great! 😀 Go on. 🎉", ["Great!", "Go on."]),
        ("| a | b |\n|---|---|\n| 1 | 2 |", ["a b", "1 2"]),
        ("... — !!!", []),
        (
            "Three things:<br><ul><li><b>Milk</b></li><li>Tom &amp; Jerry&nbsp;mugs</li></ul>",
            ["Three things:", "Milk", "Tom & Jerry mugs"],
        ),
        ('<p style="color: red; size: 4">Hello there, you.</p>Bye.', ["Hello there,", "you.", "Bye."]),
        ("Use <a href='https://x.org/a, b'>this page</a> now. Yes.", ["Use this page now.", "Yes."]),
        ("If a < b and c > d, R&D wins; x &lt; y.", ["If a < b and c > d,", "R&D wins; x < y."]),
        (r"Then \(x^2\) is \[\frac{a}{b}\]. Or $$2 \times \pi$$ for \$5.", ["Then x² is a/b.", r"Or 2 × π for \$5."]),  # noqa: RUF001 because this sign is meant
    ],
)
def test_sentence_chunks_of_a_reply(text: str, pieces: list[str]):
    """Pieces end where a speaker would breathe, and nowhere else."""
    assert pieces_of(text) == pieces
    assert pieces_of(*text) == pieces


def test_sentence_is_emitted_before_the_next_one_starts():
    """A stop and a space are enough where no abbreviation is in sight."""
    _, pieces = SentenceChunker().push("It is late. ")

    assert pieces == ("It is late.",)


def test_first_clause_is_emitted_at_a_comma():
    """A comma is enough for the first piece, as soon as the space behind it is there."""
    chunker, none_yet = SentenceChunker().push("Of course,")
    chunker, pieces = chunker.push(" I can")

    assert (none_yet, pieces) == ((), ("Of course,",))


def test_later_chunks_are_whole_sentences():
    """Behind the first piece a comma no longer cuts."""
    chunker, _ = SentenceChunker().push("Of course. So")
    chunker, pieces = chunker.push(" when it rains, when it pours, we stay. Now")

    assert pieces == ("So when it rains, when it pours, we stay.",)
    assert chunker.finish() == ("Now",)


def test_long_sentence_is_split_at_a_space():
    """Without any stop a piece ends at the last space before it grows too long."""
    assert pieces_of("word " * 12, chunker=SentenceChunker(max_characters=20)) == ["word word word word"] * 3


def test_long_sentence_is_split_at_a_comma_if_there_is_one():
    """A comma late enough in a run-on is a better place than a space."""
    chunker = SentenceChunker(max_characters=20, has_spoken=True)

    assert pieces_of("one two three, four five six", chunker=chunker) == ["one two three,", "four five six"]


WORDS = st.text("abcXYZ0123456789éß", min_size=1, max_size=8)
SIGNS = st.sampled_from(
    [".", ",", "!", "?", "...", "…", ";", ":", '"', "(", ")", "'", "-", "—", "*", "**", "`", "_", "["]
)
SPACES = st.sampled_from(
    [" ", " ", " ", "\n", "\n\n", "\n# ", "\n- ", "\n1. ", "\t", ", ", ". ", " Dr. ", " 3.14 ", "。"]
)
MARKUP = st.sampled_from(["<br>", "</li>", "<b>", '<a href="x, y">', "&amp;", r"\(", r"\frac{a}{b}", "<"])
REPLIES = st.lists(WORDS | SIGNS | SPACES, max_size=60).map("".join)


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


@st.composite
def split_replies(draw: st.DrawFn, replies: st.SearchStrategy[str] = REPLIES) -> list[str]:
    text = draw(replies)
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=20)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


@given(split_replies(), st.integers(5, 60))
def test_sentence_chunks_lose_no_word(deltas: list[str], longest: int):
    """The pieces hold every letter and digit of the reply, in order."""
    pieces = pieces_of(*deltas, chunker=SentenceChunker(max_characters=longest))

    assert letters("".join(pieces)) == letters("".join(deltas))


@given(split_replies())
def test_sentence_chunks_split_no_word(deltas: list[str]):
    """Every cut falls between words."""
    words = re.findall(r"\w+", " ".join(pieces_of(*deltas)).replace("_", " "))

    assert words == re.findall(r"\w+", speakable("".join(deltas)).replace("_", " "))


@given(split_replies(st.lists(WORDS | SIGNS | SPACES | MARKUP, max_size=60).map("".join)), st.integers(5, 60))
def test_sentence_chunks_do_not_depend_on_the_deltas(deltas: list[str], longest: int):
    """However the model splits its deltas, the voice says the same pieces."""
    chunker = SentenceChunker(max_characters=longest)

    assert pieces_of(*deltas, chunker=chunker) == pieces_of("".join(deltas), chunker=chunker)


@given(split_replies(), st.integers(5, 60))
def test_sentence_chunk_has_a_maximum_length(deltas: list[str], longest: int):
    """No piece keeps the voice busy longer than the stated length."""
    assert all(
        len(piece) <= longest + 1 for piece in pieces_of(*deltas, chunker=SentenceChunker(max_characters=longest))
    )
