"""`parley talk`: its options become a `configure` that the server takes."""

import msgspec
import pytest
from rich.console import Console

from app.cli.talk import _print, configuration
from app.client import ReceivedMessage
from app.domain.profile import Profile
from app.domain.residency import Residency
from app.domain.turn_mode import TurnMode
from app.web.parley.messages import decode, order


def taken(**options):
    message = {"type": "configure", **configuration(**options)}
    return order(decode(msgspec.json.encode(message).decode()), Profile)


def test_what_was_not_asked_for_is_not_sent():
    assert configuration(reply=True) == {"pauses": True}
    assert configuration(reply=False, person=None, turns=None) == {"reply": False}


def test_every_option_reaches_the_session():
    event = taken(
        reply=False,
        language="de, English",
        key_terms="Zoë, ACE inhibitor",
        person="ann",
        profile="assistant",
        conversation="c1",
        turns="manual",
        place="on_prem_only",
        no_archive=True,
    )

    assert (event.language, event.key_terms, event.person) == ("de,en", ("Zoë", "ACE inhibitor"), "ann")
    assert (event.profile.name, event.conversation, event.turns) == ("assistant", "c1", TurnMode.MANUAL)
    assert (event.residency, event.archive, event.reply) == (Residency.ON_PREM_ONLY, False, False)


@pytest.mark.parametrize(
    ("message", "printed"),
    [
        ({"type": "fullSentence", "text": "Hello.", "end": 1.0, "speaker": 2}, "Speaker 2: Hello."),
        ({"type": "fullSentence", "text": "Hello.", "end": 1.0}, "1.00 s Hello."),
        ({"type": "speaker", "utterance": 3, "turn": 1, "speaker": 2}, "utterance 3 is of Speaker 2"),
    ],
)
def test_speakers_are_printed(message, printed, capsys):
    _print(Console(highlight=False, width=120), ReceivedMessage(1.0, message))

    assert printed in capsys.readouterr().out
