"""A browser whose fake microphone plays a recording."""

import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import av
import numpy as np
import soxr

from tests.strict import missing

try:
    from playwright.async_api import Browser, Page, async_playwright, expect
except ImportError:
    missing("the package playwright")

__all__ = ["LEAD_SECONDS", "Browser", "Page", "expect", "open_browser", "write_microphone"]

SPEECH = Path(__file__).parent / "recordings" / "fellow-americans.flac"
MICROPHONE_RATE = 48_000
LEAD_SECONDS = 1.0
"""Silence in front, because the recording starts before the page listens."""


def write_microphone(path: Path, speech: Path = SPEECH) -> Path:
    """The speech as the only kind of file Chromium takes for a microphone: 16-bit WAV, here 48 kHz mono."""
    with av.open(str(speech)) as container:
        stream = container.streams.audio[0]
        to_mono = av.AudioResampler(format="s16", layout="mono")
        frames = [piece for frame in container.decode(stream) for piece in to_mono.resample(frame)]
        samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
        voice = soxr.resample(samples, stream.rate, MICROPHONE_RATE)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(MICROPHONE_RATE)
        out.writeframes(bytes(2 * int(MICROPHONE_RATE * LEAD_SECONDS)) + voice.astype("<i2").tobytes())
    return path


@asynccontextmanager
async def open_browser(microphone: Path) -> AsyncIterator[Browser]:
    """Chromium, its microphone fed from the file (an absolute path), once from its start at each getUserMedia."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        missing("Chromium (a program `chromium` on the path)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",  # because containers run tests as root
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={microphone}%noloop",
            ],
        )
        try:
            yield browser
        finally:
            await browser.close()
