"""Decode untrusted audio in a child process with limits: no new file descriptors, bounded memory, CPU and length."""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from app.domain.audio import SAMPLE_RATE
from app.domain.errors import ClientError, ClientFault, ProviderDown

_PROGRAM = Path(__file__).with_name("decoder_process.py")
_HEADER = 5


@dataclass(frozen=True, slots=True)
class DecodingLimits:
    """What one file may cost."""

    longest_s: float = 4 * 3600.0
    """Seconds of audio; a longer file is refused."""
    least_rate: int = 4_000
    """Samples per second; speech below is not intelligible, and one byte must not become a second of audio."""
    memory: int = 2 << 30
    """Bytes of address space of the child."""
    cpu_s: int = 900
    stall_s: float = 30.0
    """Seconds without a byte of output before the child is killed."""


LIMITS = DecodingLimits()


def decode_sandboxed(
    file: BinaryIO,
    name: str,
    *,
    limits: DecodingLimits,
    on_warning: Callable[[str], None],
    on_length: Callable[[int], None],
) -> Generator[bytes, None, None]:
    """The file as 16 kHz mono PCM16, piece by piece. Blocking; `file` is a real file (it has a descriptor).

    `on_warning` gets a sentence where something damaged was skipped, `on_length` the announced number of samples.
    Raises ClientError (`bad_audio`) where the file is no audio, is refused, or exceeds a limit; ProviderDown where no
    process can be started.
    """
    options = {
        "rate": SAMPLE_RATE,
        "least_rate": limits.least_rate,
        "longest_s": limits.longest_s,
        "memory": limits.memory,
        "cpu_s": limits.cpu_s,
    }
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # because seek() only moves within what is buffered here
    try:
        child = subprocess.Popen(  # noqa: S603 because program and arguments are ours
            [sys.executable, "-I", str(_PROGRAM), json.dumps(options)],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            bufsize=0,
        )
    except OSError as error:
        raise ProviderDown("decoder", f"cannot start: {error.strerror}") from error
    assert child.stdout is not None
    try:
        with selectors.DefaultSelector() as output:
            output.register(child.stdout, selectors.EVENT_READ)
            reader = _Records(child.stdout, output, limits.stall_s, name)
            while True:
                match reader.next():
                    case b"A", pcm:
                        yield pcm
                    case b"W", words:
                        on_warning(words.decode())
                    case b"L", number:
                        on_length(int(number))
                    case b"E", words:
                        raise ClientError(ClientFault.BAD_AUDIO, f"cannot read {name} as audio: {words.decode()}")
                    case _:
                        return
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


@dataclass(frozen=True, slots=True)
class _Records:
    """The records that the child writes."""

    stream: IO[bytes]
    output: selectors.BaseSelector
    stall_s: float
    name: str

    def next(self) -> tuple[bytes, bytes]:
        header = self._exactly(_HEADER)
        return header[:1], self._exactly(int.from_bytes(header[1:], "little"))

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            ready = self.output.select(self.stall_s)
            piece = self.stream.read(size - len(data)) if ready else b""
            if not piece:
                reason = "it needs too much memory or time" if ready else "it takes too long"
                raise ClientError(ClientFault.BAD_AUDIO, f"cannot read {self.name} as audio: {reason}")
            data += piece
        return bytes(data)
