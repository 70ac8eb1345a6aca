"""The child process that decodes one untrusted audio file: it can open nothing, and holds no secrets.

`app.media.sandbox` runs it as `python -I decoder_process.py LIMITS` with the file on standard input. It imports
PyAV and the standard library only, then gives up the right to open file descriptors and limits its memory and CPU
time. It writes records to standard output: one byte of kind, four bytes of little-endian length, the payload.

    A  PCM16 mono at LIMITS["rate"]    L  announced length in samples, decimal
    W  a warning, UTF-8                E  why the file is refused, UTF-8           Z  the end
"""

import io
import json
import os
import pkgutil
import resource
import struct
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np

FORMATS = "wav,w64,flac,mp3,ogg,matroska,webm,mov,mp4,m4a,3gp,aac,aiff,caf,amr,au,asf,avi,mpegts,mpeg"
"""Demuxers that read one file and nothing else. Playlists (hls, dash, concat, sdp) are none of them."""

GAP_S = 0.1
"""A hole in the time stamps that is longer than this is filled with silence."""
LONGEST_GAP_S = 600.0
"""A longer one is an error in the time stamps, and is closed."""
MOST_FAULTS = 500
"""Packets in a row that cannot be read or decoded before the file is given up."""
MOST_STREAMS = 64
USUAL_DESCRIPTORS = 16
"""The bound where the system does not list them."""
NATIVE_CHANNELS = 8
"""FFmpeg knows how to mix so many down; more are averaged here."""


class Refused(Exception):
    """This file is not decoded; the message is for the person who sent it."""


class Decoder:
    def __init__(self, rate: int, least_rate: int, longest_s: float) -> None:
        self.rate, self.least_rate, self.longest = rate, least_rate, round(longest_s * rate)
        self.written = 0
        self.faults = 0
        self.announced: int | None = None
        """Samples, by the container's own word."""
        self._resampler: av.AudioResampler | None = None
        self._shape: tuple[Any, ...] | None = None

    def pcm(self, source: BinaryIO) -> Iterator[bytes]:
        for part in ogg_links(source):
            for pcm in self._container(part):
                self.written += len(pcm) // 2
                if self.written > self.longest:
                    raise Refused(f"it is longer than {self.longest / self.rate / 3600:g} hours")
                yield pcm

    def _container(self, source: BinaryIO) -> Iterator[bytes]:
        options = {"format_whitelist": FORMATS}
        with av.open(source, "r", options=options, metadata_errors="ignore", io_open=refuse_to_open) as container:
            if len(container.streams) > MOST_STREAMS:
                raise Refused("too many streams")
            if not container.streams.audio:
                raise Refused("it has no audio in it")
            stream = container.streams.audio[0]
            self._check(stream.codec_context.sample_rate)
            if container.duration is not None:
                self.announced = container.duration * self.rate // av.time_base
            start_s = (container.start_time or 0) / av.time_base
            began = self.written
            for frame in self._frames(container, stream):
                self._check(frame.sample_rate)
                if frame.time is not None and not self._shape_changes(frame):
                    gap_s = frame.time - start_s - (self.written - began) / self.rate
                    if GAP_S < gap_s <= LONGEST_GAP_S:
                        yield from self._flush()
                        yield from self._silence(frame.time - start_s - (self.written - began) / self.rate)
                yield from self._resample(frame)
            yield from self._flush()

    def _frames(self, container: Any, stream: Any) -> Iterator[Any]:
        """Every frame that can be decoded; what cannot be read or decoded is skipped and counted."""
        packets, faults_in_a_row = container.demux(stream), 0
        while faults_in_a_row <= MOST_FAULTS:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError):
                self.faults += 1
                faults_in_a_row += 1
                packets = container.demux(stream)  # a generator that raised is over
            else:
                faults_in_a_row = 0 if frames else faults_in_a_row
                yield from frames

    def _check(self, rate: int) -> None:
        if rate and rate < self.least_rate:
            raise Refused(f"its sample rate is {rate} Hz; at least {self.least_rate} Hz is needed")

    # -- to one rate, one channel ---------------------------------------------------

    def _shape_changes(self, frame: Any) -> bool:
        return self._shape is not None and self._shape != shape_of(frame)

    def _resample(self, frame: Any) -> Iterator[bytes]:
        if self._shape != shape_of(frame):
            yield from self._flush()
            self._shape = shape_of(frame)
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=self.rate)
        if len(frame.layout.channels) > NATIVE_CHANNELS:
            frame = averaged(frame)
        frame.pts = None
        for piece in self._resampler.resample(frame):  # type: ignore[union-attr]
            yield piece.to_ndarray().tobytes()

    def _flush(self) -> Iterator[bytes]:
        if self._resampler is not None:
            try:
                for piece in self._resampler.resample(None):
                    yield piece.to_ndarray().tobytes()
            except (av.error.FFmpegError, ValueError):
                self.faults += 1
            self._resampler, self._shape = None, None

    def _silence(self, seconds: float) -> Iterator[bytes]:
        left = round(seconds * self.rate)
        while left > 0:
            piece = min(left, self.rate)
            yield bytes(2 * piece)
            left -= piece


def shape_of(frame: Any) -> tuple[Any, ...]:
    return frame.format.name, frame.layout.name, len(frame.layout.channels), frame.sample_rate


def averaged(frame: Any) -> Any:
    """The mean of all channels, as a mono frame of floats."""
    channels = len(frame.layout.channels)
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, channels).T
    if samples.dtype.kind in "iu":
        info = np.iinfo(samples.dtype)
        middle = (info.max + info.min + 1) / 2 if samples.dtype.kind == "u" else 0
        samples = (samples.astype(np.float32) - middle) / (info.max - middle)
    mixed = samples.astype(np.float32).mean(axis=0, keepdims=True)
    out = av.AudioFrame.from_ndarray(np.ascontiguousarray(mixed), format="fltp", layout="mono")
    out.sample_rate = frame.sample_rate
    return out


def ogg_links(source: BinaryIO) -> list[Any]:
    """The links of a chained Ogg file, each as a file; any other file as it is.

    A new link begins at a page with the flag "beginning of stream" behind one without it (RFC 3533).
    """
    head = source.read(4)
    source.seek(0)
    if head != b"OggS":
        return [source]
    starts, at, inside = [0], 0, False
    size = source.seek(0, os.SEEK_END)
    while at + 27 <= size:
        source.seek(at)
        page = source.read(27)
        if page[:4] != b"OggS":
            break
        table = source.read(page[26])
        first = bool(page[5] & 2)
        if first and inside:
            starts.append(at)
        inside = not first
        at += 27 + len(table) + sum(table)
    source.seek(0)
    if len(starts) == 1:
        return [source]
    return [Part(source, start, end) for start, end in zip(starts, [*starts[1:], size], strict=True)]


class Part(io.RawIOBase):
    """The bytes from start to end of a file, as a file."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file, self._start, self._end, self._at = file, start, end, start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._at
        self._file.seek(self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        self._at = max(self._start, base + offset)
        return self._at - self._start

    def tell(self) -> int:
        return self._at - self._start


def refuse_to_open(*_: object) -> object:
    raise PermissionError("one file is decoded, and no other opened")


def import_everything() -> None:
    """PyAV imports parts of itself when it first needs them, which is too late once no file may be opened."""
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            import_module(module.name)


def drop_privileges(memory: int, cpu_s: int) -> None:
    """No new file descriptor, no file written; `memory` bytes of address space, `cpu_s` seconds of CPU."""
    listing = Path("/proc/self/fd")
    highest = max(int(fd.name) for fd in listing.iterdir()) if listing.is_dir() else USUAL_DESCRIPTORS
    for limit, value in (
        (resource.RLIMIT_NOFILE, highest),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu_s),
    ):
        resource.setrlimit(limit, (value, value))


def main() -> None:
    limits = json.loads(sys.argv[1])
    out = sys.stdout.buffer

    def send(kind: bytes, payload: bytes = b"") -> None:
        out.write(kind + struct.pack("<I", len(payload)) + payload)

    import_everything()
    av.logging.set_level(av.logging.PANIC)
    drop_privileges(limits["memory"], limits["cpu_s"])
    decoder = Decoder(limits["rate"], limits["least_rate"], limits["longest_s"])
    try:
        for pcm in decoder.pcm(sys.stdin.buffer):
            if decoder.announced is not None:
                send(b"L", str(decoder.announced).encode())
                decoder.announced = None
            send(b"A", pcm)
    except Refused as error:
        send(b"E", str(error).encode())
    except Exception as error:  # noqa: BLE001 because the file alone decides what FFmpeg and its bindings raise
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        send(b"E", words.encode(errors="replace"))
    else:
        if not decoder.written:
            send(b"E", b"nothing in it could be decoded")
        elif decoder.faults:
            number = decoder.faults
            send(b"W", f"{number} damaged {'piece was' if number == 1 else 'pieces were'} skipped".encode())
        send(b"Z")
    out.flush()


if __name__ == "__main__":
    main()
