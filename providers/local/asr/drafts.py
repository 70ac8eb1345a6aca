"""One session's drafts: what is stable is not decoded again, what is old is not even looked at."""

from dataclasses import dataclass, replace

from app.domain.transcript import join
from providers.local.asr.decode import COLUMNS_A_SECOND, DecodeRequest
from providers.local.asr.fallback import DecodeResult
from providers.local.asr.hallucination import Verdict
from providers.local.mel import GrowingMel

_WINDOW = 3 * COLUMNS_A_SECOND
"""Columns from which the window moves on: what the encoder is given costs by the second."""

_FORCED = 10 * COLUMNS_A_SECOND
"""Columns from which it moves on even over words that are not stable."""

_KEPT = 3 * COLUMNS_A_SECOND // 2
"""Columns that stay in the window when it moves."""

_LEAD = 10
"""Columns kept before the first word of the window."""


@dataclass(frozen=True, slots=True)
class DraftState:
    """What is known of the utterance that one session is speaking."""

    mel: GrowingMel
    begins: int = 0
    """The column at which the window begins."""

    before: tuple[str, ...] = ()
    """The words said before the window."""

    newest: str = ""
    """The whole utterance as the newest pass heard it: what the next one will probably hear."""

    voiced: bool = False
    """Someone was heard to speak."""

    def hear(self, pcm: bytes, stable: str) -> "DraftState":
        """The same utterance with more sound, or a new one."""
        known = self if pcm.startswith(self.mel.pcm) else DraftState(self.mel)
        known = replace(known, mel=self.mel.hear(pcm))
        columns = known.mel.power.shape[1]
        if columns - known.begins <= _FORCED + _WINDOW:
            return known
        # So much at once fits no window: what was agreed on stands for all but the end of it.
        return replace(known, begins=columns - _WINDOW, before=tuple(stable.split()))

    def ask(self, stable: str, language: str | None) -> DecodeRequest:
        """What to decode: the window, behind the stable words that lie in it."""
        power = self.mel.power[:, self.begins :]
        said, guess = (" ".join(text.split()[len(self.before) :]) for text in (stable, self.newest))
        return DecodeRequest(power, language, said, guess, careful=False, timed=power.shape[1] > _WINDOW)

    def text(self, heard: DecodeResult, stable: str) -> str | None:
        """The whole utterance so far; None after a broken pass."""
        if heard.verdict is Verdict.BROKEN:
            return None
        return join((*self.before, heard.text)) or stable

    def move(self, heard: DecodeResult, stable: str) -> "DraftState":
        """The window after this pass: it leaves behind the stable words that are some seconds old."""
        columns = self.mel.power.shape[1] - self.begins
        if not heard.words or columns <= _WINDOW:
            return self
        settled = len(heard.words) - 1 if columns > _FORCED else len(stable.split()) - len(self.before) - 1
        old = [
            n
            for n, word in enumerate(heard.words[: max(0, settled)])
            if n > 0 and word.start * COLUMNS_A_SECOND <= columns - _KEPT
        ]
        if not old:
            return self
        cut = old[-1]
        begins = self.begins + max(0, int(heard.words[cut].start * COLUMNS_A_SECOND) - _LEAD)
        left = tuple(word.text.strip() for word in heard.words[:cut])
        return replace(self, begins=begins, before=(*self.before, *left))
