"""Bare audio in, whole replies out: the protocol of the earlier server on port 8765.

Binary frames are 16 kHz mono PCM16; text frames mean nothing. The only message is `server_response` with the reply's
text and its audio as base64 of an MP3, after the turn has ended with three seconds of silence. Drafts, finals and
errors are not sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anyio import to_thread

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.turn_mode import TurnMode
from app.media.encode import encode_mp3
from app.media.resampling import Resampler
from app.runtime.dialog.session import Incoming
from app.web.parley import messages
from app.web.parley.packets import check_pcm


@dataclass(slots=True)
class BareAudio:
    """The FrameProtocol."""

    is_over: bool = False
    _resampler: Resampler = field(default_factory=Resampler)
    _half_sample: bytes = b""
    _replies: dict[int, bytearray] = field(default_factory=dict)

    def begin(self) -> Sequence[Incoming]:
        return [ev.ClientConfigured(turns=TurnMode.SILENCE)]

    def greeting(self) -> Sequence[bytes]:
        return []

    def receive(self, frame: Mapping[str, Any]) -> Sequence[Incoming]:
        """A frame that ends within a sample is continued by the next. Raises ClientError."""
        pcm = self._half_sample + (frame.get("bytes") or b"")
        whole = len(pcm) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE
        self._half_sample = pcm[whole:]
        return self._resampler.push(check_pcm(pcm[:whole]), SAMPLE_RATE) if whole else []

    def finish(self) -> Sequence[Incoming]:
        return self._resampler.flush()

    async def messages(self, shown: object) -> Sequence[bytes]:
        match shown:
            case do.PlayAudio(turn, chunk):
                self._replies.setdefault(turn, bytearray()).extend(chunk.pcm)
            case do.ShowReplyCancelled(turn) | do.StopPlayback(turn):
                self._replies.pop(turn, None)
            case do.ShowReply(turn, text):
                mp3 = await to_thread.run_sync(encode_mp3, bytes(self._replies.pop(turn, b"")))
                return [messages.encode(messages.server_response(turn, text, mp3))]
            case _:
                pass
        return []
