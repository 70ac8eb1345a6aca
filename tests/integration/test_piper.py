"""Piper's voice: its name, its folder, and how its computation is cancelled."""

import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing
from time import monotonic, process_time

import anyio
import pytest

from app.domain.errors import ModelUnavailable
from providers.local.tts.piper import open_piper
from tests.models import model

pytestmark = [pytest.mark.anyio, pytest.mark.models]

SENTENCE = "The quick brown fox jumps over the lazy dog and runs into the dark green forest"
VOICE = "piper-en_US-joe-medium"


async def pieces(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def length_of(engine, *texts: str) -> int:
    async with aclosing(engine.synthesize(pieces(*texts))) as chunks:
        return sum([chunk.samples async for chunk in chunks])


@pytest.fixture(scope="module")
async def engine(anyio_backend):
    async with open_piper(model=model(VOICE)) as opened:
        yield opened


async def test_voice_is_named_like_its_model(engine):
    """Asking for the voice by its own name is asking for this voice."""
    async with aclosing(engine.synthesize(pieces("Yes."), voice="en_US-joe-medium")) as chunks:
        assert await anext(chunks)


async def test_double_brackets_are_not_phoneme_notation(engine):
    """Piper's own notation for phonemes cannot be reached from a reply."""
    assert await length_of(engine, "See [[note one]] and go on.") > await length_of(engine, "See and go on.")


async def test_cancelled_synthesis_stops_its_computation(engine):
    """A long sentence that nobody waits for any more costs no further computing."""
    sentence = ", ".join([SENTENCE] * 3)
    used, began = process_time(), monotonic()
    await length_of(engine, sentence)
    whole, duration = process_time() - used, monotonic() - began

    used = process_time()
    with anyio.move_on_after(duration / 8):
        await length_of(engine, sentence)
    await anyio.sleep(duration)

    assert process_time() - used < whole / 2


async def test_truncated_voice_is_unavailable(tmp_path):
    """Its description may be as good as it likes."""
    shutil.copytree(model(VOICE), tmp_path, dirs_exist_ok=True)
    (network,) = tmp_path.glob("*.onnx")
    network.write_bytes(network.read_bytes()[:1000])

    with pytest.raises(ModelUnavailable, match="fetch the model again"):
        async with open_piper(model=tmp_path):
            pass


@pytest.mark.parametrize("files", [(), ("a.onnx",), ("a.onnx", "b.onnx"), ("a.onnx", "a.onnx.json")])
async def test_damaged_voice_folder_is_unavailable(tmp_path, files):
    """A folder that holds no whole voice is named, before anyone waits for it."""
    for name in files:
        (tmp_path / name).write_text("{}")

    with pytest.raises(ModelUnavailable, match=str(tmp_path)):
        async with open_piper(model=tmp_path):
            pass
