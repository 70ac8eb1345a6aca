"""What a profile changes in a session's rules, prompts and history."""

import pytest

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.conversation import Message, Role, alternating, estimate_tokens, prompt
from app.domain.dialog.profile import allow_languages, choose_profile, continue_with_profile, expect_key_terms
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.interruption_mode import InterruptionMode
from app.domain.profile import Profile
from app.domain.tools import KEPT_CHARACTERS, Tool, ToolCall
from app.domain.turn_mode import TurnMode
from tests.unit.playing import Play

RULES = TurnRules(instructions="Be brief.", language="en", eager_replies=True)
TOOL = Tool("weather", "The weather.", "https://weather.example")
FULL = Profile(
    "full",
    instructions="Sell.",
    languages=("it", "en"),
    key_terms=("Margherita",),
    history_tokens=50,
    voice="Giorgio",
    vocabulary="pizzas",
)


def test_an_empty_profile_changes_nothing_but_its_name():
    """Everything is as the settings have it."""
    state = choose_profile(DialogState(RULES), Profile("empty"))

    assert state.rules == TurnRules(
        instructions="Be brief.", language="en", eager_replies=True, profile=Profile("empty")
    )


def test_a_tenants_languages_stand_behind_a_profiles():
    """And before the settings'."""
    german = allow_languages(DialogState(RULES), ("de", "fr"))

    assert german.rules.language == "de,fr"
    assert choose_profile(german, Profile("empty")).rules.language == "de,fr"
    assert choose_profile(german, FULL).rules.language == "it,en"
    assert allow_languages(DialogState(RULES), ()).rules.language == "en"


def test_a_profile_can_take_the_instructions_away():
    """An empty text is a text."""
    assert choose_profile(DialogState(RULES), Profile("bare", instructions="")).rules.instructions == ""


def test_another_profile_starts_from_the_settings_again():
    """Not from the profile before."""
    once = choose_profile(DialogState(RULES), Profile("b"))

    assert choose_profile(choose_profile(DialogState(RULES), FULL), Profile("b")) == once


@pytest.mark.parametrize("profile", [Profile("t", tools=(TOOL,)), Profile("e", engine="openai")])
def test_no_reply_is_eager_where_it_acts_or_may_cost_money(profile):
    """Whatever the settings say of their own engine."""
    assert not choose_profile(DialogState(RULES), profile).rules.eager_replies
    assert choose_profile(DialogState(RULES), FULL).rules.eager_replies


def test_a_profile_with_an_engine_replies_where_the_settings_have_none():
    """Otherwise nothing would."""
    silent = DialogState(TurnRules(reply=False))

    assert choose_profile(silent, Profile("e", engine="ollama")).rules.reply
    assert not choose_profile(silent, Profile("p")).rules.reply


def test_utterances_and_replies_carry_what_the_profile_sets():
    """Language, key terms, instructions, and the profile itself for engine, voice and tools."""
    play = Play(DialogState(RULES))

    play.happen(ev.ClientConfigured(profile=FULL))
    play.speech(600)
    play.silence(2000)
    play.final("Hello.")

    (opened,) = play.every(do.OpenUtterance)
    (reply,) = play.every(do.StartReply)
    assert (opened.language, opened.key_terms, opened.vocabulary) == ("it,en", ("Margherita",), "pizzas")
    assert reply.profile == FULL
    assert reply.conversation == (Message(Role.SYSTEM, "Sell."), Message(Role.USER, "Hello."))


def test_key_terms_of_the_tenant_stay_with_every_profile():
    """Those of the profile come first; the client's own before both."""
    state = expect_key_terms(DialogState(RULES), ("Waldo", "Margherita"))
    chosen = choose_profile(choose_profile(state, Profile("b", key_terms=("Digium",))), FULL)

    assert chosen.rules.expected_terms == ("Margherita", "Waldo")


# -- history ---------------------------------------------------------------------------------

CALL = ToolCall("c1", "weather", '{"city": "Bonn"}', "Rain.")


def replying() -> Play:
    play = Play(DialogState(RULES))
    play.speech(600)
    play.silence(2000)
    play.final("Weather?")
    return play


def test_a_tool_call_is_in_the_history_and_in_the_recording():
    """In front of the reply; nothing of it is shown."""
    play = replying()

    play.happen(ev.ReplyToolCalled(1, CALL), ev.ReplyDeltaReceived(1, "It rains."), ev.ReplyFinished(1))

    assert play.every(do.RecordToolCall) == [do.RecordToolCall(1, CALL)]
    assert play.state.history == (
        Message(Role.USER, "Weather?"),
        Message(Role.ASSISTANT, "", tool_calls=(CALL,)),
        Message(Role.ASSISTANT, "It rains."),
    )


def test_a_tool_call_of_a_reply_that_was_cut_off_stays_in_the_history():
    """It has acted."""
    play = replying()

    play.happen(ev.ReplyToolCalled(1, CALL), ev.ClientCancelled())

    assert play.state.history[-1] == Message(Role.ASSISTANT, "", tool_calls=(CALL,))


def test_a_long_result_is_kept_short():
    """In the history as in the recording."""
    play = replying()

    play.happen(ev.ReplyToolCalled(1, ToolCall("c1", "weather", "{}", "x" * 10_000)))

    (recorded,) = play.every(do.RecordToolCall)
    assert len(recorded.call.result) == KEPT_CHARACTERS + 1
    assert play.state.reply.tool_calls == (recorded.call,)


def test_a_tool_call_of_an_older_reply_changes_nothing():
    """As every event of one."""
    play = replying()

    assert play.happen(ev.ReplyToolCalled(7, CALL)) == []


HISTORY = (
    Message(Role.USER, "Weather?"),
    Message(Role.ASSISTANT, "", tool_calls=(CALL,)),
    Message(Role.ASSISTANT, "It rains."),
    Message(Role.USER, "And now?"),
)


def test_calls_are_in_a_prompt_only_for_engines_with_tools():
    """For others the reply says what came of them."""
    assert alternating(HISTORY, with_tools=True) == HISTORY
    assert alternating(HISTORY) == (HISTORY[0], HISTORY[2], HISTORY[3])


def test_text_in_front_of_a_call_stays_for_engines_without_tools():
    """It was said."""
    said = (HISTORY[0], Message(Role.ASSISTANT, "One moment.", tool_calls=(CALL,)), *HISTORY[2:])

    assert alternating(said)[1] == Message(Role.ASSISTANT, "One moment.\nIt rains.")


def test_calls_and_results_count_in_the_window():
    """A long result is forgotten like a long reply, with its question."""
    long = Message(Role.ASSISTANT, "", tool_calls=(ToolCall("c", "t", "{}", "x" * 500),))
    history = (Message(Role.USER, "a"), long, Message(Role.ASSISTANT, "b"), Message(Role.USER, "c"))

    assert prompt("", history, max_characters=400) == (history[-1],)
    assert prompt("", history, max_characters=4000, max_tokens=100) == (history[-1],)
    assert prompt("", history, max_characters=1, max_tokens=200) == history


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("four", 1), ("seven ch", 2), ("a", 1), ("Grüße", 2), ("こんにちは", 4)]
)
def test_tokens_are_estimated_by_bytes(text, tokens):
    """Four letters of English are one, other scripts have more."""
    assert estimate_tokens(text) == tokens


WAITS = Profile(
    "slow",
    turns=TurnMode.SILENCE,
    silence_ms=4000,
    interruptions=InterruptionMode.OFF,
    end_after_ms=1000,
    end_after_done_ms=400,
    reply_after_ms=0,
    reply_after_done_ms=0,
    echo_detection=False,
    events=True,
)


def test_a_profile_sets_every_rule_of_turn_taking():
    """The silences that follow from `end_after_ms` too; a wait of 0 and a False are values."""
    state = choose_profile(DialogState(RULES), WAITS)

    rules, endpointing = state.rules, state.endpointer.rules
    assert (rules.turns, rules.silence_ms, rules.interruptions) == (TurnMode.SILENCE, 4000, InterruptionMode.OFF)
    assert (rules.reply_after_ms, rules.confident_reply_after_ms) == (0, 0)
    assert (rules.ignore_echo, rules.events) == (False, True)
    silences = (endpointing.end_after_complete_ms, endpointing.end_after_ms, endpointing.end_after_incomplete_ms)
    assert silences == (875, 1000, 1500)
    assert endpointing.end_after_likely_done_ms == 400


def test_the_next_profile_has_the_settings_silences_again():
    state = choose_profile(choose_profile(DialogState(RULES), WAITS), Profile("other"))

    assert state.endpointer.rules == DialogState(RULES).endpointer.rules
    assert (state.rules.reply_after_ms, state.rules.ignore_echo, state.rules.events) == (1000, True, False)


def test_what_the_client_set_stands_before_its_conversations_profile():
    play = Play(DialogState(RULES))
    play.happen(ev.ClientConfigured(events=False, turns=TurnMode.AUTO))

    rules = continue_with_profile(play.state, WAITS).rules

    assert (rules.events, rules.turns, rules.silence_ms) == (False, TurnMode.AUTO, 4000)
