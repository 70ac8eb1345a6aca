"""Failover when the connection to Transcribe is cut in mid-utterance, and recovery by a probe."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from random import Random

import anyio
import pytest

from app.domain.audio import AudioChunk, ms
from app.domain.residency import Place, Residency
from app.domain.routing.circuit_breaker import BreakerState, CircuitBreakerRules
from app.domain.routing.cost import Price
from app.domain.routing.fleet import RouteSpec
from app.domain.routing.rules import RoutingRules
from app.runtime.clock import SystemClock
from app.runtime.routing.metering import EngineMeter
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_finals import FinalRequest, SessionFinals
from providers.aws.finalization import FinalizationTimeouts
from providers.aws.transcribe import open_transcribe
from providers.local.asr.engine import open_speech_engine
from tests.clips import COUNTRY, HANDS, HOUR, Clip, word_error_rate
from tests.emulators.transcribe import TranscribeEmulator
from tests.emulators.wire import Cut, Wire, wire_to
from tests.eventually import until
from tests.models import model
from tests.routes import LOCAL

pytestmark = [pytest.mark.anyio, pytest.mark.models, pytest.mark.slow]

PRICE = Price(0.024, 15)
AWS = RouteSpec(
    "aws",
    Place.CLOUD,
    PRICE,
    live=True,
    expected_ms=500,
    breaker=CircuitBreakerRules(window=4, min_failures=2, open_s=1),
)
PROBED_WITHIN_S = 30
"""The breaker opens a few times for a second or two, each time until a probe, on a busy machine."""


async def say(
    finals: SessionFinals, clip: Clip, wire: Wire | None = None, how: Cut = Cut.SILENT
) -> tuple[str, FinalRequest]:
    """One utterance at three times real time; the connection is cut in its middle."""
    request = finals.open(1, "en", Residency.CLOUD_OK)
    request.update_draft(clip.words)

    async def spoken() -> AsyncIterator[AudioChunk]:
        for at in range(0, len(clip.pcm), 2 * ms(100)):
            if wire and at // (2 * ms(100)) == len(clip.pcm) // (4 * ms(100)):
                await wire.cut(how)
            yield AudioChunk(clip.pcm[at : at + 2 * ms(100)], at // 2)
            await anyio.sleep(0.033)
        request.confirm_endpoint()

    with anyio.fail_after(30):
        async with aclosing(spoken()) as audio, aclosing(request.transcribe(audio, language="en")) as hypotheses:
            (final,) = [h async for h in hypotheses]
    request.record_shown(final, request.route)
    return final.text, request


@pytest.mark.parametrize("how", Cut)
async def test_failover_and_recovery_when_the_cloud_connection_is_cut(
    account: None, emulator: TranscribeEmulator, how: Cut
) -> None:
    """The utterance in flight and those that follow are transcribed locally, until a probe succeeds again."""
    timeouts = FinalizationTimeouts(flush_after_s=0.5, final_within_s=2.0)
    async with (
        wire_to(emulator.port) as wire,
        open_speech_engine(model=model("whisper-tiny.en"), device="cpu") as whisper,
        open_transcribe(
            region="us-east-1", endpoint_url=f"https://localhost:{wire.port}", open_timeout_s=1.0, timeouts=timeouts
        ) as aws,
        aws.session() as own,
        anyio.create_task_group() as tasks,
    ):
        rules = RoutingRules(prefer=(Place.CLOUD,))
        routes = Routes(
            (AWS, LOCAL), {"aws": aws, "local": whisper}, lambda: rules, SystemClock(), Random(1).random, HANDS.pcm
        )
        finals = SessionFinals(
            routes, "s", engines={"aws": own, "local": whisper}, meters={"aws": EngineMeter(own, PRICE)}
        )
        tasks.start_soon(routes.maintain)

        _, before = await say(finals, HANDS)
        cut_in_half = await say(finals, HOUR, wire, how)
        offline = [await say(finals, clip) for clip in (HANDS, COUNTRY, HOUR, HANDS)]
        breaker_state = routes.states["aws"].breaker.state(routes.clock.now())
        await wire.mend()

        async def is_back() -> bool:
            return routes.states["aws"].breaker.state(routes.clock.now()) is BreakerState.CLOSED

        await until(is_back, seconds=PROBED_WITHIN_S)
        _, after = await say(finals, HANDS)
        tasks.cancel_scope.cancel()

    finals_when_cut = list(zip((HOUR, HANDS, COUNTRY, HOUR, HANDS), (cut_in_half, *offline), strict=True))
    assert before.route.name == "aws"
    assert {request.route.name for _, (_, request) in finals_when_cut} == {"local"}
    assert max(word_error_rate(clip.words, text) for clip, (text, _) in finals_when_cut) <= 0.25
    assert breaker_state is not BreakerState.CLOSED
    assert max(request.route.latency_ms for _, (_, request) in finals_when_cut) < rules.abandon_after_ms
    assert after.route.name == "aws"
