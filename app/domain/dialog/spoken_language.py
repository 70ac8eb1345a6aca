"""In which language the user speaks."""

from app.domain.dialog.state import DialogState, Utterance
from app.domain.language import only_language


def utterance_language(state: DialogState, utterance: Utterance) -> str | None:
    """That of its final, else of its newest draft, else the session's; None: it is not known."""
    final = utterance.final.language if utterance.final else None
    return only_language(state.rules.language) or final or utterance.draft_language or state.newest_language


def session_language(state: DialogState) -> str | None:
    """The only one that may be spoken, else that of the newest final; None: it is not known."""
    return only_language(state.rules.language) or state.newest_language
