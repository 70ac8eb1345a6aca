"""The profiles of the service, reloaded when their files change, and the reply engines that they name."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from anyio import to_thread

from app.config import Settings, read_variables
from app.domain.errors import SettingsError
from app.domain.profile import Profile
from app.policy.profiles_file import SETTING, read_profiles
from app.policy.reloading_file import open_reloading_file
from app.runtime.clock import SystemClock
from app.runtime.profiles import ProfileCatalogue
from app.runtime.supervision import run_in_background

MODEL_SETTINGS = {"openai": "openai_model", "ollama": "ollama_model", "embedded": "reply_model_id"}
"""Which setting names the model of an engine."""


@asynccontextmanager
async def open_profiles(settings: Settings) -> AsyncGenerator[ProfileCatalogue, None]:
    """Raises SettingsError for a file that cannot be read, an engine that is not configured, and an unknown default."""
    variables = read_variables()
    if settings.profiles is None:
        profiles = await to_thread.run_sync(read_profiles, None, variables)
        _check(profiles, settings)
        yield ProfileCatalogue(lambda: profiles, settings.profile)
        return

    def read(folder: Path) -> Mapping[str, Profile]:
        found = read_profiles(folder, variables)
        _check(found, settings)
        if opened and (missing := {engine_name(settings, each) for each in found.values() if each.engine} - opened):
            raise SettingsError(f"{SETTING}: {min(missing)} is opened at start only: restart to use it")
        return found

    opened = set[str]()
    files = await open_reloading_file(settings.profiles, read)
    opened = {engine_name(settings, each) for each in files.value.values() if each.engine} | {""}
    async with run_in_background({"profiles": partial(files.reload_loop, SystemClock())}):
        yield ProfileCatalogue(lambda: files.value, settings.profile)


def _check(profiles: Mapping[str, Profile], settings: Settings) -> None:
    for profile in profiles.values():
        if profile.engine == "openai" and settings.openai_api_key is None:
            raise SettingsError(f"profile {profile.name}: engine openai needs a key: set OPENAI_API_KEY")
    if settings.profile and settings.profile not in profiles:
        names = ", ".join(sorted(profiles))
        raise SettingsError(f"PARLEY_PROFILE: there is no profile {settings.profile!r}; there are {names}")


def engine_name(settings: Settings, profile: Profile) -> str:
    """The name under which the profile's engine is opened, counted and billed; with a model of its own, with that."""
    own = profile.model and profile.model != getattr(settings, MODEL_SETTINGS[profile.engine])
    return f"{profile.engine}/{profile.model}" if own else profile.engine


def with_model_of(settings: Settings, profile: Profile) -> Settings:
    """The settings with the profile's model in place of the engine's own."""
    if not profile.model:
        return settings
    return settings.model_copy(update={MODEL_SETTINGS[profile.engine]: profile.model})


def describe_profiles(profiles: ProfileCatalogue) -> str:
    names = ", ".join(sorted(profiles.profiles()))
    return f"{names}; {profiles.default} where a client chooses none" if profiles.default else names
