"""A stored conversation and its messages: text and speech, of the user and of the reply engine, in one order."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from app.domain.dialog.conversation import Message, Role, reply_messages
from app.domain.tools import ToolCall
from app.domain.transcript import Word

MAX_TEXT_CHARACTERS = 8000
"""Of one message of a client in text. A reply has the limit of its engine."""

MAX_SPOKEN_CHARACTERS = 100_000
"""Of what is said in a file or a recording: about two hours of speech."""

TITLE_CHARACTERS = 80


class MessageKind(StrEnum):
    """How it was said. The values are stored."""

    TEXT = "text"
    VOICE = "voice"


@dataclass(frozen=True, slots=True)
class Conversation:
    id: str
    """32 hexadecimal digits, a UUID of version 7; where a voice session began it, that session's id."""
    tenant: str
    created: str
    """ISO 8601, UTC."""
    updated: str
    """When the newest message was stored."""
    person: str = ""
    """Whose it is, as the tenant identifies persons; empty where nobody says."""
    title: str = ""
    is_titled: bool = False
    """A client has named it; otherwise the title is the beginning of its first message."""
    profile: str = ""
    """The name of the profile that its replies have; empty: the default of the time."""
    messages: int = 0
    """The number of its newest message."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message of a conversation. Positions are samples of its session."""

    id: int
    """Unique in the database, and larger than that of an earlier message: it makes storing one repeatable."""
    role: Role
    text: str
    at: str
    """ISO 8601, UTC."""
    turn: int = 0
    """From 1; a turn is the user's messages up to a reply, and that reply."""
    number: int = 0
    """From 1 within the conversation; 0 before it is stored."""
    kind: MessageKind = MessageKind.TEXT
    session: str = ""
    """The session or recording it was spoken in; empty for what was sent as text."""
    start: int | None = None
    """First sample of the utterance."""
    end: int | None = None
    """Behind its last sample of speech."""
    words: tuple[Word, ...] = ()
    language: str | None = None
    speaker: int | None = None
    """Who said it, from 1 in the order they spoke first in its session; None: nobody was told apart."""
    engine: str = ""
    """The route that made the final, or the engine that replied."""
    usd: float = 0.0
    """What the final or the reply has cost."""
    played: str | None = None
    """Of a reply that was cut: as far as the user has read or heard it. None: all of it."""
    cancelled: str | None = None
    """Why a reply ended early; None: it is whole."""
    prompt_tokens: int | None = None
    reply_tokens: int | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    """Tools that were called for a reply, with their results, as they are kept (`app.domain.tools.shortened`)."""
    missing: int = 0
    """So many messages are missing in this place, because the database was away for too long."""

    @property
    def received_text(self) -> str:
        """What the other side has received of it."""
        return self.text if self.played is None else self.played


def title_of(text: str) -> str:
    """The title of a conversation that begins with this text: its first line, cut at a word."""
    line = " ".join(next((line for line in text.splitlines() if line.strip()), "").split())
    if len(line) <= TITLE_CHARACTERS:
        return line
    cut = line[: TITLE_CHARACTERS - 1]
    return f"{cut[: cut.rfind(' ')] if ' ' in cut else cut}…"


def as_history(messages: Iterable[StoredMessage]) -> tuple[Message, ...]:
    """The messages as a reply engine sees them: of a reply that was cut, what was received of it."""
    history: list[Message] = []
    for message in messages:
        match message.role:
            case Role.USER if message.received_text.strip():
                history.append(Message(Role.USER, message.received_text))
            case Role.ASSISTANT:
                is_cut_off = message.cancelled is not None
                history += reply_messages(message.received_text, message.tool_calls, is_cut_off=is_cut_off)
            case _:
                pass
    return tuple(history)
