"""What the query of a Deepgram stream sets its session up with."""

import pytest

from app.domain.errors import ClientError
from app.domain.turn_mode import TurnMode
from app.web.deepgram.query import listen_options


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("300", (TurnMode.SILENCE, 300)),
        ("200", (TurnMode.SILENCE, 200)),
        ("60000", (TurnMode.SILENCE, 30_000)),
        ("25", (TurnMode.TRANSCRIBE, None)),
        ("0", (TurnMode.TRANSCRIBE, None)),
        ("false", (TurnMode.TRANSCRIBE, None)),
        ("true", (TurnMode.TRANSCRIBE, None)),
    ],
)
def test_endpointing_ends_utterances_from_the_shortest_pause_on(value, expected):
    configured = listen_options({"endpointing": [value]}).configuration

    assert (configured.turns, configured.silence_ms, configured.reply) == (*expected, False)


def test_without_endpointing_the_server_decides():
    assert listen_options({}).configuration.turns is TurnMode.TRANSCRIBE


@pytest.mark.parametrize("value", ["soon", "-1", "60001", "nan"])
def test_endpointing_that_is_no_silence_is_refused(value):
    with pytest.raises(ClientError, match="endpointing"):
        listen_options({"endpointing": [value]})
