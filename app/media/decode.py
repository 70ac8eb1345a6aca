"""Any audio file as the service's own PCM."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import av

from app.domain.audio import SAMPLE_RATE
from app.domain.errors import ClientError, ClientFault


def decode(file: Path | BinaryIO) -> Iterator[bytes]:
    """16 kHz mono PCM16, piece by piece, from whatever FFmpeg reads.

    Raises ClientError where the file cannot be read as audio.
    """
    name = str(file) if isinstance(file, Path) else "the upload"
    try:
        with av.open(str(file) if isinstance(file, Path) else file, "r") as container:
            if not container.streams.audio:
                raise ClientError(ClientFault.BAD_AUDIO, f"{name} has no audio in it")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            for frame in container.decode(audio=0):
                for piece in resampler.resample(frame):
                    yield piece.to_ndarray().tobytes()
            for piece in resampler.resample(None):
                yield piece.to_ndarray().tobytes()
    except (av.FFmpegError, FileNotFoundError) as error:
        raise ClientError(ClientFault.BAD_AUDIO, f"cannot read {name} as audio: {error.strerror or error}") from error
