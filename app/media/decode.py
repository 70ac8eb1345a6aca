"""Audio files as the service's own PCM: 16 kHz mono PCM16."""

import io
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import anyio
from anyio import to_thread

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, AudioChunk
from app.domain.errors import ClientError, ClientFault
from app.media.decoder_process import Decoder
from app.media.plain_wav import read_plain_wav
from app.media.sandbox import LIMITS, DecodingLimits, decode_sandboxed

_TRUSTED_LONGEST_S = 1e6


def decode_trusted(file: Path | BinaryIO) -> Generator[bytes, None, None]:
    """PCM piece by piece of a file that this service has written or ships, decoded in this process. Blocking.

    Raises ClientError (`bad_audio`) where it cannot be read as audio.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            yield from decode_trusted(opened)
        return
    try:
        yield from Decoder(SAMPLE_RATE, least_rate=1, longest_s=_TRUSTED_LONGEST_S).pcm(file)
    except Exception as error:  # because the file alone decides what FFmpeg and its bindings raise
        words = getattr(error, "strerror", None) or error
        raise ClientError(ClientFault.BAD_AUDIO, f"cannot read the file as audio: {words}") from error


def decode(
    file: Path | BinaryIO,
    *,
    limits: DecodingLimits = LIMITS,
    on_warning: Callable[[str], None] = lambda _: None,
    on_length: Callable[[int], None] = lambda _: None,
) -> Generator[bytes, None, None]:
    """PCM piece by piece of a file of unknown origin, decoded in a process of its own. Blocking.

    `on_warning` gets a sentence where something damaged was skipped, `on_length` the number of samples that the
    container announces, before the first piece. One that announces more than the limit is refused there and then.
    Raises ClientError (`bad_audio`) and ProviderDown.
    """
    name = file.name if isinstance(file, Path) else "the upload"

    def announce(samples: int) -> None:
        on_length(samples)
        if samples > limits.longest_s * SAMPLE_RATE:
            hours = limits.longest_s / 3600
            raise ClientError(ClientFault.BAD_AUDIO, f"cannot read {name} as audio: it is longer than {hours:g} hours")

    with _real_file(file) as real:
        if (plain := read_plain_wav(real, on_length=announce)) is not None:
            yield from plain
        else:
            yield from decode_sandboxed(real, name, limits=limits, on_warning=on_warning, on_length=announce)


def _real_file(file: Path | BinaryIO) -> BinaryIO:
    """The file with a descriptor that a child process can inherit; to be closed by the caller."""
    if isinstance(file, Path):
        return file.open("rb")
    with suppress(OSError):  # what only looks like a file has no descriptor
        file.seek(0)
        return os.fdopen(os.dup(file.fileno()), "rb")
    copied = tempfile.TemporaryFile()  # noqa: SIM115 because the caller closes it
    file.seek(0)
    shutil.copyfileobj(file, copied)
    return copied


async def decode_chunks(
    file: Path | BinaryIO,
    *,
    limits: DecodingLimits = LIMITS,
    on_warning: Callable[[str], None] = lambda _: None,
    on_length: Callable[[int], None] = lambda _: None,
    threads: anyio.CapacityLimiter | None = None,
) -> AsyncGenerator[AudioChunk, None]:
    """What decode() gives, as chunks that follow each other from sample 0, decoded in a thread of `threads`."""
    pieces, at = decode(file, limits=limits, on_warning=on_warning, on_length=on_length), 0
    try:
        while (pcm := await to_thread.run_sync(next, pieces, None, limiter=threads)) is not None:
            chunk = AudioChunk(pcm, at)
            at = chunk.end
            yield chunk
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(pieces.close, limiter=threads)


def decode_exactly(blob: bytes, samples: int) -> bytes:
    """PCM of exactly so many samples: what a lossy codec adds at the end is cut, what it lacks is silence. Blocking."""
    pcm = b"".join(decode_trusted(io.BytesIO(blob)))
    return pcm[: samples * BYTES_PER_SAMPLE].ljust(samples * BYTES_PER_SAMPLE, b"\0")
