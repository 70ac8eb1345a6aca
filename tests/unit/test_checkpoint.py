"""Reading the weights of a CTranslate2 checkpoint, and refusing files that are something else."""

import struct

import numpy as np
import pytest

from providers.local.asr.transformer.errors import UnreadableCheckpoint
from providers.local.asr.whisper.checkpoint import read_checkpoint

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


def test_dequantized_weights_equal_the_stored_ones(tmp_path):
    """float16 widened, integers divided by the scale of their row, aliases followed."""
    halves = np.array([[0.5, -2], [1, 4]], np.float16)
    steps, scale = np.array([[127, -64], [10, 0]], np.int8), np.array([127, 5], np.float32)
    variables = {"a": halves, "b": steps, "b_scale": scale, "heads": np.array(8, np.int16)}

    read = read_checkpoint(written(tmp_path / "model.bin", variables, [("also a", "a")]))

    np.testing.assert_array_equal(read.dequantized("also a"), halves.astype(np.float32))
    np.testing.assert_allclose(read.dequantized("b"), [[1, -64 / 127], [2, 0]], rtol=1e-6)
    np.testing.assert_allclose(read.dequantized("b", np.array([1])), [[2, 0]])
    assert read.setting("heads", 0) == 8
    assert read.setting("not there", 3) == 3
    assert "a" in read
    assert "c" not in read
    with pytest.raises(UnreadableCheckpoint, match="there is no c"):
        read.dequantized("c")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"version": 7}, "version 7"), ({"spec": "TransformerSpec"}, "TransformerSpec")],
)
def test_checkpoint_of_another_version_or_architecture_is_refused(tmp_path, change, message):
    """The error names what was found."""
    path = written(tmp_path / "model.bin", {"a": np.zeros(3, np.float32)}, **change)
    with pytest.raises(UnreadableCheckpoint, match=message):
        read_checkpoint(path)


def test_checkpoint_with_an_unknown_number_type_is_refused(tmp_path):
    """Such as bfloat16, which numpy has not."""
    path = written(tmp_path / "model.bin", {"a": np.zeros(3, np.float32)})
    content = path.read_bytes()
    at = content.index(b"a\0") + 2 + 1 + 4
    path.write_bytes(content[:at] + b"\5" + content[at + 1 :])
    with pytest.raises(UnreadableCheckpoint, match="numbers of the unknown type 5"):
        read_checkpoint(path)


@pytest.mark.parametrize("kept", [0, 3, 20, 40, -1])
def test_truncated_checkpoint_is_refused(tmp_path, kept):
    """Wherever it ends."""
    path = written(tmp_path / "model.bin", {"a": np.zeros(30, np.float32)}, [("b", "a")])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UnreadableCheckpoint, match="cut short"):
        read_checkpoint(path)
