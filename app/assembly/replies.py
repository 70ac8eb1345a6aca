"""Open the reply engine (LLM) and the speech synthesizer (TTS) that the settings name."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import structlog

from app import registry
from app.assembly.prices import is_price_assumed, reply_price, speech_price
from app.assembly.speech import model_folder
from app.config import Settings
from app.domain.errors import ParleyError, SettingsError
from app.domain.ports import ReplyGenerator, SpeechSynthesizer, UsageReporting
from app.domain.spending import CharacterPrice, TokenPrice
from app.domain.tenant import Tenant
from app.runtime.routing.budgeted_engines import BudgetedReplies, BudgetedSpeech
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_budget import SessionBudget

_log = structlog.get_logger("parley.replies")

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
        case "receiver":
            options = receiver_options(settings)
        case "openai":
            assert settings.openai_api_key is not None
            options = {
                "provider_name": provider,
                "base_url": settings.openai_base_url,
                "api_key": settings.openai_api_key.get_secret_value(),
                "model": settings.openai_model,
                "include_usage": not reply_price(settings, provider).is_free,
            }
        case _:
            options = {
                "provider_name": provider,
                "base_url": settings.ollama_base_url,
                "api_key": "",
                "model": settings.ollama_model,
            }
    if provider != "receiver":  # which cannot be told of a limit
        options["max_tokens"] = settings.reply_max_tokens
    async with registry.opened(registry.REPLY_GENERATORS, provider, **options) as generator:
        yield generator


def receiver_options(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.receiver_host,
        "port": settings.receiver_port,
        "framing": settings.receiver_framing,
        "connections": settings.receiver_connections,
        "connect_timeout_s": settings.receiver_connect_timeout_s,
        "first_byte_timeout_s": settings.receiver_first_byte_timeout_s,
        "idle_timeout_s": settings.receiver_idle_timeout_s,
    }


@asynccontextmanager
async def open_synthesizer(settings: Settings, provider: str) -> AsyncGenerator[SpeechSynthesizer | None, None]:
    options: dict[str, Any]
    match provider:
        case "none":
            yield None
            return
        case "piper":
            options = {"model": model_folder(settings, settings.voice_model_id)}
        case _:
            options = {"region": settings.aws_region, "voice": settings.polly_voice, "engine": settings.polly_engine}
    async with registry.opened(registry.SYNTHESIZERS, provider, **options) as synthesizer:
        yield synthesizer


@dataclass(frozen=True, slots=True)
class SessionReplyEngines:
    """The reply engine and the synthesizer of one session, under its budgets."""

    generator: ReplyGenerator | None
    synthesizer: SpeechSynthesizer | None
    refuse_speech: Callable[[], ParleyError | None] = lambda: None


@dataclass(frozen=True, slots=True)
class ReplyEngines:
    """The open reply engines and synthesizers; the free ones serve once a budget is spent."""

    provider: str
    generator: ReplyGenerator | None
    reply_price: TokenPrice
    free_generator: ReplyGenerator | None
    max_tokens: int
    speech_provider: str
    synthesizer: SpeechSynthesizer | None
    speech_price: CharacterPrice
    free_synthesizer: SpeechSynthesizer | None
    routes: Routes

    def for_session(self, session: str, tenant: Tenant) -> SessionReplyEngines:
        """Engines that cost nothing as they are, the others with the session's budget."""
        budget = SessionBudget(self.routes, session, tenant)
        generator = self.generator
        if generator is not None and not self.reply_price.is_free:
            paid = cast(UsageReporting, generator)
            generator = BudgetedReplies(
                self.provider, paid, self.reply_price, self.max_tokens, budget, self.free_generator
            )
        if self.synthesizer is None or self.speech_price.is_free:
            return SessionReplyEngines(generator, self.synthesizer)
        speech = BudgetedSpeech(
            self.speech_provider, self.synthesizer, self.speech_price, budget, self.free_synthesizer
        )
        return SessionReplyEngines(generator, speech, speech.error)


@asynccontextmanager
async def open_reply_engines(settings: Settings, provider: str, routes: Routes) -> AsyncGenerator[ReplyEngines, None]:
    """What the settings name; a free engine for a spent budget only where the first one costs money."""
    if is_price_assumed(settings, provider):
        _log.warning("no price is known for this model, the highest one counts", model=settings.openai_model)
    of_replies, of_speech = reply_price(settings, provider), speech_price(settings)
    free_replies = "none" if of_replies.is_free else settings.reply_provider_over_budget
    free_speech = "none" if of_speech.is_free else settings.speech_provider_over_budget
    async with (
        open_generator(settings, provider) as generator,
        open_generator(settings, free_replies) as free_generator,
        open_synthesizer(settings, settings.speech_provider) as synthesizer,
        open_synthesizer(settings, free_speech) as free_synthesizer,
    ):
        yield ReplyEngines(
            provider,
            generator,
            of_replies,
            free_generator,
            settings.reply_max_tokens,
            settings.speech_provider,
            synthesizer,
            of_speech,
            free_synthesizer,
            routes,
        )


def replies_here(settings: Settings, provider: str) -> bool:
    """Whether a reply or its speech may be computed in this process, over budget at the latest."""
    generators = {provider, settings.reply_provider_over_budget}
    return "embedded" in generators or "piper" in (settings.speech_provider, settings.speech_provider_over_budget)


def describe_replies(settings: Settings, provider: str) -> str:
    match provider:
        case "openai":
            price = reply_price(settings, provider)
            assumed = " (assumed)" if is_price_assumed(settings, provider) else ""
            prompt, generated = price.usd_per_million_prompt, price.usd_per_million_generated
            usd = "" if price.is_free else f", ${prompt:g} and ${generated:g} per million tokens{assumed}"
            return f"{settings.openai_model} at {settings.openai_base_url}{usd}"
        case "ollama":
            return f"{settings.ollama_model} at {settings.ollama_base_url}"
        case "embedded":
            return f"{settings.reply_model_id}, in this process"
        case "receiver":
            return f"the receiver at {settings.receiver_host}:{settings.receiver_port}"
        case _:
            return "none"


def describe_voice(settings: Settings) -> str:
    match settings.speech_provider:
        case "piper":
            return settings.voice_model_id
        case "polly":
            usd = speech_price(settings).usd_per_million
            voice = f"{settings.polly_voice} ({settings.polly_engine}), Amazon Polly in {settings.aws_region}"
            return f"{voice}, ${usd:g} per million characters"
        case "none":
            return "none"
