"""The microphone and the loudspeaker of this machine, by PortAudio (extra `microphone`)."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from threading import Lock
from typing import Any

import anyio
from anyio.abc import ObjectReceiveStream
from anyio.streams.memory import MemoryObjectSendStream

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from app.domain.errors import SettingsError

BLOCK_MS = 40
MAX_WAITING_BLOCKS = 250
"""Ten seconds of speech wait for the network; what is spoken beyond that is lost, and said so at the end."""
MAX_WAITING_S = 120
"""Of a reply's audio; a longer reply is played up to there."""


def load_portaudio() -> Any:
    """The module `sounddevice`. Raises SettingsError with what to install."""
    try:
        import sounddevice  # noqa: PLC0415 because only this needs the extra
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"the microphone needs the package {error.name}: pip install -e '.[microphone]' (or give a file)"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"the microphone needs PortAudio: apt install libportaudio2, or brew install portaudio ({error})"
        ) from error
    return sounddevice


class Microphone:
    """What is spoken, as 16 kHz PCM16 in blocks of 40 ms, until Ctrl-C."""

    def __init__(self, blocks: ObjectReceiveStream[bytes]) -> None:
        self._blocks = blocks
        self.lost_blocks = 0

    async def packets(self) -> AsyncGenerator[bytes, None]:
        async for block in self._blocks:
            yield block


@asynccontextmanager
async def open_microphone(portaudio: Any, device: str | None = None) -> AsyncGenerator[Microphone, None]:
    """The device of this name or number, else the system's. Raises SettingsError where it cannot be opened."""
    sender, receiver = anyio.create_memory_object_stream[bytes](MAX_WAITING_BLOCKS)
    microphone = Microphone(receiver)

    def add(block: bytes) -> None:
        try:
            with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):  # it has ended meanwhile
                sender.send_nowait(block)
        except anyio.WouldBlock:
            microphone.lost_blocks += 1

    loop, blocksize = asyncio.get_running_loop(), SAMPLE_RATE * BLOCK_MS // 1000

    def on_block(block: Any, *_: object) -> None:  # in PortAudio's thread
        loop.call_soon_threadsafe(add, bytes(block))

    with sender, receiver:
        async with anyio.create_task_group() as tasks:
            with _opened(portaudio, portaudio.RawInputStream, device, blocksize=blocksize, callback=on_block):
                tasks.start_soon(_close_on_interruption, sender)
                yield microphone
                tasks.cancel_scope.cancel()


async def _close_on_interruption(sender: MemoryObjectSendStream[bytes]) -> None:
    """The first Ctrl-C ends what is spoken; the next one ends the program."""
    with anyio.open_signal_receiver(signal.SIGINT) as signals:
        async for _ in signals:
            sender.close()
            return


class Loudspeaker:
    """Plays PCM16 as it comes."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._played_bytes = 0
        self._lock = Lock()

    def play(self, pcm: bytes) -> None:
        with self._lock:
            room = MAX_WAITING_S * SAMPLE_RATE * BYTES_PER_SAMPLE - len(self._waiting)
            self._waiting += pcm[: max(0, room)]

    def begin(self) -> None:
        """A new reply: counting begins again; what is left of the one before is played to its end first."""
        with self._lock:
            self._played_bytes = -len(self._waiting)

    def stop(self) -> int:
        """Nothing more of this reply; the samples of it that have been played."""
        with self._lock:
            self._waiting.clear()
            return max(0, self._played_bytes) // BYTES_PER_SAMPLE

    @property
    def waiting_s(self) -> float:
        with self._lock:
            return len(self._waiting) / BYTES_PER_SAMPLE / SAMPLE_RATE

    def fill(self, block: Any, *_: object) -> None:
        """PortAudio's callback, in its thread: what is to be played next, and silence behind it."""
        with self._lock:
            pcm = bytes(self._waiting[: len(block)])
            del self._waiting[: len(block)]
            self._played_bytes += len(pcm)
        block[:] = pcm + bytes(len(block) - len(pcm))


@contextmanager
def open_loudspeaker(portaudio: Any, device: str | None = None) -> Iterator[Loudspeaker]:
    """The device of this name or number, else the system's. Raises SettingsError where it cannot be opened."""
    loudspeaker = Loudspeaker()
    with _opened(portaudio, portaudio.RawOutputStream, device, callback=loudspeaker.fill):
        yield loudspeaker


@contextmanager
def _opened(portaudio: Any, stream: Any, device: str | None, **options: Any) -> Iterator[None]:
    chosen = int(device) if device is not None and device.isdecimal() else device
    try:
        opened = stream(samplerate=SAMPLE_RATE, channels=1, dtype="int16", device=chosen, **options)
        opened.start()
    except (portaudio.PortAudioError, ValueError) as error:
        named = "" if device is None else f" {device!r}"
        raise SettingsError(
            f"the audio device{named} cannot be opened: {error}; there are:\n{portaudio.query_devices()}"
        ) from error
    try:
        yield
    finally:
        opened.close()
