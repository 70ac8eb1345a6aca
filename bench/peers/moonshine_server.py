"""Moonshine Voice's transcriber as a server: `PYTHONPATH=. python -m bench.peers.moonshine_server FOLDER base PORT`.

Its environment: `pip install moonshine-voice==0.1.0 websockets numpy`. The wheel holds the tiny English model; a folder
with the published base model (`parley models pull moonshine-base-en`) does as well.
"""

import sys

import numpy as np
from moonshine_voice import LineCompleted, LineTextChanged, ModelArch, Transcriber

from bench.peers.peer_sockets import Tell, run


class Session:
    """A stream of the shared transcriber; it transcribes within `feed`, twice a second as by default."""

    def __init__(self, transcriber: Transcriber, tell: Tell) -> None:
        self._tell = tell
        self._stream = transcriber.create_stream()
        self._stream.add_listener(self._happened)
        self._stream.start()

    def feed(self, pcm: bytes) -> None:
        self._stream.add_audio((np.frombuffer(pcm, "<i2").astype(np.float32) / 32768).tolist(), 16_000)

    def close(self) -> None:
        self._stream.stop()
        self._stream.close()

    def _happened(self, event: object) -> None:
        match event:
            case LineCompleted(line=line):
                self._tell("final", line.text, line.line_id)
            case LineTextChanged(line=line) if not line.is_complete:
                self._tell("realtime", line.text, line.line_id)


if __name__ == "__main__":
    folder, arch, port = sys.argv[1:]
    shared = Transcriber(folder, ModelArch[arch.upper()])
    run(lambda tell: Session(shared, tell), int(port))
