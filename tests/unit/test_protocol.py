"""frontend/PROTOCOL.md is the reference: the server's messages are its examples, field by field."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from litestar.exceptions import HTTPException

from app.domain.dialog import effects as do
from app.domain.errors import ClientError, ClientFault, NoDrafts, ProviderError, RequestRefused
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.transcript import Hypothesis, Word
from app.web.errors import error_reply
from app.web.parley import messages
from app.web.parley.packets import pack, unpack

PROTOCOL = (Path(__file__).parents[2] / "frontend" / "PROTOCOL.md").read_text()


def examples(block: str) -> list[str]:
    found = re.findall(rf"```json {block}\n(.*?)```", PROTOCOL, re.DOTALL)
    return [line for text in found for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("example", examples("server"))
def test_server_messages_encode_to_each_documented_example(example):
    """Decoded as a ServerMessage and encoded again, no field is lost and none is added."""
    message = msgspec.json.decode(example, type=messages.ServerMessage)

    assert json.loads(messages.encode(message)) == json.loads(example)


def test_every_server_message_is_documented():
    documented = {json.loads(example)["type"] for example in examples("server")}

    assert {kind.__struct_config__.tag for kind in get_args(messages.ServerMessage)} == documented


@pytest.mark.parametrize("example", examples("client"))
def test_each_documented_client_message_is_read(example):
    assert messages.decode(example) is not None


def test_every_client_message_is_documented():
    documented = {json.loads(example)["type"] for example in examples("client")}

    assert {kind.__struct_config__.tag for kind in get_args(messages.Control)} == documented


def test_packet_metadata_is_as_documented():
    (client,), servers = examples("client-packet"), examples("server-packet")

    packet = unpack(pack(client.encode(), b"\1\0"))
    written = [json.loads(messages.audio_metadata(1, number, start)) for number, start in ((18, None), (31, 24_000))]

    assert (packet.sample_rate, packet.pcm, packet.start) == (48_000, b"\1\0", 96_000)
    assert written == [json.loads(server) for server in servers]


HTTP = (400, 404, 405, 413)


def test_every_error_code_is_documented():
    codes = {*ClientFault, "no_capacity", "internal_error", *(kind.code for kind in ProviderError.__subclasses__())}
    codes |= {
        RequestRefused.code,
        NoDrafts.code,
        "not_found",
        "still_live",
        *(error_reply(HTTPException(status_code=s)).code for s in HTTP),
    }

    assert {code for code in codes if f"`{code}`" not in PROTOCOL} == set()


def test_full_sentence_has_its_words_where_they_are_asked_for():
    """In seconds of the session's audio; an engine without words has an empty list."""
    word = Word("Hi.", 1600, 4800, 0.87654)
    hypothesis = Hypothesis("Hi.", words=(word,), language="de", confidence=0.9)
    final = do.ShowFinal(2, 7, hypothesis, 16_000, 32_000, 40_000, with_words=True)

    asked, bare, other = (
        json.loads(messages.encode(messages.server_message(each, None)))
        for each in (final, replace(final, hypothesis=Hypothesis("Hi.")), replace(final, with_words=False))
    )

    assert asked["words"] == [{"word": "Hi.", "start": 1.1, "end": 1.3, "confidence": 0.877}]
    assert (asked["language"], asked["confidence"]) == ("de", 0.9)
    assert (bare["words"], "language" in bare, "confidence" in bare) == ([], False, False)
    assert (other["language"], "words" in other, "confidence" in other) == ("de", False, False)


@pytest.mark.parametrize(
    ("fields", "language"),
    [
        ('"language": "German"', "de"),
        ('"language": null', ""),
        ('"language": ""', ""),
        ('"languages": ["de-DE", "eng"]', "de,en"),
        ('"languages": []', ""),
        ('"reply": true', None),
    ],
)
def test_configure_sets_the_languages_that_may_be_spoken(fields, language):
    assert messages.order(messages.decode(f'{{"type": "configure", {fields}}}')).language == language


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ('"language": "xx"', ClientFault.UNKNOWN_LANGUAGE),
        ('"languages": ["de", "xx"]', ClientFault.UNKNOWN_LANGUAGE),
        ('"languages": ["de"], "language": "de"', ClientFault.BAD_MESSAGE),
        ('"languages": null', ClientFault.BAD_MESSAGE),
    ],
)
def test_configure_with_an_unknown_language_is_refused_whole(fields, fault):
    with pytest.raises(ClientError) as raised:
        messages.order(messages.decode(f'{{"type": "configure", "reply": true, {fields}}}'))

    assert raised.value.code is fault


def test_full_sentence_names_its_route():
    """A route without a latency has name and place alone."""
    final = do.ShowFinal(2, 7, Hypothesis("Hi."), 16_000, 32_000, 40_000, route=Route("local", Place.ON_PREM))

    written = json.loads(messages.encode(messages.server_message(final, 120)))

    assert written == {
        "type": "fullSentence",
        "text": "Hi.",
        "utterance": 7,
        "turn": 2,
        "start": 1.0,
        "end": 2.0,
        "route": {"name": "local", "place": "on_prem"},
        "ttfsMs": 120,
    }


def test_error_messages_never_contain_a_vendors_text():
    """The cause of an error stays in the log."""
    error = ClientError(ClientFault.ODD_PCM, "3 bytes are no samples")
    error.__cause__ = ValueError("vendor's words")

    assert "vendor" not in messages.encode(messages.error_message(error)).decode()
    assert messages.error_message(ValueError("secret")).message == "something went wrong on the server"
