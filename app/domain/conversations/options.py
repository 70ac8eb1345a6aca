"""Which instructions and which window of history a reply to a conversation gets: chosen here, and nowhere else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.domain.dialog.conversation import Message, prompt
from app.domain.profile import Profile


@dataclass(frozen=True, slots=True)
class ReplyOptions:
    """Of the service; `for_profile` has those of a conversation with a profile."""

    instructions: str = ""
    """System prompt."""
    max_characters: int = 4000
    """Of history, in a prompt."""
    max_tokens: int | None = None
    """The limit in place of `max_characters`, in estimated tokens."""

    def for_profile(self, profile: Profile | None) -> "ReplyOptions":
        """With what the profile sets; without one the same."""
        if profile is None:
            return self
        instructions = self.instructions if profile.instructions is None else profile.instructions
        return replace(self, instructions=instructions, max_tokens=profile.history_tokens)

    def prompt(self, history: Sequence[Message]) -> tuple[Message, ...]:
        """What the engine sees: the instructions and the newest messages that fit; the last one always does."""
        return prompt(self.instructions, history, max_characters=self.max_characters, max_tokens=self.max_tokens)
