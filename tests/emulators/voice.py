"""Text to speech for emulators: espeak-ng where it is installed, else a tone per word."""

import io
import shutil
import subprocess

import av
import numpy as np
import soxr


def speech(text: str, rate: int) -> bytes:
    """The text as 16-bit PCM."""
    return _espeak(text, rate) if shutil.which("espeak-ng") else _tones(text, rate)


def _espeak(text: str, rate: int) -> bytes:
    command = ["espeak-ng", "-v", "en-us", "--stdout", "--stdin"]
    wave = subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout
    spoken = np.frombuffer(wave[44 : 44 + (len(wave) - 44) // 2 * 2], np.int16)
    return soxr.resample(spoken, int.from_bytes(wave[24:28], "little"), rate).astype(np.int16).tobytes()


def _tones(text: str, rate: int) -> bytes:
    pause = np.zeros(rate // 25)
    tones = [
        np.concatenate((np.sin(np.arange(rate // 5) * 2 * np.pi * (220 + 40 * (n % 8)) / rate), pause))
        for n, _ in enumerate(text.split())
    ]
    return (np.concatenate(tones) * 9000).astype(np.int16).tobytes() if tones else b""


def mp3(pcm: bytes, rate: int) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=rate)
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, np.int16)[None, :], format="s16", layout="mono")
        frame.sample_rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return out.getvalue()
