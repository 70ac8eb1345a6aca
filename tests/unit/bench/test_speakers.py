"""The score of speaker labels: the best match of labels and speakers counts."""

from bench.speakers import LabelScore, Spoken, conversations, halves, score

LONG = 48_000


def said(name, x, y, speech=LONG):
    return Spoken(name, (float(x), float(y)), speech)


def test_every_label_is_right_where_voices_are_apart():
    """Whatever the numbers are."""
    assert score([said("b", 0, 1), said("a", 1, 0), said("b", 0, 1)], 0.3) == LabelScore(3, 3)


def test_two_speakers_with_one_label_are_right_for_one_of_them():
    """The one who spoke more; and their number is wrong."""
    merged = score([said("a", 1, 0), said("b", 1, 0), said("b", 1, 0)], 0.3)

    assert merged == LabelScore(3, 2, wrong_count=1)


def test_one_speaker_with_two_labels_is_right_for_one_of_them():
    """The other label is nobody's."""
    assert score([said("a", 1, 0), said("a", 0, 1)], 0.3) == LabelScore(2, 1, wrong_count=1)


def test_an_utterance_without_a_label_is_wrong():
    """And counted apart."""
    assert score([said("a", 1, 0), said("b", 0, 1, speech=10)], 0.3) == LabelScore(2, 1, 1, 1)


def test_conversations_come_again_and_say_nothing_twice():
    """By the seed; the halves share no speaker."""
    spoken = [said(f"s{number}", 1, number + 10 * at) for number in range(8) for at in range(4)]
    first, second = halves(spoken)

    made = list(conversations(first, 5, 7))

    assert made == list(conversations(first, 5, 7))
    assert all(len(set(map(id, one))) == len(one) >= 8 for one in made)
    assert not first.keys() & second.keys()
