"""What a client hears of reply servers that fail: over HTTP and a WebSocket, from speech to the stored manifest."""

from contextlib import asynccontextmanager

import pytest

from app.assembly.replies import open_reply_engines
from app.config import Settings
from app.domain.dialog.state import DialogState, TurnRules
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.runtime.dialog.engines import Engines
from tests.emulators.openai import Script, chunk, serve_openai
from tests.fakes import SILENCE, SPEECH, ScriptedDetector, ScriptedSynthesizer, ScriptedTranscriber, SingleRouteFinals
from tests.routes import LOCAL, scripted_routes
from tests.serving import scripted_service, served, stored_manifest
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio

TURN = SPEECH * 30 + SILENCE * 60
WORDS = ("It ", "is ", "by ", "the ", "door.")


@asynccontextmanager
async def conversation(first: Script, second: Script):
    """One turn with `openai,ollama`: the client, the service, and the two servers."""
    routes = scripted_routes(LOCAL).routes
    with serve_openai(script=first) as openai, serve_openai(script=second) as ollama:
        settings = Settings(
            openai_api_key="sk-test",
            openai_base_url=openai.base_url,
            ollama_base_url=ollama.base_url,
            speech_provider="none",
        )
        async with open_reply_engines(settings, ["openai", "ollama"], routes) as engines:

            @asynccontextmanager
            async def session_engines(session, tenant):
                finals = SingleRouteFinals(Route("local", Place.ON_PREM), ScriptedTranscriber("where is the switch"))
                generator = engines.for_session(session, tenant).generator
                yield Engines(ScriptedDetector(), finals, None, generator, ScriptedSynthesizer())

            service = scripted_service(
                session_engines=session_engines, initial_state=DialogState(TurnRules(eager_replies=False))
            )
            async with served(service) as address, open_session(f"ws://{address}/ws/transcribe") as client:
                await client.send_audio(TURN, pace=0)
                assert await client.wait_until(
                    lambda t: t.messages("server_response") or t.messages("replyCancelled"), timeout_s=20
                )
            manifest = await stored_manifest(service, client.messages("session")[0].message["id"])
            yield client, manifest, ollama


def shown_text(client) -> str:
    return "".join(delta.message["text"] for delta in client.messages("replyDelta"))


@pytest.mark.parametrize(
    "dead",
    [
        Script(status=500),
        Script(status=401),
        Script(status=429, retry_after="30"),
        Script(deltas=WORDS, cuts_after=0),
        Script(deltas=("<think>", "The user wants "), cuts_after=2),
        Script(raw=chunk({"reasoning_content": "Hm."}) + chunk({}, "length")),
        Script(raw="<html>sign in</html>"),
    ],
)
async def test_client_hears_nothing_of_a_server_that_is_dead(dead):
    """The next one replies: whole, without an error, and so it is stored."""
    async with conversation(dead, Script(deltas=("<think>Hm.</think>", *WORDS))) as (client, manifest, _):
        pass

    assert [m.message["message"] for m in client.messages("server_response")] == ["It is by the door."]
    assert shown_text(client) == "It is by the door."
    assert client.messages("error") == []
    assert [(reply["text"], reply.get("cancelled")) for reply in manifest["replies"]] == [("It is by the door.", None)]


async def test_client_is_told_that_a_reply_was_cut_off():
    """What was shown stays; no other server is asked; the manifest has the reason."""
    async with conversation(Script(deltas=WORDS, cuts_after=3), Script(deltas=WORDS)) as (client, manifest, ollama):
        pass

    assert shown_text(client) == "It is by "
    assert [m.message["code"] for m in client.messages("error")] == ["provider_down"]
    assert [m.message["reason"] for m in client.messages("replyCancelled")] == ["failed"]
    assert client.messages("server_response") == []
    assert [(reply["text"], reply["cancelled"]) for reply in manifest["replies"]] == [("It is by", "failed")]
    assert [request for request in ollama.requests if "messages" in request] == []
