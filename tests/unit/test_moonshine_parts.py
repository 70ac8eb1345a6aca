"""Moonshine without its weights: tokenizer, integers in blocks, word times, edges of short audio."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.local.asr.moonshine.alignment import timed_words
from providers.local.asr.moonshine.tokenizer import MoonshineTokenizer, read_tokenizer
from providers.local.asr.transformer.errors import UnreadableCheckpoint
from providers.local.asr.transformer.quantization import QuantizedMatrix, in_blocks, quantize_rows, stacked

SPECIAL = [b"<unk>", b"<s>", b"</s>"]
BYTES = [bytes([number]) for number in range(256)]
MERGED = ["▁a", "sk", "▁ask", "▁n", "ot", "▁not"]
TOKENIZER = MoonshineTokenizer([*SPECIAL, *BYTES, *(piece.encode() for piece in MERGED)])


def stored(pieces):
    """As tokenizer.bin holds them."""
    return b"".join(
        (bytes([len(piece)]) if len(piece) < 128 else bytes([len(piece) & 127 | 128, len(piece) >> 7])) + piece
        for piece in pieces
    )


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="▁"), min_size=1))
def test_any_word_is_encoded_and_decoded(text):
    """Pieces where there are any, else its bytes."""
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_longest_pieces_are_merged_in_the_order_of_their_ids():
    tokens = TOKENIZER.encode("ask not")

    assert [TOKENIZER.pieces[token].decode() for token in tokens] == ["▁ask", "▁not"]
    assert TOKENIZER.word_starts(tokens) == [0, 1]


def test_tokenizer_file_is_read_with_short_and_long_pieces(tmp_path):
    pieces = [*TOKENIZER.pieces, b"x" * 300]
    (tmp_path / "tokenizer.bin").write_bytes(stored(pieces))

    assert read_tokenizer(tmp_path / "tokenizer.bin").pieces == pieces


@pytest.mark.parametrize("content", [b"", stored(TOKENIZER.pieces)[:-1], stored(TOKENIZER.pieces) + b"\x85"])
def test_tokenizer_file_that_is_cut_short_is_unreadable(tmp_path, content):
    (tmp_path / "tokenizer.bin").write_bytes(content)

    with pytest.raises(UnreadableCheckpoint):
        read_tokenizer(tmp_path / "tokenizer.bin")


def test_integers_in_blocks_are_the_stored_weights():
    """Matrices one above the other, each with its own scale and zero point, multiplied with a factor."""
    random = np.random.default_rng(1)
    matrices = [
        QuantizedMatrix(random.integers(-120, 120, (3, 64)).astype(np.int8), scale, zero)
        for scale, zero in ((0.01, 5), (0.5, -8))
    ]

    blocks = in_blocks(stacked(matrices, scale=2.0))

    values = blocks.integers.astype(np.float32) - blocks.zeros.reshape(6, 2, 1)
    weights = (values * blocks.scales.reshape(6, 2, 1)).reshape(6, 64)
    np.testing.assert_allclose(weights, 2 * np.concatenate([each.dequantized() for each in matrices]), rtol=1e-6)


def test_width_that_is_no_multiple_of_a_block_is_an_error():
    with pytest.raises(ValueError, match="40 weights"):
        in_blocks(stacked([QuantizedMatrix(np.zeros((2, 40), np.int8), 1.0, 0)]))


@pytest.mark.parametrize("bits", [7, 8])
def test_rows_are_quantized_to_within_half_a_step(bits):
    weight = np.random.default_rng(2).normal(size=(5, 33)).astype(np.float32)

    integers, scales = quantize_rows(weight, bits)

    assert np.abs(integers).max() < 2 ** (bits - 1)
    assert np.all(np.abs(integers * scales[:, None] - weight) <= scales[:, None] / 2 + 1e-6)


def test_word_times_follow_the_attention():
    """Three words of two tokens, each attended where it was said; 24 ms a position."""
    attention = np.full((2, 7, 60), 1e-3, np.float32)
    for token in range(6):
        attention[:, token, 10 * token : 10 * token + 10] = 1.0
    attention[:, 6, 59] = 1.0

    words = timed_words(["a", "b", "c"], [0, 2, 4], [0.9, 0.8, 0.7], attention, 0.0)

    assert [word.text for word in words] == [" a", " b", " c"]
    assert [word.start_s for word in words] == pytest.approx([0.0, 0.48, 0.96], abs=0.08)
    assert all(word.start_s <= word.end_s for word in words)
    assert timed_words([], [], [], attention, 0.0) == ()


def test_word_times_leave_out_what_stands_before_the_audio():
    attention = np.full((1, 3, 40), 1e-3, np.float32)
    attention[:, 0, :20] = attention[:, 1, 20:] = 1.0

    (first, second) = timed_words(["a", "b"], [0, 1], [1.0, 1.0], attention, 0.25)

    assert first.start_s == 0.0
    assert second.start_s == pytest.approx(20 * 0.024 - 0.25, abs=0.08)
