"""Which instructions and which window of history a reply to a conversation gets: chosen here, and nowhere else."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.dialog.conversation import Message, prompt
from app.domain.spending import CHARACTERS_PER_TOKEN


@dataclass(frozen=True, slots=True)
class ReplyOptions:
    """Of the service, for every conversation. What a conversation's `profile` changes belongs here."""

    instructions: str = ""
    """System prompt."""
    max_characters: int = 4000
    """Of history, in a prompt."""
    max_tokens: int | None = None
    """The same in tokens, by the average length of one; None: the characters alone limit it."""

    def prompt(self, history: Sequence[Message]) -> tuple[Message, ...]:
        """What the engine sees: the instructions and the newest messages that fit; the last one always does."""
        characters = self.max_characters
        if self.max_tokens is not None:
            characters = min(characters, self.max_tokens * CHARACTERS_PER_TOKEN)
        return prompt(self.instructions, history, max_characters=characters)
