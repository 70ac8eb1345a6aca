"""When the words of an utterance are final."""

import pytest

from providers.aws.finalization import (
    AbandonUtterance,
    AwaitResults,
    CommitFinal,
    FinalizationTimeouts,
    FlushStream,
    UtteranceProgress,
    next_step,
)

TIMEOUTS = FinalizationTimeouts(flush_after_s=0.75, final_within_s=3)


@pytest.mark.parametrize(
    ("progress", "step"),
    [
        (UtteranceProgress(), AwaitResults(None)),
        (UtteranceProgress(is_complete=True), AwaitResults(None)),
        (UtteranceProgress(since_endpoint_s=0, is_complete=True), CommitFinal()),
        (UtteranceProgress(since_endpoint_s=2, is_closed=True), CommitFinal()),
        (UtteranceProgress(since_endpoint_s=0), AwaitResults(0.75)),
        (UtteranceProgress(since_endpoint_s=0.5), AwaitResults(0.25)),
        (UtteranceProgress(since_endpoint_s=0.75), FlushStream()),
        (UtteranceProgress(since_endpoint_s=1, is_flushed=True), AwaitResults(2)),
        (UtteranceProgress(since_endpoint_s=3, is_flushed=True), AbandonUtterance()),
        (UtteranceProgress(since_endpoint_s=9, is_flushed=True, is_complete=True), CommitFinal()),
    ],
)
def test_next_step_by_progress_and_timeouts(progress: UtteranceProgress, step: object) -> None:
    """Nothing is final before the endpoint; then complete words, then the end of the stream, then an error."""
    assert next_step(progress, TIMEOUTS) == step
