"""Stands for the package `sounddevice`: the microphone says what is in a file, the loudspeaker writes to another.

FAKE_MICROPHONE: PCM16, 16 kHz, spoken at its own pace and followed by silence; absent: PortAudio is missing.
FAKE_LOUDSPEAKER: gets what was played, silence left out.
"""

import os
import threading
from pathlib import Path

BLOCK_BYTES, BLOCK_S = 1280, 0.04

if "FAKE_MICROPHONE" not in os.environ:
    raise OSError("PortAudio library not found")


class PortAudioError(Exception):
    pass


def query_devices() -> str:
    return "  0 Fake microphone, Fake API (1 in, 0 out)"


class _Stream:
    def __init__(self, *, samplerate, channels, dtype, device, callback, blocksize=0):
        if device not in (None, 0):
            raise ValueError(f"No input device matching {device!r}")
        assert (samplerate, channels, dtype) == (16_000, 1, "int16")
        self.callback = callback
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()

    def close(self):
        self.closed.set()
        self.thread.join()


class RawInputStream(_Stream):
    def run(self):
        pcm = Path(os.environ["FAKE_MICROPHONE"]).read_bytes()
        while not self.closed.wait(BLOCK_S):
            block, pcm = pcm[:BLOCK_BYTES], pcm[BLOCK_BYTES:]
            self.callback(memoryview(block.ljust(BLOCK_BYTES, b"\0")), 640, None, None)


class RawOutputStream(_Stream):
    def run(self):
        with Path(os.environ["FAKE_LOUDSPEAKER"]).open("wb") as played:
            while not self.closed.wait(BLOCK_S):
                block = bytearray(b"\1" * BLOCK_BYTES)
                self.callback(memoryview(block), 640, None, None)
                if any(block):
                    played.write(block)
                    played.flush()
