"""Open the reply engine (LLM) and the speech synthesizer (TTS) that the settings name."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from app import registry
from app.assembly.speech import model_folder
from app.config import Settings
from app.domain.errors import SettingsError
from app.domain.ports import ReplyGenerator, SpeechSynthesizer

_OLLAMA_TIMEOUT_S = 2.0
"""A server that answers no sooner, while others load their models, is taken for none."""


async def reply_provider(settings: Settings) -> str:
    """The configured reply engine; for `auto` the first of OpenAI (key set), Ollama (reachable) and embedded."""
    if settings.reply_provider != "auto":
        if settings.reply_provider == "openai" and settings.openai_api_key is None:
            raise SettingsError("PARLEY_REPLY_PROVIDER is openai, and OPENAI_API_KEY is not set")
        return settings.reply_provider
    if settings.openai_api_key is not None:
        return "openai"
    try:
        model_problem = registry.load(registry.PROBES, "chat_model")
    except SettingsError:  # because without the extra Ollama could not be used either
        return "embedded"
    problem = await model_problem(settings.ollama_base_url, settings.ollama_model, timeout_s=_OLLAMA_TIMEOUT_S)
    return "embedded" if problem else "ollama"


@asynccontextmanager
async def open_generator(settings: Settings, provider: str) -> AsyncGenerator[ReplyGenerator | None, None]:
    options: dict[str, Any]
    match provider:
        case "none":
            yield None
            return
        case "embedded":
            options = {"model": model_folder(settings, settings.reply_model_id)}
        case "openai":
            assert settings.openai_api_key is not None
            options = {
                "provider_name": provider,
                "base_url": settings.openai_base_url,
                "api_key": settings.openai_api_key.get_secret_value(),
                "model": settings.openai_model,
            }
        case _:
            options = {
                "provider_name": provider,
                "base_url": settings.ollama_base_url,
                "api_key": "",
                "model": settings.ollama_model,
            }
    options["max_tokens"] = settings.reply_max_tokens
    async with registry.opened(registry.REPLY_GENERATORS, provider, **options) as generator:
        yield generator


@asynccontextmanager
async def open_synthesizer(settings: Settings) -> AsyncGenerator[SpeechSynthesizer | None, None]:
    options: dict[str, Any]
    match settings.speech_provider:
        case "none":
            yield None
            return
        case "piper":
            options = {"model": model_folder(settings, settings.voice_model_id)}
        case "polly":
            options = {"region": settings.aws_region, "voice": settings.polly_voice, "engine": settings.polly_engine}
    async with registry.opened(registry.SYNTHESIZERS, settings.speech_provider, **options) as synthesizer:
        yield synthesizer


def describe_replies(settings: Settings, provider: str) -> str:
    match provider:
        case "openai":
            return f"{settings.openai_model} at {settings.openai_base_url}"
        case "ollama":
            return f"{settings.ollama_model} at {settings.ollama_base_url}"
        case "embedded":
            return f"{settings.reply_model_id}, in this process"
        case _:
            return "none"


def describe_voice(settings: Settings) -> str:
    match settings.speech_provider:
        case "piper":
            return settings.voice_model_id
        case "polly":
            return f"{settings.polly_voice} ({settings.polly_engine}), Amazon Polly in {settings.aws_region}"
        case "none":
            return "none"
