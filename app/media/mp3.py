"""Packs spoken sound as MP3, for clients that want one file."""

import io

import av
import numpy as np

from app.domain.audio import SAMPLE_RATE


def encode_mp3(pcm: bytes, *, rate: int = SAMPLE_RATE, bitrate: int = 48_000) -> bytes:
    """Mono PCM16 as an MP3 file of the same length; no sound gives no bytes. Blocking."""
    if not pcm:
        return b""
    packed = io.BytesIO()
    with av.open(packed, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=rate, layout="mono", format="s16p")
        stream.bit_rate = bitrate
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2")[np.newaxis], format="s16p", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return packed.getvalue()
