"""Failover from Amazon Transcribe, which fails in mid-utterance in each way of its protocol, to the local model."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from random import Random

import anyio
import pytest

from app.domain.audio import AudioChunk, ms
from app.domain.residency import Place, Residency
from app.domain.routing.rules import RoutingRules
from app.runtime.clock import SystemClock
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_finals import SessionFinals
from providers.local.asr.engine import open_speech_engine
from tests.clips import HOUR, word_error_rate
from tests.contracts.aws_cases import scripted
from tests.emulators.transcribe_script import (
    BadChecksum,
    ExceptionEvent,
    GoAway,
    HttpError,
    NoAnswer,
    Script,
    Stall,
    StreamReset,
    TcpReset,
)
from tests.models import model
from tests.routes import AWS, LOCAL

pytestmark = [pytest.mark.anyio, pytest.mark.models]


@pytest.fixture(scope="module")
async def whisper():
    async with open_speech_engine(model=model("whisper-tiny.en"), device="cpu") as engine:
        yield engine


@pytest.mark.parametrize(
    "fault",
    [
        HttpError(403, "UnrecognizedClientException"),
        HttpError(429, "LimitExceededException"),
        NoAnswer(),
        ExceptionEvent(1500, "InternalFailureException"),
        TcpReset(1500),
        StreamReset(1500),
        GoAway(1500),
        Stall(0),
        Stall(1500),
        BadChecksum(),
    ],
    ids=str,
)
async def test_failover_from_transcribe_to_the_local_model_loses_no_word(whisper, fault):
    """Every word of the utterance is in the local final."""
    async with scripted(Script(fault=fault)) as aws:
        rules = RoutingRules(prefer=(Place.CLOUD,), deadline_ms=60_000)  # because a busy machine must not fail it
        routes = Routes(
            (replace(AWS, expected_ms=400), LOCAL),
            {"aws": aws, "local": whisper},
            lambda: rules,
            SystemClock(),
            Random(1).random,
        )
        request = SessionFinals(routes, "s").open(1, "en", Residency.CLOUD_OK)
        request.update_draft("for a full hour he had paced up and down")
        assert request.live

        async def spoken() -> AsyncGenerator[AudioChunk, None]:
            for at in range(0, len(HOUR.pcm), 2 * ms(100)):
                yield AudioChunk(HOUR.pcm[at : at + 2 * ms(100)], at // 2)
                await anyio.sleep(0.02)  # five times as fast as people speak
            request.confirm_endpoint()

        with anyio.fail_after(75):
            async with aclosing(spoken()) as audio, aclosing(request.transcribe(audio, language="en")) as hypotheses:
                (final,) = [h async for h in hypotheses]

    assert word_error_rate(HOUR.words, final.text) <= 0.2
    assert request.route.name == "local"
