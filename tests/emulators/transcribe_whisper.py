"""Recogniser of the Transcribe emulator that uses a local Whisper model."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np
from faster_whisper import WhisperModel

from tests.emulators.transcribe_words import Json, RecognisedWord, result

_RATE = 16_000
_BLOCK_BYTES = _RATE // 20 * 2
"""Taken at a time, however the audio was cut in transit, so that the same audio has the same words."""

_LEAD_BYTES = 4 * _BLOCK_BYTES
"""Silence kept in front of speech; how much more there was depends on the client's timing."""

_LOUD = 300
_PAUSE_MS = 300
"""A pause after which the segment is transcribed,"""

_SEGMENT_PAUSE_MS = 800
"""and one after which the segment is final."""


class WhisperRecogniser:
    """Transcribes a segment whenever its speaker pauses; its words are stable until more speech follows."""

    def __init__(self, model: WhisperModel, rate: int, locale: str) -> None:
        assert rate == _RATE, "the model takes 16 kHz"
        self._model = model
        self._locale = locale
        self._pending = bytearray()
        self._pcm = bytearray()
        self._start_ms = 0
        self._quiet_ms = 0
        self._is_new = False
        self._has_sound = False
        self._words: list[RecognisedWord] = []
        self._id = str(uuid4())

    async def push(self, pcm: bytes) -> Sequence[Json]:
        self._pending += pcm
        results: list[Json] = []
        while len(self._pending) >= _BLOCK_BYTES:
            block = bytes(self._pending[:_BLOCK_BYTES])
            del self._pending[:_BLOCK_BYTES]
            results += await self._push_block(block)
        return results

    async def _push_block(self, pcm: bytes) -> list[Json]:
        self._pcm += pcm
        if np.abs(np.frombuffer(pcm, np.int16).astype(np.int32)).max(initial=0) >= _LOUD:
            self._quiet_ms, self._is_new, self._has_sound = 0, True, True
            return []
        self._trim_lead()
        self._quiet_ms += len(pcm) * 1000 // (2 * _RATE)
        if self._is_new and self._quiet_ms >= _PAUSE_MS:
            await self._transcribe()
        results = [self._result(is_partial=True)] if self._words and not self._is_new else []
        if self._has_sound and self._quiet_ms >= _SEGMENT_PAUSE_MS:
            results += self._close_segment()
        return results

    def _trim_lead(self) -> None:
        surplus = len(self._pcm) - _LEAD_BYTES
        if not self._has_sound and surplus > 0:
            del self._pcm[:surplus]
            self._start_ms += surplus * 1000 // (2 * _RATE)

    async def finish(self) -> Sequence[Json]:
        self._pcm += self._pending
        if self._is_new:
            await self._transcribe()
        return self._close_segment()

    async def _transcribe(self) -> None:
        self._is_new = False
        audio = np.frombuffer(bytes(self._pcm), np.int16).astype(np.float32) / 32768
        self._words = await asyncio.to_thread(partial(self._decode, audio))

    def _decode(self, audio: "np.ndarray") -> list[RecognisedWord]:
        segments, _ = self._model.transcribe(
            audio,
            language=self._locale[:2],
            beam_size=1,
            word_timestamps=True,
            condition_on_previous_text=False,
        )
        return [
            RecognisedWord(
                word.word.strip(),
                self._start_ms + round(word.start * 1000),
                self._start_ms + round(word.end * 1000),
                is_stable=True,
            )
            for segment in segments
            for word in segment.words or ()
        ]

    def _close_segment(self) -> list[Json]:
        closed = [self._result(is_partial=False)] if self._words else []
        self._start_ms = self._now_ms
        self._pcm.clear()
        self._words, self._has_sound, self._id = [], False, str(uuid4())
        return closed

    @property
    def _now_ms(self) -> int:
        return self._start_ms + len(self._pcm) * 1000 // (2 * _RATE)

    def _result(self, *, is_partial: bool) -> Json:
        return result(self._words, id=self._id, is_partial=is_partial, end_ms=self._now_ms, locale=self._locale)


def load_whisper(folder: Path) -> WhisperModel:
    return WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=2)
