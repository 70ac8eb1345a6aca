"""Open the voices (TTS) that the settings name."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import structlog
from anyio import to_thread

from app import registry
from app.assembly.prices import speech_price
from app.assembly.speech import model_folder
from app.config import Settings
from app.domain.language import allowed_languages, english_name
from app.domain.ports import SpeechSynthesizer
from app.domain.tenant import Tenant
from app.runtime.routing.engine_health import EngineHealth
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_budget import SessionBudget
from app.runtime.routing.speech_failover import Voice, VoicePool, probe_voice
from app.runtime.supervision import run_in_background

_log = structlog.get_logger("parley.voices")


def voice_providers(settings: Settings) -> Sequence[str]:
    """The configured synthesizers, in their order; empty for none."""
    return [name for name in settings.speech_provider if name != "none"]


def voice_problem(settings: Settings) -> str | None:
    """A sentence where Piper's voice does not speak every language of PARLEY_LANGUAGE; blocking."""
    find_language = registry.load(registry.PROBES, "voice_language")
    spoken = find_language(model_folder(settings, settings.voice_model_id))
    others = [each for each in allowed_languages(settings.language) if each != spoken]
    if spoken is None or not others:
        return None
    names = " and ".join(english_name(each).title() for each in others)
    return (
        f"{settings.voice_model_id} is a voice for {english_name(spoken).title()}, and PARLEY_LANGUAGE allows {names}: "
        "set PARLEY_VOICE_MODEL_ID to a voice of that language"
    )


@asynccontextmanager
async def open_voices(settings: Settings, routes: Routes) -> AsyncGenerator[VoicePool | None, None]:
    """What the settings name, probed where there are several; a free one for a spent budget where all cost money."""
    names = voice_providers(settings)
    reserve = settings.speech_provider_over_budget
    needs_reserve = names and reserve != "none" and not any(speech_price(settings, name).is_free for name in names)
    async with AsyncExitStack() as stack:
        voices = [
            Voice(
                name,
                await stack.enter_async_context(_open(settings, name)),
                speech_price(settings, name),
                is_reserve=name not in names,
            )
            for name in (*names, *([reserve] if needs_reserve else ()))
        ]
        if not voices:
            yield None
            return
        if "piper" in names and (problem := await to_thread.run_sync(voice_problem, settings)):
            _log.warning("voice of another language", problem=problem)
        health = EngineHealth([voice.name for voice in voices], routes.clock, routes.chance)
        budget = SessionBudget(routes, "", Tenant(""))
        probes = {voice.name: partial(probe_voice, voice, budget) for voice in voices}
        tasks = {"voice_probes": partial(health.probe_loop, probes)} if len(voices) > 1 else {}
        await stack.enter_async_context(run_in_background(tasks))
        yield VoicePool(voices, health)


def _open(settings: Settings, provider: str) -> AbstractAsyncContextManager[SpeechSynthesizer]:
    options: Mapping[str, Any]
    if provider == "piper":
        options = {"model": model_folder(settings, settings.voice_model_id)}
    else:
        options = {"region": settings.aws_region, "voice": settings.polly_voice, "engine": settings.polly_engine}
    return registry.opened(registry.SYNTHESIZERS, provider, **options)


def describe_voices(settings: Settings) -> str:
    return ", then ".join(_describe(settings, name) for name in voice_providers(settings)) or "none"


def _describe(settings: Settings, provider: str) -> str:
    if provider == "piper":
        return settings.voice_model_id
    usd = speech_price(settings, provider).usd_per_million
    voice = f"{settings.polly_voice} ({settings.polly_engine}), Amazon Polly in {settings.aws_region}"
    return f"{voice}, ${usd:g} per million characters"
