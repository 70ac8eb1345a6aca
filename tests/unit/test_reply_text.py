"""What of a model's output is passed on as its reply."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.dialog.reply_text import ReplyText


def passed_on(*deltas: str, begins_thinking: bool = False) -> tuple[str, ReplyText]:
    """The reply that comes of these deltas, and the state before its end."""
    text, shown = ReplyText(begins_thinking=begins_thinking), ""
    for delta in deltas:
        text, more = text.push(delta)
        shown += more
    return shown + text.finish(), text


OUTPUTS = [
    ("It is noon.", "It is noon."),
    ("<think>\nOkay, the user wants the time. </think>\n\nIt is noon.", "It is noon."),
    ("<THINK>Hm.</Think>It is noon.", "It is noon."),
    ('<thinking type="deep">Hm.</thinking>It is noon.', "It is noon."),
    ("<think></think>It is noon.", "It is noon."),
    ("<think>one <think>two</think> three</think>It is noon.", "It is noon."),
    ("<think>the tag <think> opens</think>It is noon.", "It is noon."),
    ("It <think>Hm.</think>is noon.", "It is noon."),
    ("<think>Hm. It is noon", ""),
    ("<seed:think>Hm.</seed:think>It is noon.", "It is noon."),
    ("[THINK]Hm.[/THINK]It is noon.", "It is noon."),
    ("◁think▷Hm.◁/think▷It is noon.", "It is noon."),
    ("<|begin_of_thought|>Hm.<|end_of_thought|>It is noon.", "It is noon."),
    (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>It is noon.<|return|>",
        "It is noon.",
    ),
    ("It is noon.<|im_end|>", "It is noon."),
    ("It is noon.<|eot_id|>user: And now?", "It is noon."),
    ("It is noon.<|im_end|>\n<|im_start|>user\nAnd now?", "It is noon."),
    ("It is noon.\n<|im_start|>user\nAnd now?", "It is noon.\n"),
    ("It is noon.<end_of_turn>\n<start_of_turn>user", "It is noon."),
    ("It is noon.<｜end▁of▁sentence｜>", "It is noon."),  # noqa: RUF001 because DeepSeek's token has these bars
    ("It is noon.</s>", "It is noon."),
    ("<|im_start|>assistant\nIt is noon.", "It is noon."),
    ("<|start_header_id|>assistant<|end_header_id|>\n\nIt is noon.", "It is noon."),
    ("  \n It is noon.", "It is noon."),
    ("If a < b, then <b>so</b> [x](y) [I", "If a < b, then <b>so</b> [x](y) [I"),
    ("<thinker> and <|", "<thinker> and <|"),
]


@pytest.mark.parametrize(("output", "reply"), OUTPUTS)
def test_thinking_and_control_tokens_are_no_part_of_a_reply(output, reply):
    """Whole, and with each character in a delta of its own."""
    assert passed_on(output)[0] == reply
    assert passed_on(*output)[0] == reply


@given(st.sampled_from([output for output, _ in OUTPUTS]), st.lists(st.integers(0, 100), max_size=8))
def test_a_reply_does_not_depend_on_how_its_tags_are_split(output, places):
    ends = sorted(min(place, len(output)) for place in places)
    deltas = [output[start:end] for start, end in zip([0, *ends], [*ends, len(output)], strict=True)]

    assert passed_on(*deltas)[0] == passed_on(output)[0]


@given(st.text("<>|[]/think◁▷_ \nab", max_size=40))
def test_no_text_makes_the_filter_fail_or_invent_letters(output):
    """It takes out, and adds nothing; finished twice it says the same."""
    reply, text = passed_on(*output)

    remaining = iter(output)
    assert all(letter in remaining for letter in reply)
    assert text.finish() == text.finish()


def test_text_that_cannot_be_a_tag_is_passed_on_with_its_delta():
    """Nothing waits for the next delta that needs not."""
    text, shown = ReplyText().push("If a < b, the")

    assert shown == "If a < b, the"
    assert text.push("n <th")[1] == "n "


def test_a_closing_tag_without_an_opening_one_is_noticed():
    """The text in front of it was thinking and is gone; the next reply can begin in thinking."""
    reply, text = passed_on("Hm, the time. ", "</think>", "It is noon.")

    assert text.lacks_opening
    assert reply == "Hm, the time. It is noon."
    assert passed_on("Hm, the time. ", "</think>", "It is noon.", begins_thinking=True)[0] == "It is noon."


def test_a_reply_expected_to_begin_in_thinking_is_shown_where_it_does_not():
    """The model may think only now and then."""
    assert passed_on("It is ", "noon.", begins_thinking=True)[0] == "It is noon."


def test_nothing_is_passed_on_behind_the_last_token():
    """Whoever reads the stream may stop there."""
    _, text = passed_on("It is noon.<|im_end|>")

    assert text.is_over
    assert text.push("<think>more")[1] == ""


def test_only_thinking_is_told_from_nothing():
    assert passed_on("<think>Hm.")[1].has_thought
    assert not passed_on("\n")[1].has_thought
    assert not passed_on("<think>Hm.")[1].has_text
