"""AudioDecoder: decodes files of unknown origin within limits, a bounded number of them at once."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import anyio

from app.domain.audio import AudioChunk
from app.media.decode import decode_chunks
from app.media.sandbox import LIMITS, DecodingLimits
from app.runtime.admission_queue import AdmissionQueue
from app.runtime.clock import SystemClock

CONCURRENT_DECODERS, WAITING_DECODERS = 4, 8
"""Processes at once, and files that may wait for one; a decoder waits for whoever transcribes what it decodes."""


@dataclass(frozen=True, slots=True)
class AudioDecoder:
    limits: DecodingLimits = LIMITS
    queue: AdmissionQueue = field(
        default_factory=lambda: AdmissionQueue("decoder", SystemClock(), CONCURRENT_DECODERS, WAITING_DECODERS)
    )
    _threads: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(CONCURRENT_DECODERS))

    async def decode(
        self,
        file: Path | BinaryIO,
        *,
        on_warning: Callable[[str], None] = lambda _: None,
        on_length: Callable[[int], None] = lambda _: None,
    ) -> AsyncGenerator[AudioChunk, None]:
        """The file's audio as chunks of at most a second, that follow each other from sample 0.

        `on_warning` gets a sentence where something damaged was skipped, `on_length` the announced number of samples.
        Raises ClientError (`bad_audio`), ProviderDown; ProviderBusy where too many files wait already.
        """
        async with (
            self.queue.slot(),
            aclosing(
                decode_chunks(
                    file, limits=self.limits, on_warning=on_warning, on_length=on_length, threads=self._threads
                )
            ) as chunks,
        ):
            async for chunk in chunks:
                yield chunk
