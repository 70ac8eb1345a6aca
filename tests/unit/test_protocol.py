"""frontend/PROTOCOL.md is the reference: the server's messages are its examples, field by field."""

import json
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from app.domain.dialog import effects as do
from app.domain.errors import ClientError, ClientFault, ProviderError
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.transcript import Hypothesis
from app.web.parley import messages
from app.web.parley.packets import pack, unpack

PROTOCOL = (Path(__file__).parents[2] / "frontend" / "PROTOCOL.md").read_text()


def examples(block: str) -> list[str]:
    found = re.findall(rf"```json {block}\n(.*?)```", PROTOCOL, re.DOTALL)
    return [line for text in found for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("example", examples("server"))
def test_the_server_can_say_each_example(example):
    """Decoded as the server's own message and encoded again, nothing is missing and nothing is new."""
    message = msgspec.json.decode(example, type=messages.ServerMessage)

    assert json.loads(messages.encode(message)) == json.loads(example)


def test_every_message_of_the_server_has_an_example():
    """A new message cannot stay undocumented."""
    documented = {json.loads(example)["type"] for example in examples("server")}

    assert {kind.__struct_config__.tag for kind in get_args(messages.ServerMessage)} == documented


@pytest.mark.parametrize("example", examples("client"))
def test_the_server_reads_each_example(example):
    """Every order of the page is understood."""
    assert messages.read_control(example) is not None


def test_every_order_has_an_example():
    """A new order cannot stay undocumented."""
    documented = {json.loads(example)["type"] for example in examples("client")}

    assert {kind.__struct_config__.tag for kind in get_args(messages.Control)} == documented


def test_the_packets_are_as_documented():
    """The client's metadata is read, the server's is written."""
    (client,), (server,) = examples("client-packet"), examples("server-packet")

    packet = unpack(pack(client.encode(), b"\1\0"))
    written = json.loads(messages.audio_metadata(1))

    assert (packet.sample_rate, packet.pcm) == (48_000, b"\1\0")
    assert written == json.loads(server)


def test_every_error_code_is_documented():
    """A client's author finds each code in the reference."""
    codes = {*ClientFault, "no_capacity", "internal_error", *(kind.code for kind in ProviderError.__subclasses__())}

    assert {code for code in codes if f"`{code}`" not in PROTOCOL} == set()


def test_a_final_says_who_made_it():
    """The route travels with the final; where an engine failed there is none."""
    final = do.ShowFinal(2, 7, Hypothesis("Hi."), 16_000, 32_000, 40_000, route=Route("local", Place.ON_PREM))

    written = json.loads(messages.encode(messages.message(final, 120)))

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


def test_an_error_never_shows_what_a_vendor_said():
    """Our sentence and our code go out; the cause stays inside."""
    error = ClientError(ClientFault.ODD_PCM, "3 bytes are no samples")
    error.__cause__ = ValueError("vendor's words")

    assert "vendor" not in messages.encode(messages.error_message(error)).decode()
    assert messages.error_message(ValueError("secret")).message == "something went wrong on the server"
