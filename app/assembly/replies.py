"""Open the reply engines (LLM) that the settings name, with the voices (TTS) of their replies."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from app import registry
from app.assembly.prices import is_price_assumed, reply_price
from app.assembly.profile_pools import ProfilePools
from app.assembly.profiles import MODEL_SETTINGS, engine_name, with_model_of
from app.assembly.speech import model_folder
from app.assembly.voices import open_voices
from app.config import Settings
from app.domain.answering_model import AnsweringModel
from app.domain.errors import ClientError, ClientFault, ParleyError, SettingsError
from app.domain.ports import ReplyGenerator, SpeechSynthesizer, UsageReporting
from app.domain.profile import Profile
from app.domain.tenant import Tenant
from app.runtime.conversations.reply_run import ClientTools
from app.runtime.dialog.engines import OnReplyCost
from app.runtime.routing.engine_health import EngineHealth
from app.runtime.routing.reply_failover import FailoverReplies, ReplyEngine, ReplyPool, ReplyTimeouts, probe_engine
from app.runtime.routing.route_metrics import EngineGauges
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_budget import SessionBudget
from app.runtime.routing.speech_failover import FailoverSpeech, VoicePool
from app.runtime.supervision import run_in_background
from app.runtime.tools.http_tools import open_http_tools

CHARACTERS_A_TOKEN = 8
"""Upper bound of the average length of a token."""

_log = structlog.get_logger("parley.replies")

_OLLAMA_TIMEOUT_S = 2.0
"""A server that answers no sooner, while others load their models, is taken for none."""
MODEL_LIST_TIMEOUT_S = 5.0


async def reply_providers(settings: Settings) -> Sequence[str]:
    """The configured reply engines, in their order; empty for none. Raises SettingsError.

    For `auto` the first of OpenAI (key set), Ollama (reachable) and embedded.
    """
    names = [name for name in settings.reply_provider if name != "none"]
    if names != ["auto"]:
        if "openai" in names and settings.openai_api_key is None:
            raise SettingsError("PARLEY_REPLY_PROVIDER names openai, and OPENAI_API_KEY is not set")
        return names
    if settings.openai_api_key is not None:
        return ["openai"]
    try:
        problem = await server_problem(settings, "ollama", timeout_s=_OLLAMA_TIMEOUT_S)
    except SettingsError:  # because without the extra Ollama could not be used either
        return ["embedded"]
    return ["embedded" if problem else "ollama"]


async def server_problem(settings: Settings, provider: str, *, timeout_s: float = MODEL_LIST_TIMEOUT_S) -> str | None:
    """Why OpenAI, Ollama or the receiver cannot reply, and what to do; None where nothing is wrong, and for others.

    Raises SettingsError.
    """
    match provider:
        case "ollama":
            model_problem = registry.load(registry.PROBES, "chat_model")
            url, model = settings.ollama_base_url, settings.ollama_model
            problem: str | None = await model_problem(url, model, timeout_s=timeout_s, pull=f"ollama pull {model}")
        case "openai":
            model_problem = registry.load(registry.PROBES, "chat_model")
            key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else ""
            url, model = settings.openai_base_url, settings.openai_model
            problem = await model_problem(url, model, api_key=key, timeout_s=timeout_s)
        case "receiver":
            receiver_problem = registry.load(registry.PROBES, "receiver")
            timeout_s = settings.receiver_connect_timeout_s
            problem = await receiver_problem(settings.receiver_host, settings.receiver_port, timeout_s=timeout_s)
        case _:
            problem = None
    return problem


@dataclass(frozen=True, slots=True)
class SessionReplyEngines:
    """The reply engines and the synthesizer of one session, under its budgets."""

    generator: ReplyGenerator | None
    synthesizer: SpeechSynthesizer | None
    refuse_speech: Callable[[], ParleyError | None] = lambda: None
    generator_of: Callable[[Profile | None, OnReplyCost], ReplyGenerator | None] | None = None
    """What makes one reply, with this profile."""


@dataclass(frozen=True, slots=True)
class ReplyEngines:
    """The open reply engines and voices; None where there are none."""

    replies: ReplyPool | None
    voices: VoicePool | None
    routes: Routes
    profiles: ProfilePools | None = None

    def register_metrics(self, registry: CollectorRegistry) -> None:
        """Whether each circuit breaker is closed."""
        words = "1 while its circuit breaker is open or half-open."
        if self.replies is not None:
            registry.register(EngineGauges("parley_reply_engine_resting", words, self.replies.health))
        if self.voices is not None:
            registry.register(EngineGauges("parley_voice_resting", words, self.voices.health))

    def generator(self, profile: Profile | None, budget: SessionBudget) -> ReplyGenerator | None:
        """What replies with this profile and budget; None where nothing does."""
        if profile is not None and self.profiles is not None:
            return self.profiles.generator(profile, budget)
        return FailoverReplies(self.replies, budget) if self.replies else None

    def generator_with(self, profile: Profile | None, tools: ClientTools, budget: SessionBudget) -> ReplyGenerator:
        """What replies and may call the client's tools. Raises ClientError where an engine cannot call any."""
        found = None
        if self.profiles is not None:
            found = self.profiles.generator_with(profile, tools.tools, budget, may_call=tools.may_call)
        if found is None:
            reason = "a reply engine of this server cannot call tools; leave tools out"
            raise ClientError(ClientFault.BAD_MESSAGE, reason, param="tools")
        return found

    def names(self, profile: Profile | None) -> Sequence[str]:
        """Of the engines that may reply with this profile, in their order."""
        if profile is not None and self.profiles is not None:
            return [engine.name for engine in self.profiles.engines_of(profile)]
        return [engine.name for engine in self.replies.engines] if self.replies else []

    def for_session(self, session: str, tenant: Tenant) -> SessionReplyEngines:
        budget = SessionBudget(self.routes, session, tenant)
        speech = FailoverSpeech(self.voices, budget) if self.voices else None

        def generator_of(profile: Profile | None, on_cost: OnReplyCost) -> ReplyGenerator | None:
            return self.generator(profile, replace(budget, on_reply=on_cost))

        return SessionReplyEngines(
            FailoverReplies(self.replies, budget) if self.replies else None,
            speech,
            speech.error if speech else lambda: None,
            generator_of,
        )


@asynccontextmanager
async def open_reply_engines(
    settings: Settings, providers: Sequence[str], routes: Routes, profiles: Collection[Profile] = ()
) -> AsyncGenerator[ReplyEngines, None]:
    """What the settings and the profiles name, with probes where there are several.

    A free one for a spent budget is opened where there would be none. A server that cannot reply now is a warning in
    the log.
    """
    own = {name: (name, settings) for name in providers}
    for profile in profiles:
        if profile.engine:
            own.setdefault(engine_name(settings, profile), (profile.engine, with_model_of(settings, profile)))
    reserve = settings.reply_provider_over_budget
    prices = {name: reply_price(with_model, provider) for name, (provider, with_model) in own.items()}
    is_any_free = any(prices[name].is_free for name in providers)
    needs_reserve = (bool(providers) and not is_any_free) or any(
        not prices[name].is_free for name in own if name not in providers
    )
    if reserve != "none" and needs_reserve:
        own.setdefault(reserve, (reserve, settings))
    async with AsyncExitStack() as stack:
        engines = {
            name: await stack.enter_async_context(_opened(with_model, provider, name))
            for name, (provider, with_model) in own.items()
        }
        health = EngineHealth(list(engines), routes.clock, routes.chance)
        tasks: dict[str, Callable[[], Awaitable[None]]] = {"reply_server_check": partial(_check, own)}
        if len(engines) > 1:
            budget = SessionBudget(routes, "", Tenant(""))
            probes = {name: _probe_of(*own[name], engine, budget) for name, engine in engines.items()}
            tasks["reply_probes"] = partial(health.probe_loop, probes)
        voices = await stack.enter_async_context(open_voices(settings, routes))
        tools = await stack.enter_async_context(open_http_tools())
        await stack.enter_async_context(run_in_background(tasks))
        spare = replace(engines[reserve], is_reserve=True) if reserve in engines else None
        pool = ReplyPool([engines[name] for name in providers], health)
        if providers and spare and not is_any_free:
            pool = replace(pool, engines=[*pool.engines, spare])
        by_profile = ProfilePools(pool, engines, spare, partial(engine_name, settings), tools)
        by_profile.warn_of_ignored_tools(profiles)
        yield ReplyEngines(pool if providers else None, voices, routes, by_profile)


@asynccontextmanager
async def _opened(settings: Settings, provider: str, name: str) -> AsyncGenerator[ReplyEngine, None]:
    """The engine of this provider with the model that the settings have for it."""
    if is_price_assumed(settings, provider):
        _log.warning("no price is known for this model, the highest one counts", model=settings.openai_model)
    async with _open(settings, provider, name) as generator:
        yield ReplyEngine(
            name,
            generator,
            reply_price(settings, provider),
            _timeouts(settings, provider),
            settings.reply_max_tokens,
            is_repeatable=provider != "receiver",
        )


def max_reply_characters(settings: Settings) -> int:
    """Longest reply; a longer one comes from an engine that ignores its limit of tokens."""
    return CHARACTERS_A_TOKEN * settings.reply_max_tokens


def _open(settings: Settings, provider: str, name: str) -> AbstractAsyncContextManager[UsageReporting]:
    limit = {"max_tokens": settings.reply_max_tokens}
    options: dict[str, Any]
    match provider:
        case "embedded":
            options = {"model": model_folder(settings, settings.reply_model_id), **limit}
        case "receiver":  # which cannot be told of a limit
            options = receiver_options(settings)
        case "openai":
            assert settings.openai_api_key is not None
            options = {
                "provider_name": name,
                "base_url": settings.openai_base_url,
                "api_key": settings.openai_api_key.get_secret_value(),
                "model": settings.openai_model,
                "include_usage": not reply_price(settings, provider).is_free,
                **limit,
            }
        case _:
            options = {
                "provider_name": name,
                "base_url": settings.ollama_base_url,
                "api_key": "",
                "model": settings.ollama_model,
                "include_usage": True,
                **limit,
            }
    return registry.opened(registry.REPLY_GENERATORS, provider, **options)


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


def _timeouts(settings: Settings, provider: str) -> ReplyTimeouts:
    if provider == "receiver":  # because it has limits of its own, for each step
        return ReplyTimeouts(inf, inf)
    return ReplyTimeouts(settings.reply_first_token_s, settings.reply_token_s)


def _probe_of(
    provider: str, settings: Settings, engine: ReplyEngine, budget: SessionBudget
) -> Callable[[], Awaitable[bool]]:
    """A receiver is only connected to, because it may act on what it is asked."""

    async def is_reached() -> bool:
        return await server_problem(settings, provider) is None

    return partial(probe_engine, engine, budget) if engine.is_repeatable else is_reached


async def _check(engines: Mapping[str, tuple[str, Settings]]) -> None:
    """Provider and settings by the engine's name."""
    for name, (provider, settings) in engines.items():
        if provider != "receiver" and (problem := await server_problem(settings, provider)):  # which says so itself
            _log.warning("reply engine cannot be used yet", engine=name, problem=problem)


def replies_here(settings: Settings, providers: Sequence[str]) -> bool:
    """Whether a reply or its speech may be computed in this process, over budget at the latest."""
    return "embedded" in (*providers, settings.reply_provider_over_budget) or "piper" in (
        *settings.speech_provider,
        settings.speech_provider_over_budget,
    )


def answering_model(settings: Settings, provider: str) -> AnsweringModel:
    """What people are told of an engine. The embedded model of the default settings is a demonstration."""
    field = MODEL_SETTINGS.get(provider)
    model = getattr(settings, field) if field else ""
    is_default = model == Settings.model_fields["reply_model_id"].default
    return AnsweringModel(provider, model, is_demonstration=provider == "embedded" and is_default)


def describe_replies(settings: Settings, providers: Sequence[str]) -> str:
    return ", then ".join(_describe(settings, name) for name in providers) or "none"


def _describe(settings: Settings, provider: str) -> str:
    match provider:
        case "openai":
            price = reply_price(settings, provider)
            assumed = " (assumed)" if is_price_assumed(settings, provider) else ""
            prompt, generated = price.usd_per_million_prompt, price.usd_per_million_generated
            usd = "" if price.is_free else f", ${prompt:g} and ${generated:g} per million tokens{assumed}"
            return f"{settings.openai_model} at {settings.openai_base_url}{usd}"
        case "ollama":
            return f"{settings.ollama_model} at {settings.ollama_base_url}"
        case "receiver":
            return f"the receiver at {settings.receiver_host}:{settings.receiver_port}"
        case _:
            shown = answering_model(settings, provider).is_demonstration
            hint = " (a demonstration; docs/replies.md: how to connect Ollama or OpenAI)" if shown else ""
            return f"{settings.reply_model_id}, in this process{hint}"
