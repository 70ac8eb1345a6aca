"""Which engine transcribes uploaded recordings: one whose work waits for live speech."""

from app.assembly.service import local_batch_transcriber
from app.config import Settings
from app.policy.routes_file import LocalRoute, OpenAIRoute
from tests.fakes import ScriptedDetector


class LocalEngine:
    """An engine with a handle for recordings."""

    def __init__(self):
        self.batch = object()

    def for_batch(self):
        return self.batch


SETTINGS = Settings(transcription_model_id="whisper-base")


def test_uploads_use_the_local_engines_batch_priority():
    """Not the engine itself, whose work has the priority of a live final."""
    engine = LocalEngine()
    engines, tables = {"far": object(), "here": engine}, {"far": OpenAIRoute(), "here": LocalRoute()}

    found = local_batch_transcriber(SETTINGS, ScriptedDetector(), engines, tables, None)

    assert found.transcriber is engine.batch


def test_without_a_local_route_no_uploads_are_transcribed():
    """Recordings are only transcribed by the model in this process."""
    far = local_batch_transcriber(SETTINGS, ScriptedDetector(), {"far": object()}, {"far": OpenAIRoute()}, None)

    assert far is None
