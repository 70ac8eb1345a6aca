"""The engines that hear: the speech models, the detector, and the device they run on."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from anyio import to_thread

from app import registry
from app.config import Settings
from app.domain.capacity import capacity
from app.domain.errors import SettingsError
from app.domain.ports import SpeechDetector, TurnDetector
from app.media.decode import decode_trusted
from app.models.resolve import resolve, resolve_file
from app.runtime.clock import SystemClock
from app.runtime.jobs.batch_transcription import BatchTranscriber
from app.runtime.speech_capacity import SpeechCapacity, SpeechModel
from app.runtime.worker import AdmissionQueue, Worker

_CLIP = Path(__file__).parents[1] / "runtime" / "probe.flac"
"""John F. Kennedy, 1961: "ask what you can do for your country". Public domain."""


async def spoken_clip() -> bytes:
    """Speech of nobody who uses this service, for probes and the self-test; 16 kHz PCM."""
    return b"".join(await to_thread.run_sync(lambda: list(decode_trusted(_CLIP))))


@asynccontextmanager
async def open_batch_transcriber(settings: Settings) -> AsyncGenerator[BatchTranscriber, None]:
    """The engines that `parley transcribe` needs, and no others."""
    async with (
        open_whisper(settings, finals_model(settings), settings.beam_size) as transcriber,
        open_detector(settings) as detector,
    ):
        yield BatchTranscriber(detector, transcriber.for_batch(), settings.language or None, finals_model(settings))


@asynccontextmanager
async def open_worker(settings: Settings, *, concurrency: int, max_waiting: int) -> AsyncGenerator[Worker, None]:
    """The engines that `parley worker` offers."""
    model = finals_model(settings)
    async with (
        open_whisper(settings, model, settings.beam_size) as transcriber,
        open_detector(settings) as detector,
    ):
        queue = AdmissionQueue("worker", SystemClock(), concurrency, max_waiting)
        yield Worker(model, transcriber, transcriber.for_batch(), detector, queue, settings.language or None)


def drafts_model(settings: Settings) -> str:
    """The model that writes drafts, by name or folder."""
    if settings.draft_model_id != "auto":
        return settings.draft_model_id
    return "whisper-tiny.en" if settings.language == "en" else "whisper-base"


def finals_model(settings: Settings) -> str:
    """The model that writes finals, by name or folder."""
    if settings.transcription_model_id != "auto":
        return settings.transcription_model_id
    where, _ = device(settings)
    return "whisper-large-v3-turbo" if where == "cuda" else "whisper-base"


def device(settings: Settings) -> tuple[str, str]:
    """Where the speech models run, and a sentence when that is not what was wished for."""
    chosen: tuple[str, str] = registry.load(registry.PROBES, "device")(settings.device)
    return chosen


def model_folder(settings: Settings, name: str) -> Path:
    """Where this model lies. Raises ModelUnavailable where it does not."""
    return resolve(name, settings.models_dir)


def whisper_folder(settings: Settings, name: str) -> Path:
    """Where this Whisper model lies. Raises ModelUnavailable, or SettingsError where it lacks PARLEY_LANGUAGE."""
    folder = model_folder(settings, name)
    languages: frozenset[str] = registry.load(registry.PROBES, "languages")(folder)
    if settings.language and languages and settings.language not in languages:
        known = "English only" if languages == {"en"} else f"{len(languages)} languages, but not this one"
        raise SettingsError(f"PARLEY_LANGUAGE is {settings.language!r}, and the model {name} knows {known}")
    return folder


def turn_model_file(settings: Settings) -> Path:
    """The end-of-turn model's file. Raises ModelUnavailable."""
    return resolve_file(settings.turn_model_id, settings.models_dir, ".onnx")


def open_whisper(settings: Settings, model: str, beam_size: int, self_test_pcm: bytes | None = None) -> Any:
    return registry.opened(
        registry.TRANSCRIBERS,
        "local",
        model=whisper_folder(settings, model),
        device=settings.device,
        compute_type=settings.compute_type,
        threads=settings.cpu_threads,
        beam_size=beam_size,
        self_test_pcm=self_test_pcm,
    )


def speech_capacity(settings: Settings, *, drafts: Any, finals: Any, replies_here: bool) -> SpeechCapacity:
    """What the self-test found; `finals` is None where they are made elsewhere."""
    opened = {"drafts": (drafts_model(settings), drafts), "finals": (finals_model(settings), finals)}
    return SpeechCapacity(
        capacity(finals=finals and finals.speed, drafts=drafts.speed, replies_here=replies_here),
        tuple(
            SpeechModel(job, name, engine.device, engine.compute_type, engine.note, engine.speed)
            for job, (name, engine) in opened.items()
            if engine is not None
        ),
        lambda: int(drafts.queued),
    )


@asynccontextmanager
async def open_turn_detector(settings: Settings) -> AsyncGenerator[TurnDetector | None, None]:
    """Who hears whether someone is done; None where words alone tell."""
    if settings.turn_model_id == "none":
        yield None
        return
    model = await to_thread.run_sync(turn_model_file, settings)
    async with registry.opened(
        registry.TURN_DETECTORS, "smart_turn", model=model, threads=settings.cpu_threads
    ) as detector:
        yield detector


@asynccontextmanager
async def open_detector(settings: Settings) -> AsyncGenerator[SpeechDetector, None]:
    async with registry.opened(registry.DETECTORS, settings.vad) as detector:
        yield detector
