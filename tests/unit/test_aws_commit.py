"""When the words of an utterance are final."""

import pytest

from providers.aws.commit import Commit, Flush, GiveUp, Listen, Patience, Standing, next_step

PATIENCE = Patience(flush_after_s=0.75, final_within_s=3)


@pytest.mark.parametrize(
    ("standing", "step"),
    [
        (Standing(), Listen(None)),
        (Standing(is_settled=True), Listen(None)),
        (Standing(since_endpoint_s=0, is_settled=True), Commit()),
        (Standing(since_endpoint_s=2, is_over=True), Commit()),
        (Standing(since_endpoint_s=0), Listen(0.75)),
        (Standing(since_endpoint_s=0.5), Listen(0.25)),
        (Standing(since_endpoint_s=0.75), Flush()),
        (Standing(since_endpoint_s=1, is_flushed=True), Listen(2)),
        (Standing(since_endpoint_s=3, is_flushed=True), GiveUp()),
        (Standing(since_endpoint_s=9, is_flushed=True, is_settled=True), Commit()),
    ],
)
def test_patience_runs_out_in_steps(standing: Standing, step: object) -> None:
    """Nothing is final while the person speaks; then proof, then the end of the stream, then an error."""
    assert next_step(standing, PATIENCE) == step
