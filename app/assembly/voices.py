"""Open the voices (TTS) that the settings name."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from app import registry
from app.assembly.prices import speech_price
from app.assembly.speech import model_folder
from app.config import Settings
from app.domain.ports import SpeechSynthesizer
from app.domain.tenant import Tenant
from app.runtime.routing.engine_health import EngineHealth
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_budget import SessionBudget
from app.runtime.routing.speech_failover import Voice, VoicePool, probe_voice
from app.runtime.supervision import run_in_background


def voice_providers(settings: Settings) -> Sequence[str]:
    """The configured synthesizers, in their order; empty for none."""
    return [name for name in settings.speech_provider if name != "none"]


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
