"""One line per turn in the log: how long things took, never what was said."""

from dataclasses import dataclass, field

import structlog

from app.domain.audio import SAMPLE_RATE
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.ports import Clock

_log = structlog.get_logger("parley.turn")


@dataclass(slots=True)
class TurnTelemetry:
    """The timings of one session. TTFS counts from the detected end of speech, as it was heard."""

    session: str
    clock: Clock
    heard: int = 0
    heard_at: float = 0.0
    speech_end: int = 0
    turn: dict[str, int] = field(default_factory=dict)

    def observe_event(self, event: ev.Event) -> None:
        match event:
            case ev.AudioReceived(scored):
                self.heard, self.heard_at = scored.chunk.end, self.clock.now()
            case ev.ClientLeft():
                _log.info("session over", session=self.session, seconds=round(self.heard / SAMPLE_RATE, 2))
            case _:
                pass

    def observe_effect(self, effect: do.Effect) -> int | None:
        """Note the effect. For a final: its TTFS in ms."""
        match effect:
            case do.ShowFinal():
                self.speech_end = effect.speech_end
                ttfs = self._since_speech()
                self.turn["finals"] = self.turn.get("finals", 0) + 1
                self.turn["drafts"] = self.turn.get("drafts", 0) + effect.drafts
                self.turn["wasted_finals"] = self.turn.get("wasted_finals", 0) + effect.wasted
                self.turn["ttfs_ms"] = ttfs
                return ttfs
            case do.ShowReplyDelta():
                self.turn.setdefault("first_word_ms", self._since_speech())
            case do.PlayAudio():
                self.turn.setdefault("voice_to_voice_ms", self._since_speech())
            case do.ShowReply(turn):
                self._write("turn over", turn)
            case do.ShowReplyCancelled(turn, reason):
                self._write("turn over", turn, cancelled=reason)
            case do.ShowError(error):
                _log.warning("error", session=self.session, kind=type(error).__name__, message=str(error))
            case _:
                pass
        return None

    def _since_speech(self) -> int:
        ended_at = self.heard_at - (self.heard - self.speech_end) / SAMPLE_RATE
        return max(0, round((self.clock.now() - ended_at) * 1000))

    def _write(self, line: str, turn: int, **more: object) -> None:
        _log.info(line, session=self.session, turn=turn, **self.turn, **more)
        self.turn = {}
