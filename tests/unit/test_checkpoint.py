"""Weights read from a CTranslate2 file, and files that are something else."""

import struct

import numpy as np
import pytest

from providers.local.asr.transformer.checkpoint import UnreadableCheckpoint, read_checkpoint

TYPES = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


def name(text):
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def written(path, variables, aliases=(), *, version=6, spec="WhisperSpec"):
    content = struct.pack("<I", version) + name(spec) + struct.pack("<II", 3, len(variables))
    for key, values in variables.items():
        content += (
            name(key) + struct.pack("<B", values.ndim) + b"".join(struct.pack("<I", size) for size in values.shape)
        )
        content += struct.pack("<BI", TYPES[str(values.dtype)], values.nbytes) + values.tobytes()
    content += struct.pack("<I", len(aliases))
    for alias, meant in aliases:
        content += name(alias) + name(meant)
    path.write_bytes(content)
    return path


def test_numbers_are_what_they_were_however_they_are_stored(tmp_path):
    """float16 widened, integers divided by the scale of their row, other names followed."""
    halves = np.array([[0.5, -2], [1, 4]], np.float16)
    steps, scale = np.array([[127, -64], [10, 0]], np.int8), np.array([127, 5], np.float32)
    variables = {"a": halves, "b": steps, "b_scale": scale, "heads": np.array(8, np.int16)}

    read = read_checkpoint(written(tmp_path / "model.bin", variables, [("also a", "a")]))

    np.testing.assert_array_equal(read.numbers("also a"), halves.astype(np.float32))
    np.testing.assert_allclose(read.numbers("b"), [[1, -64 / 127], [2, 0]], rtol=1e-6)
    np.testing.assert_allclose(read.numbers("b", np.array([1])), [[2, 0]])
    assert read.number("heads", 0) == 8
    assert read.number("not there", 3) == 3
    assert "a" in read
    assert "c" not in read
    with pytest.raises(UnreadableCheckpoint, match="there is no c"):
        read.numbers("c")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"version": 7}, "version 7"), ({"spec": "TransformerSpec"}, "TransformerSpec")],
)
def test_another_make_is_refused_by_its_name(tmp_path, change, message):
    """What is not known is not guessed at."""
    path = written(tmp_path / "model.bin", {"a": np.zeros(3, np.float32)}, **change)
    with pytest.raises(UnreadableCheckpoint, match=message):
        read_checkpoint(path)


def test_a_kind_of_number_that_is_not_known_is_named(tmp_path):
    """Such as bfloat16, which numpy has not."""
    path = written(tmp_path / "model.bin", {"a": np.zeros(3, np.float32)})
    content = path.read_bytes()
    at = content.index(b"a\0") + 2 + 1 + 4
    path.write_bytes(content[:at] + b"\5" + content[at + 1 :])
    with pytest.raises(UnreadableCheckpoint, match="numbers of kind 5"):
        read_checkpoint(path)


@pytest.mark.parametrize("kept", [0, 3, 20, 40, -1])
def test_a_file_cut_short_is_unreadable(tmp_path, kept):
    """Wherever it ends."""
    path = written(tmp_path / "model.bin", {"a": np.zeros(30, np.float32)}, [("b", "a")])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UnreadableCheckpoint, match="cut short"):
        read_checkpoint(path)
