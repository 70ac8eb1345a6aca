"""What a session costs that fails through no fault of its client: itself, one log line, and nobody else."""

from contextlib import asynccontextmanager

import anyio
import pytest
import structlog
from parley_client import SessionRefused

from app.domain.dialog.state import DialogState, TurnRules
from app.domain.errors import ProviderBusy, RequestRefused, flatten
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.runtime.dialog.engines import Engines
from app.runtime.supervision import defects
from tests.fakes import (
    SILENCE,
    SPEECH,
    ScriptedDetector,
    ScriptedGenerator,
    ScriptedSynthesizer,
    ScriptedTranscriber,
    SingleRouteFinals,
)
from tests.serving import scripted_service, served, stored_manifest
from tests.streaming_client import open_session
from tests.unit.test_protocol import PROTOCOL

pytestmark = pytest.mark.anyio
TURN = SPEECH * 20 + SILENCE * 60


class FailingDetector(ScriptedDetector):
    """Raises at the tenth chunk."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def score(self, audio):
        count = 0
        async for scored in super().score(audio):
            count += 1
            if count == 10:
                raise self.error
            yield scored


def service_whose_first_session_fails(error: Exception):
    detectors = [ScriptedDetector(), FailingDetector(error)]

    @asynccontextmanager
    async def session_engines(session, tenant):
        finals = SingleRouteFinals(Route("local", Place.ON_PREM), ScriptedTranscriber())
        yield Engines(detectors.pop(), finals, ScriptedTranscriber("draft"), ScriptedGenerator(), ScriptedSynthesizer())

    return scripted_service(session_engines=session_engines)


def failures(lines) -> list[dict]:
    return [line for line in lines if line["event"] == "session failed"]


async def fail_next_to_another(service):
    """The failed session and one that was open all the while, as their clients saw them; and the log."""
    with structlog.testing.capture_logs() as lines:
        async with served(service) as address:
            url = f"ws://{address}/ws/transcribe"
            async with open_session(url) as failed, open_session(url) as other:
                assert await failed.wait_until(lambda t: t.messages("session"), timeout_s=5)
                assert await other.wait_until(lambda t: t.messages("session"), timeout_s=5)
                await failed.send_audio(TURN, pace=0)
                await failed.wait_until(lambda t: t.closed, timeout_s=5)
                await other.send_audio(TURN, pace=0)
                assert await other.wait_until(lambda t: t.messages("fullSentence"), timeout_s=5)
    return failed, other, lines


async def test_a_defect_inside_a_session_ends_that_session_alone_with_internal_error():
    service = service_whose_first_session_fails(KeyError("a secret"))
    before = defects["session"]

    failed, other, lines = await fail_next_to_another(service)

    session = failed.messages("session")[0].message["id"]
    error = failed.messages("error")[-1].message
    assert (error["code"], error["fatal"], failed.closed[0]) == ("internal_error", True, 1011)
    assert "secret" not in str(failed.received)
    assert other.messages("error") == []
    (line,) = failures(lines)
    assert (line["session"], type(line["exc_info"]), defects["session"]) == (session, KeyError, before + 1)
    assert service.admission.sessions == {}


async def test_the_audio_of_a_session_that_failed_is_archived():
    service = service_whose_first_session_fails(KeyError("a secret"))

    failed, _, _ = await fail_next_to_another(service)

    session = failed.messages("session")[0].message["id"]
    assert (await stored_manifest(service, session))["samples"] >= 9 * 480


async def test_an_engine_that_ends_a_session_is_named_in_the_log_and_to_the_client():
    """A known error needs no traceback, and is never logged as the ExceptionGroup around it."""
    service = service_whose_first_session_fails(ProviderBusy("archive", "the disk is full"))

    failed, _, lines = await fail_next_to_another(service)

    error = failed.messages("error")[-1].message
    assert (error["code"], error["fatal"], failed.closed[0]) == ("provider_busy", True, 1011)
    (line,) = failures(lines)
    assert (line["code"], line["message"], "exc_info" in line) == ("provider_busy", "archive: the disk is full", False)


async def test_unexpected_disk_error_ends_the_session_with_a_traceback():
    service = scripted_service()
    with structlog.testing.capture_logs() as lines:
        async with served(service) as address, open_session(f"ws://{address}/ws/transcribe") as talk:
            await talk.wait_until(lambda t: t.messages("session"), timeout_s=5)
            service.uploader.session_log.error = OSError("the disk is gone")
            await talk.send_audio(TURN, pace=0)
            with anyio.fail_after(10):
                await talk.wait_until(lambda t: t.closed, timeout_s=10)

    assert talk.closed[0] == 1011
    (line,) = failures(lines)
    assert {type(leaf) for leaf in flatten(line["exc_info"])} == {OSError}


async def test_a_request_the_engine_refuses_is_an_error_message_and_the_session_lives():
    transcriber = ScriptedTranscriber(error=RequestRefused("local", "does not know this language"))

    @asynccontextmanager
    async def session_engines(session, tenant):
        yield Engines(ScriptedDetector(), SingleRouteFinals(Route("local", Place.ON_PREM), transcriber), None)

    state = DialogState(TurnRules(reply=False))
    with structlog.testing.capture_logs() as lines:
        service = scripted_service(session_engines=session_engines, initial_state=state)
        async with served(service) as address, open_session(f"ws://{address}/ws/transcribe") as talk:
            await talk.send_audio(TURN, pace=0)
            assert await talk.wait_until(lambda t: t.messages("error"), timeout_s=5)
            transcriber.error = None
            await talk.send_audio(TURN, pace=0)
            assert await talk.wait_until(
                lambda t: any(m.message["text"] for m in t.messages("fullSentence")), timeout_s=5
            )

    (error,) = talk.messages("error")
    assert (error.message["code"], error.message["fatal"]) == ("request_refused", False)
    assert failures(lines) == []


async def test_a_defect_before_the_session_leaves_one_log_line():
    def unreadable():
        raise KeyError("a secret")

    with structlog.testing.capture_logs() as lines:
        async with served(scripted_service(tenants=unreadable)) as address:
            with pytest.raises(SessionRefused):
                async with open_session(f"ws://{address}/ws/transcribe", key="any"):
                    pass

    (line,) = (line for line in lines if line["log_level"] == "error")
    assert (line["where"], type(line["exc_info"])) == ("socket", KeyError)


@pytest.mark.parametrize("code", ["1000", "1008", "1009", "1011", "1012", "1013", "3008"])
def test_every_close_code_of_the_server_is_documented(code):
    assert f"\n| {code} | " in PROTOCOL
