"""`parley talk`: its options become a `configure` that the server takes."""

import pytest
from parley_client import Final, SpeakerLabelled
from parley_client.configuration import configure_message
from parley_client.packets import encode
from rich.console import Console

from app.cli.talk import configuration, print_event
from app.domain.profile import Profile
from app.domain.residency import Residency
from app.domain.turn_mode import TurnMode
from app.web.parley.messages import decode, order


def taken(**options):
    return order(decode(encode(configure_message(configuration(**options)))), Profile)


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
    ("event", "printed"),
    [
        (Final("Hello.", 1, 1, speaker=2), "Speaker 2: Hello."),
        (Final("Hello.", 1, 1), "1.00 s Hello."),
        (SpeakerLabelled(3, 1, 2), "utterance 3 is of Speaker 2"),
    ],
)
def test_speakers_are_printed(event, printed, capsys):
    print_event(Console(highlight=False, width=120), 1.0, event)

    assert printed in capsys.readouterr().out
