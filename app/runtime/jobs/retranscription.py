"""Transcribes an archived recording again with another model; the first transcript stays."""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime

import msgspec

from app.domain.audio import AudioChunk
from app.domain.errors import SettingsError
from app.domain.recording.manifest import ArchivedFinal, ArchivedTranscript, Manifest, archived_words, tile
from app.runtime.jobs.batch_transcription import BatchTranscriber
from app.runtime.recording.recording_store import RecordingStore


async def retranscribe(
    recordings: RecordingStore,
    manifest: Manifest,
    batch_transcriber: BatchTranscriber,
    *,
    now: datetime,
    on_progress: Callable[[int], None],
    key_terms: Sequence[str] = (),
) -> tuple[ArchivedFinal, ...]:
    """The new finals, stored under `transcripts/` beside the manifest, which names them from then on.

    `on_progress` is called with the number of samples that have been read. The same model's older
    transcript is replaced. Raises SettingsError while the session is live, and what RecordingStore raises.
    """
    if manifest.is_live:
        raise SettingsError(f"{manifest.session} is not over yet")
    async with (
        aclosing(_audio(recordings, manifest, on_progress)) as audio,
        aclosing(batch_transcriber.transcribe(audio, key_terms=key_terms)) as found,
    ):
        transcribed = [segment async for segment in found]
    finals = tile(
        (
            ArchivedFinal(
                s.start,
                s.end,
                s.text,
                utterance=number,
                speech=(s.start, s.end),
                language=s.language,
                words=archived_words(s.words),
                speaker=s.speaker,
            )
            for number, s in enumerate(transcribed, 1)
        ),
        manifest.samples,
    )
    folder = await recordings.folder(manifest.session)
    key = f"{folder}/transcripts/{re.sub(r'[^A-Za-z0-9._-]+', '-', batch_transcriber.model)}.json"
    transcript = ArchivedTranscript(key, batch_transcriber.model, now.isoformat(timespec="milliseconds"))
    content = {"model": transcript.model, "made": transcript.made, "finals": finals}
    blob = msgspec.json.format(msgspec.json.encode(content))
    await recordings.store.put(key, blob, content_type="application/json")
    others = tuple(older for older in manifest.transcripts if older.key != key)
    await recordings.put_manifest(replace(manifest, transcripts=(*others, transcript)))
    return finals


async def _audio(
    recordings: RecordingStore, manifest: Manifest, on_progress: Callable[[int], None]
) -> AsyncGenerator[AudioChunk, None]:
    at = 0
    async with aclosing(recordings.read_pcm(manifest)) as pieces:
        async for pcm in pieces:
            chunk = AudioChunk(pcm, at)
            at = chunk.end
            yield chunk
            on_progress(at)
