"""`parley retranscribe` on a real archive, with the real model."""

import json

import anyio
import pytest
from click.testing import CliRunner

from app.cli import parley
from app.domain.audio import AudioChunk
from app.runtime.recording.uploader import Uploader
from storage.filesystem import open_filesystem
from tests.clips import HANDS, word_error_rate
from tests.fakes import MemorySessionLog
from tests.models import MODELS_DIR, model


@pytest.mark.parametrize(
    "session", ["f" * 12 + "7" + "0" * 19, "../../etc", "x" * 300, "\N{LATIN SMALL LETTER E WITH ACUTE}"]
)
def test_retranscribe_of_an_unknown_recording_is_a_sentence(tmp_path, monkeypatch, session):
    """Before a model is loaded; no traceback, whatever the id looks like."""
    monkeypatch.setenv("PARLEY_AUDIO_STORAGE_DIR", str(tmp_path))
    monkeypatch.setenv("PARLEY_MODELS_DIR", str(tmp_path / "no models"))

    done = CliRunner().invoke(parley, ["retranscribe", session])

    assert done.exit_code == 1
    assert f"there is no recording {session}" in done.stderr


@pytest.mark.models
def test_retranscribe_keeps_both_transcripts(tmp_path, monkeypatch):
    """The new words stand beside the session's own, cover the same samples, and the manifest names them."""
    model("whisper-base")

    async def record() -> None:
        async with open_filesystem(folder=tmp_path) as store:
            uploader = Uploader(MemorySessionLog(), store)
            async with uploader.running(), uploader.record_session("one") as recorder:
                await recorder.write_audio(AudioChunk(HANDS.pcm, 0))

    anyio.run(record)
    monkeypatch.setenv("PARLEY_AUDIO_STORAGE_DIR", str(tmp_path))
    monkeypatch.setenv("PARLEY_MODELS_DIR", str(MODELS_DIR))

    for _ in range(2):
        done = CliRunner().invoke(parley, ["retranscribe", "one", "--model", "whisper-base"], catch_exceptions=False)

    assert done.exit_code == 0
    assert word_error_rate(HANDS.words, done.stdout.partition(": ")[2]) <= 0.2
    (path,) = tmp_path.glob("sessions/*/one/manifest.json")
    manifest = json.loads(path.read_text())
    (transcript,) = manifest["transcripts"]
    finals = json.loads((tmp_path / transcript["key"]).read_text())["finals"]
    assert [final["text"] for final in manifest["finals"]] == [""]
    assert transcript["model"] == "whisper-base"
    assert [f["start"] for f in finals] == [0, *(f["end"] for f in finals[:-1])]
    assert finals[-1]["end"] == manifest["samples"] == len(HANDS.pcm) // 2
