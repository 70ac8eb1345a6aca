"""Turn telemetry: what is measured, and what there is nothing to measure for."""

import structlog

from app.domain.audio import AudioChunk, ScoredChunk
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.transcript import Hypothesis
from app.runtime.dialog.telemetry import TurnTelemetry


class FixedClock:
    def __init__(self) -> None:
        self.time = 8000.0

    def now(self) -> float:
        return self.time

    async def sleep_until(self, deadline: float) -> None:
        raise NotImplementedError


def turn_lines(telemetry: TurnTelemetry, *effects: do.Effect) -> list[dict]:
    with structlog.testing.capture_logs() as lines:
        for effect in effects:
            telemetry.observe_effect(effect)
    return [line for line in lines if line["event"] == "turn over"]


REPLY = (do.ShowReplyDelta(1, "Good day."), do.PlayAudio(1, AudioChunk(bytes(320), 0)), do.ShowReply(1, "Good day."))


def test_a_text_spoken_for_the_client_has_no_latency_from_speech():
    telemetry = TurnTelemetry("s", FixedClock())

    (line,) = turn_lines(telemetry, *REPLY)

    assert not {"first_word_ms", "voice_to_voice_ms"} & line.keys()
    assert telemetry.metrics.registry.get_sample_value("parley_voice_to_voice_seconds_count") == 0


def test_a_reply_to_speech_is_measured_from_its_end():
    clock = FixedClock()
    telemetry = TurnTelemetry("s", clock)
    telemetry.observe_event(ev.AudioReceived(ScoredChunk(AudioChunk(bytes(32_000), 0), 0.0)))
    clock.time += 0.2
    final = do.ShowFinal(1, 1, Hypothesis("hello", is_final=True), start=0, speech_end=12_800, end=16_000)

    (line,) = turn_lines(telemetry, final, *REPLY)

    assert (line["ttfs_ms"], line["first_word_ms"], line["voice_to_voice_ms"]) == (400, 400, 400)


def test_the_age_of_a_draft_counts_from_the_arrival_of_its_audio():
    """Audio that comes while it is made is not part of it."""
    clock = FixedClock()
    telemetry = TurnTelemetry("s", clock)
    telemetry.observe_event(ev.AudioReceived(ScoredChunk(AudioChunk(bytes(3200), 0), 1.0)))
    telemetry.observe_effect(do.RequestDraft(1, ""))
    clock.time += 0.25
    telemetry.observe_event(ev.AudioReceived(ScoredChunk(AudioChunk(bytes(3200), 1600), 1.0)))
    telemetry.observe_effect(do.ShowDraft(1, 1, "hello", ""))

    assert telemetry.metrics.registry.get_sample_value("parley_draft_age_seconds_sum") == 0.25
