"""Any audio file as the service's own PCM: 16 kHz mono PCM16."""

import io
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import BinaryIO

import anyio
import av
from anyio import to_thread

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE, AudioChunk
from app.domain.errors import ClientError, ClientFault


def decode(file: Path | BinaryIO) -> Generator[bytes, None, None]:
    """PCM piece by piece, from whatever FFmpeg reads. Blocking.

    Raises ClientError (`bad_audio`) where the file cannot be read as audio, in the middle too.
    """
    name = str(file) if isinstance(file, Path) else "the upload"
    try:
        yield from _resampled(str(file) if isinstance(file, Path) else file, name)
    except ClientError:
        raise
    except Exception as error:  # because the file alone decides what FFmpeg and its bindings raise
        words = getattr(error, "strerror", None) or error
        raise ClientError(ClientFault.BAD_AUDIO, f"cannot read {name} as audio: {words}") from error


def _resampled(source: str | BinaryIO, name: str) -> Generator[bytes, None, None]:
    # tags are not used, and may be in any encoding
    with av.open(source, "r", metadata_errors="ignore") as container:
        if not container.streams.audio:
            raise ClientError(ClientFault.BAD_AUDIO, f"{name} has no audio in it")
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                yield piece.to_ndarray().tobytes()
        for piece in resampler.resample(None):
            yield piece.to_ndarray().tobytes()


async def decode_chunks(file: Path | BinaryIO) -> AsyncGenerator[AudioChunk, None]:
    """The file as chunks that follow each other from sample 0, decoded in a thread. Raises ClientError."""
    pieces, at = decode(file), 0
    try:
        while (pcm := await to_thread.run_sync(next, pieces, None)) is not None:
            chunk = AudioChunk(pcm, at)
            at = chunk.end
            yield chunk
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(pieces.close)


def decode_exactly(blob: bytes, samples: int) -> bytes:
    """PCM of exactly so many samples: what a lossy codec adds at the end is cut, what it lacks is silence. Blocking."""
    pcm = b"".join(decode(io.BytesIO(blob)))
    return pcm[: samples * BYTES_PER_SAMPLE].ljust(samples * BYTES_PER_SAMPLE, b"\0")
