"""How long a stream is kept, and what it costs."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.audio import ms
from providers.aws.lifetime import (
    CloseStream,
    SendSilence,
    StreamLimits,
    StreamUsage,
    WaitUntil,
    accepts_utterance,
    billed_seconds,
    idle_action,
)

LIMITS = StreamLimits(keepalive_every_s=6, keepalive_ms=100, idle_timeout_s=300, max_age_s=3600)
STREAM = StreamUsage(opened_at=0, last_audio_at=10, idle_since=10, samples=ms(4_000), samples_when_idle=ms(4_000))


@pytest.mark.parametrize(
    ("milliseconds", "billed"), [(0, 0), (1, 15), (15_000, 15), (15_001, 16), (16_000, 16), (61_200, 62)]
)
def test_billed_seconds_are_whole_and_at_least_fifteen(milliseconds: int, billed: int) -> None:
    """A stream that never hypotheses anything is free."""
    assert billed_seconds(ms(milliseconds)) == billed


@pytest.mark.parametrize(
    ("now", "order"),
    [
        (10, WaitUntil(16)),
        (15.9, WaitUntil(16)),
        (16, SendSilence(ms(100))),
        (310, CloseStream("it was idle for too long")),
        (3600, CloseStream("it is near a limit of the service")),
    ],
)
def test_an_idle_stream_is_kept_alive_and_closed_in_the_end(now: float, order: object) -> None:
    """A keep-alive is due before the service closes the stream; after the idle timeout it is closed."""
    assert idle_action(STREAM, LIMITS, now) == order


def test_keepalive_within_the_minimum_is_free_and_ends_at_the_price_of_another_stream() -> None:
    """Fifteen paid seconds of silence, and not one more."""
    paid = replace(STREAM, samples=ms(30_000), samples_when_idle=ms(4_000), last_audio_at=100)
    free = replace(STREAM, samples=ms(14_000), samples_when_idle=ms(4_000), last_audio_at=100)

    assert idle_action(paid, LIMITS, 101) == CloseStream("keeping it has cost as much as opening another")
    assert idle_action(free, LIMITS, 101) == WaitUntil(106)


@given(st.integers(0, 3000))
def test_keepalive_never_costs_more_than_twice_the_best(pause_s: int) -> None:
    """The best is the cheaper of reopening and of keep-alives; the length of a pause is unknown beforehand."""
    limits = StreamLimits(keepalive_every_s=1, keepalive_ms=1000, idle_timeout_s=1e9, max_age_s=1e9)
    stream = StreamUsage(opened_at=0, last_audio_at=0, idle_since=0, samples=ms(20_000), samples_when_idle=ms(20_000))
    is_open = True
    for second in range(1, pause_s + 1):
        match idle_action(stream, limits, second):
            case SendSilence(samples):
                stream = replace(stream, samples=stream.samples + samples, last_audio_at=second)
            case CloseStream():
                is_open = False
                break
            case WaitUntil():
                pass

    silence_s = billed_seconds(stream.samples) - 20
    paid = silence_s if is_open else silence_s + 15

    assert paid <= 2 * min(15, pause_s)


def test_no_utterance_begins_near_a_stream_limit() -> None:
    """Neither the service's four hours nor the credentials' end cut an utterance."""
    assert accepts_utterance(STREAM, LIMITS, 3599)
    assert not accepts_utterance(STREAM, LIMITS, 3600)
    assert not accepts_utterance(replace(STREAM, expires_at=50), LIMITS, 50)
    assert idle_action(replace(STREAM, expires_at=12), LIMITS, 11) == WaitUntil(12)
