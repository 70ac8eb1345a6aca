"""Who said a final: its speaker label, with it where its voice is known by then, and behind it where it comes later.

A final never waits for its label. Speakers are told apart in the order in which their finals are shown.
"""

from dataclasses import replace

from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.chain import Transition
from app.domain.dialog.state import DialogState, UnlabelledFinal, UserSpeaking, Utterance

MAX_UNLABELLED = 8
"""Finals whose label may still come."""


def label_final(state: DialogState, utterance: Utterance, turn: int) -> tuple[DialogState, int | None]:
    """The label of a final with words that is shown now; None where there is none, or not yet."""
    if not state.rules.speakers:
        return state, None
    speech = utterance.speech_end - utterance.speech_start
    if utterance.voice is None:
        waiting = UnlabelledFinal(utterance.number, utterance.revision, turn, speech)
        return replace(state, unlabelled=(*state.unlabelled, waiting)[-MAX_UNLABELLED:]), None
    speakers, label = state.speakers.label(utterance.voice, speech)
    return replace(state, speakers=speakers), label


def accept_voice(state: DialogState, event: ev.SpeakerEmbedded) -> Transition:
    """Keep the voice of an utterance until its final is shown; label the final that was shown without it."""
    utterance, revision, voice = event.utterance, event.revision, event.voice
    if isinstance(state.phase, UserSpeaking) and _is_of(state.phase.utterance, event):
        return replace(state, phase=UserSpeaking(replace(state.phase.utterance, voice=voice))), ()
    pending = tuple(replace(each, voice=voice) if _is_of(each, event) else each for each in state.pending_finals)
    found = [each for each in state.unlabelled if (each.utterance, each.revision) == (utterance, revision)]
    unlabelled = tuple(each for each in state.unlabelled if each not in found)
    speakers, effects = state.speakers, list[do.Effect]()
    for final in found:
        speakers, label = speakers.label(voice, final.speech)
        if label is not None:
            effects.append(do.ShowSpeaker(final.turn, final.utterance, label))
    return replace(state, pending_finals=pending, unlabelled=unlabelled, speakers=speakers), tuple(effects)


def _is_of(utterance: Utterance, event: ev.SpeakerEmbedded) -> bool:
    return (utterance.number, utterance.revision) == (event.utterance, event.revision)
