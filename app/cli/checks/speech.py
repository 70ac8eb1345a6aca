"""Checks of speech to text: device, models for drafts and finals, detectors."""

from anyio import to_thread

from app import registry
from app.assembly.speech import (
    device,
    drafts_model,
    finals_model,
    speaker_model_file,
    speech_model_folders,
    turn_model_file,
)
from app.cli.checks.result import Check
from app.config import Settings
from app.policy.routes_file import LocalRoute, read_routes


def speech_checks(settings: Settings) -> list[Check]:
    return [
        Check("device", lambda: _device(settings)),
        Check("drafts", lambda: _model(settings, drafts_model(settings))),
        Check("finals", lambda: _finals(settings)),
        Check("speech detector", lambda: _speech_detector(settings)),
        Check("turn detector", lambda: _turn_detector(settings)),
        Check("speakers", lambda: _speakers(settings)),
    ]


async def _device(settings: Settings) -> tuple[str, str]:
    where, note = await to_thread.run_sync(device, settings)
    precision = await to_thread.run_sync(registry.load(registry.PROBES, "precision"), where, settings.compute_type)
    return f"{where}, {precision}", note


async def _model(settings: Settings, model: str) -> str:
    registry.load(registry.TRANSCRIBERS, "local")
    folder, _ = await to_thread.run_sync(speech_model_folders, settings, model)
    where, _ = await to_thread.run_sync(device, settings)
    if where != "cpu":
        return str(folder)
    report = registry.load(registry.PROBES, "encoder")
    return f"{folder}; {await to_thread.run_sync(report, folder, settings.encoder_path)}"


async def _finals(settings: Settings) -> str:
    routes = await to_thread.run_sync(read_routes, settings.routes)
    if not any(isinstance(route, LocalRoute) for route in routes.values()):
        return "not in this process"
    return await _model(settings, finals_model(settings))


async def _speech_detector(settings: Settings) -> str:
    registry.load(registry.DETECTORS, settings.vad)
    return settings.vad


async def _turn_detector(settings: Settings) -> str:
    if settings.turn_model_id == "none":
        return "none"
    registry.load(registry.TURN_DETECTORS, "smart_turn")
    return str(await to_thread.run_sync(turn_model_file, settings))


async def _speakers(settings: Settings) -> str:
    if not settings.speakers:
        return "not told apart"
    registry.load(registry.SPEAKER_EMBEDDERS, "d_vector")
    return str(await to_thread.run_sync(speaker_model_file, settings))
