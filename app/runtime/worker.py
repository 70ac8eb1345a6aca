"""What `parley worker` offers: one speech model, and the bounded queue in front of it."""

from dataclasses import dataclass, field

from app.domain.ports import SpeechDetector, Transcriber
from app.runtime.admission_queue import AdmissionQueue
from app.runtime.authentication import Authenticator, OpenAuthenticator
from app.runtime.jobs.audio_decoder import AudioDecoder


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
    authenticator: Authenticator = field(default_factory=OpenAuthenticator)
    """Who may use it."""
