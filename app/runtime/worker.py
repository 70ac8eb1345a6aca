"""What `parley worker` offers: one speech model, and the bounded queue in front of it."""

from dataclasses import dataclass, field

from app.domain.ports import SpeechDetector, Transcriber
from app.runtime.admission_queue import AdmissionQueue
from app.runtime.authentication import Authenticator, OpenAuthenticator
from app.runtime.held_bytes import HeldBytes
from app.runtime.jobs.audio_decoder import AudioDecoder

MAX_HELD_BYTES = 256 << 20
"""Ten files of OpenAI's limit: one at work and eight that wait, as the queue is by default, and one that comes."""


@dataclass(frozen=True, slots=True)
class Worker:
    """The open engines of one worker process."""

    model: str
    """Its name, for clients."""
    transcriber: Transcriber
    batch_transcriber: Transcriber
    """For recordings longer than an utterance: its work waits for that of `transcriber`."""

    detector: SpeechDetector
    queue: AdmissionQueue
    language: str | None = None
    """Of requests that do not say; None: the model detects it."""
    decoder: AudioDecoder = field(default_factory=AudioDecoder)
    held: HeldBytes = field(default_factory=lambda: HeldBytes("worker", MAX_HELD_BYTES))
    """Of forms that are being received, wait or are transcribed."""
    authenticator: Authenticator = field(default_factory=OpenAuthenticator)
    """Who may use it."""
