"""An old recording, written down once more by another model; what the first one wrote stays."""

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime

import msgspec

from app.domain.audio import AudioChunk
from app.domain.errors import SettingsError
from app.domain.recording.manifest import ArchivedFinal, ArchivedTranscript, Manifest, tile
from app.runtime.jobs.batch_transcription import transcribe_recording
from app.runtime.jobs.upload import BatchTranscriber
from app.runtime.recording.recording_store import RecordingStore
from app.runtime.recording.session_upload import write_manifest


async def retranscribe(
    library: RecordingStore,
    manifest: Manifest,
    scribe: BatchTranscriber,
    *,
    now: datetime,
    reached: Callable[[int], None],
) -> tuple[ArchivedFinal, ...]:
    """The new finals, stored under `transcripts/` beside the manifest that names them.

    `reached` is told how many samples have been read. The same model's older transcript is
    replaced. Raises SettingsError while the session is still going on.
    """
    if manifest.is_live:
        raise SettingsError(f"{manifest.session} is not over yet")
    async with aclosing(_audio(library, manifest, reached)) as audio:
        segments = transcribe_recording(
            audio, detector=scribe.detector, transcriber=scribe.transcriber, language=scribe.language
        )
        async with aclosing(segments) as found:
            heard = [segment async for segment in found]
    finals = tile(
        (
            ArchivedFinal(s.start, s.end, s.text, utterance=number, speech=(s.start, s.end), language=s.language)
            for number, s in enumerate(heard, 1)
        ),
        manifest.samples,
    )
    folder = await library.folder(manifest.session)
    key = f"{folder}/transcripts/{re.sub(r'[^A-Za-z0-9._-]+', '-', scribe.model)}.json"
    made = ArchivedTranscript(key, scribe.model, now.isoformat(timespec="milliseconds"))
    written = msgspec.json.format(msgspec.json.encode({"model": made.model, "made": made.made, "finals": finals}))
    await library.store.put(key, written, content_type="application/json")
    others = tuple(transcript for transcript in manifest.transcripts if transcript.key != key)
    await write_manifest(library.store, folder, replace(manifest, transcripts=(*others, made)))
    return finals


async def _audio(
    library: RecordingStore, manifest: Manifest, reached: Callable[[int], None]
) -> AsyncGenerator[AudioChunk, None]:
    at = 0
    async with aclosing(library.read_pcm(manifest)) as pieces:
        async for pcm in pieces:
            chunk = AudioChunk(pcm, at)
            at = chunk.end
            yield chunk
            reached(at)
