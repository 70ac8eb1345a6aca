"""Open the recognizer for a model's folder, by what the folder holds."""

from pathlib import Path

from providers.local.asr.languages import is_moonshine
from providers.local.asr.moonshine.recognizer import open_moonshine_recognizer
from providers.local.asr.recognizer import Recognizer
from providers.local.asr.second_opinion import MIN_WORD_PROBABILITY, SecondOpinion
from providers.local.asr.whisper.recognizer import open_whisper_recognizer
from providers.local.thread_plan import ThreadPlan


def open_recognizer(
    model: Path,
    second_model: Path | None,
    *,
    device: str,
    compute_type: str,
    plan: ThreadPlan,
    encoder_path: str,
    second_opinion_below: float = MIN_WORD_PROBABILITY,
) -> Recognizer:
    """The model in this folder; with `second_model` beside one that knows English only. Blocking.

    Where a word is less probable than `second_opinion_below` the second model is asked, too. `encoder_path` is an
    EncoderPath or `auto`. Raises ModelUnavailable with what to do.
    """
    if not is_moonshine(model):
        return open_whisper_recognizer(
            model, device=device, compute_type=compute_type, plan=plan, encoder_path=encoder_path
        )
    first = open_moonshine_recognizer(model, threads=plan.graph_threads, encoder_path=encoder_path)
    if second_model is None:
        return first
    second = open_recognizer(
        second_model, None, device=device, compute_type=compute_type, plan=plan, encoder_path=encoder_path
    )
    return SecondOpinion(first, "en", second, second_opinion_below)
