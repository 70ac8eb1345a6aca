"""What a session can be asked for, by the names of Python; `configure` of the protocol has them in camel case."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict


class Configuration(TypedDict, total=False):
    """An absent field is as the server, or the profile, has it. The meaning of each: `configure` in PROTOCOL.md."""

    language: str | None
    """Spoken language, as `de` or `German`; None: any."""
    languages: Sequence[str]
    """In place of `language`: at most ten, one of which is detected for each utterance."""
    profile: str
    person: str
    """Identifier of who speaks."""
    conversation: str
    """Id of the conversation that the session continues."""
    reply: bool
    """False: transcribe only."""
    speak: bool
    """False: replies are text only."""
    words: bool
    """Finals have words with times and confidence."""
    key_terms: Sequence[str] | None
    turns: Literal["auto", "manual", "silence", "transcribe"]
    silence_ms: int
    """Silence that ends a turn where `turns` is `silence`."""
    interruptions: Literal["auto", "any", "off"]
    events: bool
    """SpeechStarted, SpeechStopped, TurnEager, TurnResumed and TurnEnded are sent."""
    pauses: bool
    """This client can pause a reply: ReplyPaused and ReplyResumed are sent."""
    place: Literal["on_prem_only", "cloud_ok"]
    """Where audio may be processed."""
    archive: bool
    """False: nothing of the session is kept."""
    deadline_ms: int | None
    """From the end of an utterance to its final."""


def configure_message(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The message with these fields."""
    return {"type": "configure", **{camel_case(name): value for name, value in configuration.items()}}


def camel_case(name: str) -> str:
    """`silence_ms` as `silenceMs`."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
