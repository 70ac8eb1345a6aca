"""Every SpeechDetector, opened for its contract; the names are the registry's."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from app.domain.ports import SpeechDetector
from providers.local.vad.silero import open_silero_vad
from providers.local.vad.webrtc import open_webrtc_vad

DETECTOR_CASES: dict[str, Callable[[], AbstractAsyncContextManager[SpeechDetector]]] = {
    "silero": open_silero_vad,
    "webrtc": open_webrtc_vad,
}
