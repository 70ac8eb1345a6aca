"""Checks of replies: engines, profiles and voices."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from anyio import to_thread

from app import registry
from app.assembly.profiles import describe_profiles, engine_name, open_profiles, with_model_of
from app.assembly.replies import describe_replies, reply_providers, server_problem
from app.assembly.speech import model_folder
from app.assembly.voices import voice_problem, voice_providers
from app.cli.checks.result import Check, Found
from app.config import Settings
from app.domain.errors import SettingsError


async def reply_checks(settings: Settings) -> list[Check]:
    """One for each engine and voice, in their order, those over budget included."""
    return [*await _engines(settings), Check("profiles", partial(_profiles, settings)), *_voices(settings)]


async def _engines(settings: Settings) -> list[Check]:
    try:
        providers = await reply_providers(settings)
    except SettingsError as error:
        return [Check("replies", partial(_fail, error))]
    reserve = {settings.reply_provider_over_budget} - {"none", *providers} if providers else set[str]()
    return _each("replies", [*providers, *reserve], partial(_engine, settings))


async def _engine(settings: Settings, provider: str) -> str:
    registry.load(registry.REPLY_GENERATORS, provider)
    if provider == "embedded":
        folder = await to_thread.run_sync(model_folder, settings, settings.reply_model_id)
        return f"{describe_replies(settings, [provider])}: {folder}"
    if problem := await server_problem(settings, provider):
        raise SettingsError(problem)
    description = describe_replies(settings, [provider])
    return description if provider == "receiver" else f"{provider}: {description}"


async def _profiles(settings: Settings) -> str:
    """Every engine that a profile names is asked, with the profile's model."""
    async with open_profiles(settings) as profiles:
        named = {engine_name(settings, each): each for each in profiles.profiles().values() if each.engine}
        for profile in named.values():
            try:
                await _engine(with_model_of(settings, profile), profile.engine)
            except SettingsError as error:
                raise SettingsError(f"profile {profile.name}: {error}") from error
        return describe_profiles(profiles)


def _voices(settings: Settings) -> list[Check]:
    names = voice_providers(settings)
    reserve = {settings.speech_provider_over_budget} - {"none", *names} if names else set[str]()
    return _each("voice", [*names, *reserve], partial(_voice, settings))


async def _voice(settings: Settings, provider: str) -> tuple[str, str]:
    registry.load(registry.SYNTHESIZERS, provider)
    if provider == "polly":
        return f"polly: {settings.polly_voice}", ""
    folder = await to_thread.run_sync(model_folder, settings, settings.voice_model_id)
    return str(folder), await to_thread.run_sync(voice_problem, settings) or ""


def _each(what: str, names: Sequence[str], check: Callable[[str], Awaitable[Found]]) -> list[Check]:
    return [Check(what, partial(check, name)) for name in names] or [Check(what, _none)]


async def _none() -> str:
    return "none"


async def _fail(error: SettingsError) -> str:
    raise error
