"""What a profile and a tenant change in the rules of a session."""

from dataclasses import replace
from typing import Any, TypeVar

from app.domain.dialog.endpointing import EndpointingRules
from app.domain.dialog.state import DialogState
from app.domain.key_terms import merge_key_terms
from app.domain.profile import Profile
from app.domain.tools import Tool

T = TypeVar("T")


def choose_profile(state: DialogState, profile: Profile) -> DialogState:
    """The state with this profile in place of the one before; what it leaves open is as without a profile."""
    plain = state.rules_without_profile or state.rules
    rules = replace(
        state.rules,
        profile=profile,
        reply=state.rules.reply or bool(profile.engine),
        instructions=plain.instructions if profile.instructions is None else profile.instructions,
        language=profile.language or plain.language,
        turns=profile.turns or plain.turns,
        silence_ms=profile.silence_ms or plain.silence_ms,
        interruptions=profile.interruptions or plain.interruptions,
        reply_after_ms=_given(profile.reply_after_ms, plain.reply_after_ms),
        confident_reply_after_ms=_given(profile.reply_after_done_ms, plain.confident_reply_after_ms),
        ignore_echo=_given(profile.echo_detection, plain.ignore_echo),
        adaptive_waits=_given(profile.adaptive_waits, plain.adaptive_waits),
        events=_given(profile.events, plain.events),
        key_terms=merge_key_terms(profile.key_terms, plain.key_terms),
        prompt_tokens=profile.history_tokens,
        eager_replies=plain.eager_replies and profile.may_begin_eagerly,
    )
    endpointing = state.endpointing_without_profile or state.endpointer.rules
    return replace(
        state,
        rules=rules,
        rules_without_profile=plain,
        endpointer=replace(state.endpointer, rules=_endpointing(endpointing, profile)),
        endpointing_without_profile=endpointing,
    )


def _endpointing(plain: EndpointingRules, profile: Profile) -> EndpointingRules:
    if profile.end_after_ms is None and profile.end_after_done_ms is None:
        return plain
    return plain.with_silences(
        _given(profile.end_after_ms, plain.end_after_ms),
        _given(profile.end_after_done_ms, plain.end_after_likely_done_ms),
    )


def _given(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value


def allow_languages(state: DialogState, languages: tuple[str, ...]) -> DialogState:
    """The state of a new session of a tenant with these languages; none leaves those of the settings."""
    return replace(state, rules=replace(state.rules, language=",".join(languages) or state.rules.language))


def continue_with_profile(state: DialogState, profile: Profile) -> DialogState:
    """The state with the profile of the conversation that it continues, but for what the client has set itself."""
    if "profile" in state.set_by_client:
        return state
    chosen = choose_profile(state, profile)
    kept: dict[str, Any] = {name: getattr(state.rules, name) for name in state.set_by_client}
    return replace(chosen, rules=replace(chosen.rules, **kept))


def expect_key_terms(state: DialogState, terms: tuple[str, ...]) -> DialogState:
    """The state of a new session of a tenant with these key terms."""
    return replace(state, rules=replace(state.rules, key_terms=terms))


def with_tools(profile: Profile | None, tools: tuple[Tool, ...]) -> Profile | None:
    """The same profile, or none, with these tools besides its own; of one name, the profile's stays."""
    own = profile.tools if profile else ()
    names = {tool.name for tool in own}
    more = tuple(tool for tool in tools if tool.name not in names)
    return replace(profile or Profile(""), tools=(*own, *more)) if more else profile


def with_voice(profile: Profile | None, voice: str) -> Profile | None:
    """The same profile, or none, with another voice; an empty name changes nothing."""
    return replace(profile or Profile(""), voice=voice) if voice else profile
