"""Replies from a receiver: what it is sent, each of its faults, its queue, and the settings that lead there."""

import pickle
import socket
from contextlib import aclosing, asynccontextmanager

import anyio
import pytest
from structlog.testing import capture_logs

from app.assembly.replies import describe_replies, open_reply_engines
from app.assembly.service import initial_state
from app.config import Settings
from app.domain.dialog.conversation import Message, Role
from app.domain.errors import ProviderBusy, ProviderDown, ProviderMisbehaved
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.tenant import Tenant
from app.runtime.dialog.engines import Engines
from providers.local.receiver.replies import MAX_WAITING, open_receiver
from tests.emulators.receiver import Fault, serve_receiver
from tests.eventually import until
from tests.fakes import SILENCE, SPEECH, ScriptedDetector, ScriptedSynthesizer, ScriptedTranscriber, SingleRouteFinals
from tests.routes import LOCAL, scripted_routes
from tests.serving import scripted_service, served
from tests.streaming_client import open_session

pytestmark = pytest.mark.anyio

TURN = (
    Message(Role.SYSTEM, "Be brief."),
    Message(Role.USER, "Hello."),
    Message(Role.ASSISTANT, "Good morning."),
    Message(Role.USER, "Where is the light switch?"),
)
ANSWER = "Generated Response to: Where is the light switch?"


@asynccontextmanager
async def opened(server, **options):
    timeouts = {"first_byte_timeout_s": 0.5, "idle_timeout_s": 0.3, "answer_timeout_s": 1.0}
    async with open_receiver(host="127.0.0.1", port=server.port, **timeouts | options) as engine:
        yield engine


async def reply(engine, conversation=TURN) -> str:
    async with aclosing(engine.reply(conversation)) as deltas:
        return "".join([delta async for delta in deltas])


def size(length: int) -> bytes:
    return length.to_bytes(8, "big", signed=length < 0)


YES = pickle.dumps("yes", protocol=4)


@pytest.mark.parametrize("framing", ["pickle", "json"])
async def test_receiver_is_sent_the_last_turn_and_its_answer_is_the_reply(framing):
    """The instructions and earlier turns are not for it: each turn was a connection of its own."""
    async with serve_receiver(framing=framing) as server, opened(server, framing=framing) as engine:
        answer = await reply(engine)

    assert answer == ANSWER
    ((item,),) = server.questions
    assert item.keys() == {"text", "timestamp"}
    assert item["text"] == "Where is the light switch?"


async def test_receiver_answer_that_comes_in_small_pieces_is_whole():
    """Even its length may come byte by byte."""
    async with (
        serve_receiver(Fault(drip_s=0.001)) as server,
        opened(server, answer_timeout_s=30.0) as engine,
    ):
        assert await reply(engine) == ANSWER


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        (Fault(goes_silent=True), ProviderDown, "went silent"),
        (Fault(goes_silent=True, raw=size(len(YES))[:5]), ProviderDown, "went silent"),
        (Fault(goes_silent=True, raw=size(len(YES)) + YES[:3]), ProviderDown, "went silent"),
        (Fault(drip_s=0.1), ProviderDown, "was not done"),
        (Fault(resets=True), ProviderDown, "lost the connection"),
        (Fault(raw=b""), ProviderMisbehaved, "without an answer"),
        (Fault(raw=size(len(YES))[:5]), ProviderMisbehaved, "broke off"),
        (Fault(raw=size(len(YES)) + YES[:-1]), ProviderMisbehaved, "broke off"),
        (Fault(raw=size(0)), ProviderMisbehaved, "no text"),
        (Fault(raw=size(-1) + YES), ProviderMisbehaved, "announced 18446744073709551615 bytes"),
        (Fault(raw=size(1 << 40) + YES), ProviderMisbehaved, "announced"),
        (Fault(raw=b"HTTP/1.1 400 Bad Request\r\n\r\n"), ProviderMisbehaved, "announced"),
        (Fault(raw=size(5) + b"\x8c\x01\xff\x94."), ProviderMisbehaved, "no text"),
        (Fault(raw=size(4) + b"junk"), ProviderMisbehaved, "no text"),
        (Fault(raw=size(len(pickle.dumps(" \n"))) + pickle.dumps(" \n")), ProviderMisbehaved, "answered with nothing"),
    ],
    ids=repr,
)
async def test_fault_of_a_receiver_is_our_error_and_frees_its_connection(fault, error, sentence):
    """Each has one of our names and a sentence, and the next turn is answered."""
    async with serve_receiver(fault) as server, opened(server) as engine:
        with anyio.fail_after(5), pytest.raises(error, match=f"^receiver: .*{sentence}"):
            await reply(engine)
        server.fault = Fault()

        assert await reply(engine) == ANSWER


async def test_receiver_that_is_down_is_a_warning_at_the_start_and_an_error_of_the_reply():
    """It may be started later: the service starts without it, and the sentence names address and settings."""
    async with serve_receiver() as server:
        pass
    with capture_logs() as lines:
        async with opened(server) as engine:
            with pytest.raises(ProviderDown, match=r"^receiver: cannot be reached$"):
                await reply(engine)

    (line,) = (each for each in lines if each["log_level"] == "warning")
    assert f"the receiver at 127.0.0.1:{server.port} cannot be reached" in line["problem"]
    assert "PARLEY_RECEIVER_HOST and PARLEY_RECEIVER_PORT" in line["problem"]


async def test_receiver_whose_host_has_no_address_is_down():
    """A misspelt name, and one that no name can be."""
    for host in ("no-such-host.invalid", "x" * 64 + ".example"):
        async with open_receiver(host=host, port=5001, connect_timeout_s=5.0) as engine:
            with pytest.raises(ProviderDown):
                await reply(engine)


async def test_receiver_that_accepts_no_connection_is_down_after_its_time():
    """Its backlog is full, as where it hangs: the kernel answers nobody any more."""
    with socket.socket() as hung:
        hung.bind(("127.0.0.1", 0))
        hung.listen(0)
        address = hung.getsockname()
        with socket.create_connection(address), capture_logs() as lines:
            async with open_receiver(host=address[0], port=address[1], connect_timeout_s=0.2) as engine:
                with pytest.raises(ProviderDown, match="cannot be reached"):
                    await reply(engine)

    assert [each["problem"] for each in lines if "no answer in 0.2 s" in each["problem"]]


async def test_cancelled_reply_closes_the_connection_to_the_receiver():
    """At once, and the next turn gets a connection."""
    async with serve_receiver(Fault(goes_silent=True)) as server, opened(server, first_byte_timeout_s=60.0) as engine:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reply, engine)
            await until(lambda: has_asked(server))
            tasks.cancel_scope.cancel()

        with anyio.fail_after(2):
            await server.closed_by_client.wait()
        server.fault = Fault()
        assert await reply(engine) == ANSWER


async def has_asked(server) -> bool:
    return bool(server.questions)


@pytest.mark.parametrize("connections", [1, 2])
async def test_receiver_has_no_more_connections_than_the_setting_says(connections):
    """Further replies wait for one that is free."""
    answers = []

    async def ask(engine) -> None:
        answers.append(await reply(engine))

    async with serve_receiver() as server, opened(server, connections=connections) as engine:
        await until(lambda: is_idle(server))
        server.most_at_once = 0
        async with anyio.create_task_group() as tasks:
            for _ in range(connections + MAX_WAITING):
                tasks.start_soon(ask, engine)

    assert answers == [ANSWER] * (connections + MAX_WAITING)
    assert server.most_at_once == connections


async def is_idle(server) -> bool:
    return server.connected == 0


async def test_replies_beyond_the_receivers_queue_are_refused_as_busy():
    """Who waits gives up where nobody is answered in time; one more than may wait is refused at once."""
    errors = []

    async def ask(engine) -> None:
        try:
            await reply(engine)
        except (ProviderBusy, ProviderDown) as error:
            errors.append(str(error))

    async with serve_receiver() as server, opened(server, first_byte_timeout_s=1.0) as engine:
        server.may_answer.clear()
        async with anyio.create_task_group() as tasks:
            for _ in range(1 + MAX_WAITING):
                tasks.start_soon(ask, engine)
            await until(lambda: has_asked(server))
            with pytest.raises(ProviderBusy, match=f"{MAX_WAITING} replies wait for it already"):
                await reply(engine)
            assert errors == []
        server.may_answer.set()

    assert "receiver: went silent for 1 s" in errors
    assert errors.count("receiver: still answers others") >= MAX_WAITING - 1


@asynccontextmanager
async def conversation(engine):
    """A session of a server whose replies this engine makes; one turn has been spoken."""

    @asynccontextmanager
    async def session_engines(session, tenant):
        finals = SingleRouteFinals(Route("local", Place.ON_PREM), ScriptedTranscriber("where is the switch"))
        yield Engines(ScriptedDetector(), finals, ScriptedTranscriber("where"), engine, ScriptedSynthesizer())

    async with (
        served(scripted_service(session_engines=session_engines)) as address,
        open_session(f"ws://{address}/ws/transcribe") as client,
    ):
        await client.send_audio(SPEECH * 30 + SILENCE * 80, pace=0)
        yield client


async def test_conversation_is_answered_by_the_receiver():
    """From speech to the reply's text and audio; the receiver has got the words of the turn."""
    async with serve_receiver() as server, opened(server) as engine, conversation(engine) as client:
        assert await client.wait_until(lambda heard: heard.messages("server_response"), timeout_s=20)
        (answered,) = client.messages("server_response")

    assert answered.message["message"] == "Generated Response to: where is the switch"
    assert len(client.messages("replyDelta")) > 1
    assert client.messages("replyAudio")
    assert [items[-1]["text"] for items in server.questions] == ["where is the switch"]


async def test_conversation_goes_on_where_the_receiver_is_down():
    """The client is told so, and neither host nor port."""
    async with serve_receiver() as server:
        pass
    async with opened(server) as engine, conversation(engine) as client:
        assert await client.wait_until(lambda heard: heard.messages("error"), timeout_s=20)
        (error,) = client.messages("error")

    assert (error.message["code"], error.message["fatal"]) == ("provider_down", False)
    assert error.message["message"] == "receiver: cannot be reached"
    assert client.messages("fullSentence")[0].message["text"] == "where is the switch"


async def test_settings_name_the_receiver():
    """Address, framing and limits; and no turn is sent to it that may not be over."""
    async with serve_receiver(framing="json") as server:
        settings = Settings(
            reply_provider="receiver",
            receiver_host="127.0.0.1",
            receiver_port=server.port,
            speech_provider="none",
            receiver_framing="json",
            receiver_first_byte_timeout_s=1,
        )
        routes = scripted_routes(LOCAL).routes
        async with open_reply_engines(settings, ["receiver"], routes) as engines:
            assert await reply(engines.for_session("s", Tenant("t")).generator) == ANSWER

    assert describe_replies(settings, ["receiver"]) == f"the receiver at 127.0.0.1:{server.port}"
    assert not initial_state(settings, ["receiver"]).rules.eager_replies
    assert initial_state(settings, ["ollama"]).rules.eager_replies
