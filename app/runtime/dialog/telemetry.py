"""Turn telemetry: one log line per turn with its timings, never what was said."""

from dataclasses import dataclass, field

import structlog

from app.domain.audio import SAMPLE_RATE
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.ports import Clock
from app.runtime.dialog.turn_trace import TurnTrace
from app.runtime.metrics import ServiceMetrics

_log = structlog.get_logger("parley.turn")


@dataclass(slots=True)
class TurnTelemetry:
    """The timings of one session. TTFS and voice-to-voice count from the detected end of speech, as it arrived."""

    session: str
    clock: Clock
    metrics: ServiceMetrics = field(default_factory=ServiceMetrics)
    audio_end: int = 0
    """Behind the last sample received."""
    received_at: float = 0.0
    """When it was, by the clock."""
    speech_end: int = 0
    is_in_turn: bool = False
    """Somebody speaks, or a final or a reply is on its way."""
    draft_audio_at: float = 0.0
    """When the newest audio arrived of the draft that was requested last."""
    turn: dict[str, int] = field(default_factory=dict)
    """The fields of the current turn's log line."""
    trace: TurnTrace = field(init=False)

    def __post_init__(self) -> None:
        self.trace = TurnTrace(self.session)

    def observe_event(self, event: ev.Event) -> None:
        """Note when audio arrived, and log the end of the session."""
        self.trace.observe_event(event)
        match event:
            case ev.AudioReceived(scored):
                self.audio_end, self.received_at = scored.chunk.end, self.clock.now()
            case ev.ClientLeft():
                _log.info("session over", session=self.session, seconds=round(self.audio_end / SAMPLE_RATE, 2))
            case _:
                pass

    def observe_effect(self, effect: do.Effect) -> int | None:
        """Note the effect. For a final: its TTFS in ms."""
        match effect:
            case do.ShowFinal():
                self.trace.show_final(effect)
                self.speech_end = effect.speech_end
                ttfs_ms = self._since_speech_ms()
                self.turn["finals"] = self.turn.get("finals", 0) + 1
                self.turn["drafts"] = self.turn.get("drafts", 0) + effect.drafts
                self.turn["wasted_finals"] = self.turn.get("wasted_finals", 0) + effect.wasted
                self.turn["ttfs_ms"] = ttfs_ms
                self.metrics.ttfs.observe(ttfs_ms / 1000)
                return ttfs_ms
            case do.RequestDraft():
                self.draft_audio_at = self.received_at
            case do.ShowDraft():
                self.metrics.draft_age.observe(max(0.0, self.clock.now() - self.draft_audio_at))
            case do.ShowReplyDelta() if self._answers_speech:
                self.turn.setdefault("first_word_ms", self._since_speech_ms())
            case do.PlayAudio() if self._answers_speech and "voice_to_voice_ms" not in self.turn:
                self.turn["voice_to_voice_ms"] = voice_to_voice_ms = self._since_speech_ms()
                self.metrics.voice_to_voice.observe(voice_to_voice_ms / 1000)
            case do.ShowReply(turn):
                self.metrics.replies.labels("complete").inc()
                self._log_turn(turn)
            case do.EndTurnUnanswered(turn):
                self._log_turn(turn)
            case do.ShowReplyCancelled(turn, reason) | do.RecordReplyCancelled(turn, reason):
                self.metrics.replies.labels(reason).inc()
                self._log_turn(turn, cancelled=reason)
            case do.RecordOverlap(utterance, verdict, after_ms):
                self.metrics.overlaps.labels(verdict.value).inc()
                self.metrics.overlap_decision.observe(after_ms / 1000)
                fields = {"utterance": utterance, "verdict": verdict.value, "after_ms": after_ms}
                _log.info("speech over a reply", session=self.session, **fields)
            case do.ResumeReply():
                self.metrics.resumed_replies.inc()
            case do.ShowError(error):
                _log.warning("error", session=self.session, kind=type(error).__name__, message=str(error))
            case _:
                pass
        return None

    @property
    def _answers_speech(self) -> bool:
        """Whether this turn had speech; a text that the client had spoken follows none."""
        return "finals" in self.turn

    def _since_speech_ms(self) -> int:
        ended_at = self.received_at - (self.audio_end - self.speech_end) / SAMPLE_RATE
        return max(0, round((self.clock.now() - ended_at) * 1000))

    def _log_turn(self, turn: int, **more: object) -> None:
        trace = self.trace.end_turn(turn=turn, **self.turn, **more)
        _log.info(
            "turn over", session=self.session, turn=turn, **self.turn, **more, **({"trace": trace} if trace else {})
        )
        self.turn = {}
