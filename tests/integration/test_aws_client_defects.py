"""The four defects of amazon-transcribe 0.6.4: what the bare client does, and what ours does.

When a test of the bare client fails after an upgrade, its wrapping may go.
"""

import time
from collections import Counter
from collections.abc import Callable

import anyio
import pytest
from amazon_transcribe.auth import CredentialResolver, StaticCredentialResolver
from amazon_transcribe.auth import Credentials as BareCredentials
from amazon_transcribe.client import TranscribeStreamingClient
from amazon_transcribe.endpoints import StaticEndpointResolver
from amazon_transcribe.exceptions import BadRequestException
from amazon_transcribe.model import StartStreamTranscriptionEventStream
from amazon_transcribe.structures import BufferableByteStream
from awscrt import io

from app.domain.errors import ProviderDown
from providers.aws.transcribe import TranscribeEngine, open_transcribe
from tests.emulators.certificates import Certificates
from tests.emulators.transcribe import TranscribeEmulator
from tests.emulators.transcribe_script import Fault, GoAway, NoAnswer, Script, StreamReset, TcpReset
from tests.emulators.utterances import SOUND, utterance
from tests.integration.transcripts import eventually, hypotheses_of

pytestmark = pytest.mark.anyio

PACKET = SOUND * 1600
RESETS = [TcpReset(500), StreamReset(500), GoAway(500)]


async def bare_stream(
    emulator: TranscribeEmulator, certificates: Certificates, resolver: CredentialResolver | None = None
) -> StartStreamTranscriptionEventStream:
    client = TranscribeStreamingClient(
        region="us-east-1",
        endpoint_resolver=StaticEndpointResolver(emulator.url),
        credential_resolver=resolver or StaticCredentialResolver("testing", "testing"),
    )
    options = io.TlsContextOptions()
    options.override_default_trust_store_from_path(None, str(certificates.ca))
    client._session_manager._tls_ctx = io.ClientTlsContext(options)
    return await client.start_stream_transcription(
        language_code="en-US", media_sample_rate_hz=16_000, media_encoding="pcm"
    )


@pytest.mark.parametrize("fault", RESETS, ids=lambda fault: type(fault).__name__)
async def test_bare_a_broken_stream_looks_like_the_end_of_one(
    emulator: TranscribeEmulator, certificates: Certificates, fault: Fault
) -> None:
    """The results just stop, without an error."""
    emulator.script = Script(fault=fault)
    stream = await bare_stream(emulator, certificates)
    for _ in range(10):
        await stream.input_stream.send_audio_event(audio_chunk=PACKET)

    with anyio.fail_after(10):
        events = [event async for event in stream.output_stream]

    assert events


@pytest.mark.parametrize("fault", RESETS, ids=lambda fault: type(fault).__name__)
async def test_ours_a_broken_stream_is_provider_down(
    engine: TranscribeEngine, emulator: TranscribeEmulator, fault: Fault
) -> None:
    """The vendor's reason is kept as the cause."""
    emulator.script = Script(fault=fault)

    with pytest.raises(ProviderDown) as raised:
        await hypotheses_of(engine, utterance(1000, every_s=0.02))

    assert "AWS_ERROR" in str(raised.value.__cause__)


async def test_bare_a_silent_server_is_awaited_without_a_timeout(
    emulator: TranscribeEmulator, certificates: Certificates
) -> None:
    """There is no time limit to set."""
    emulator.script = Script(fault=NoAnswer())

    with anyio.move_on_after(1.5) as waiting:
        await bare_stream(emulator, certificates)

    assert waiting.cancelled_caught


async def test_ours_a_silent_server_is_provider_down_within_the_timeout(
    account: None, emulator: TranscribeEmulator
) -> None:
    """The limit is a setting, and the connection is closed."""
    emulator.script = Script(fault=NoAnswer())

    async with open_transcribe(region="us-east-1", endpoint_url=emulator.url, open_timeout_s=0.3) as engine:
        with anyio.fail_after(10), pytest.raises(ProviderDown):
            await hypotheses_of(engine, utterance(500))
        await eventually(lambda: not emulator.streams[0].is_open, within_s=10)


async def test_bare_one_open_stream_is_polled_in_a_busy_loop_and_ours_is_throttled(
    engine: TranscribeEngine, emulator: TranscribeEmulator, certificates: Certificates
) -> None:
    """Polls are counted, because a share of the CPU depends on the machine's load; ours are at most 200 a second."""
    throttle = engine._pool._client._client._session_manager._throttle
    audio = utterance(60_000, every_s=0.1)
    hypotheses = engine.transcribe(audio)
    await anext(hypotheses)
    ours = await per_second(lambda: throttle._round)
    await hypotheses.aclose()
    await audio.aclose()

    stream = await bare_stream(emulator, certificates)
    polls = count_reads(stream.input_stream._input_stream)
    bare = await per_second(polls.total)
    await stream.input_stream.end_stream()
    events = [event async for event in stream.output_stream]

    assert 10 < ours < 400
    assert bare > 3 * ours
    assert events == []


def count_reads(body: BufferableByteStream) -> Counter[str]:
    """Counts from now on how often this body is read."""
    reads: Counter[str] = Counter()
    read1 = body.read1

    def counted(size: int = -1) -> bytes | None:
        reads["read"] += 1
        return read1(size)

    body.read1 = counted
    return reads


async def per_second(count: Callable[[], int]) -> float:
    before, began = count(), time.perf_counter()
    await anyio.sleep(1)
    return (count() - before) / (time.perf_counter() - began)


async def test_bare_keys_that_change_break_a_running_stream(
    emulator: TranscribeEmulator, certificates: Certificates
) -> None:
    """The client asks for keys again with every packet, and the service wants the ones it began with."""

    class Rotating(CredentialResolver):
        keys = iter(["testing", "testing", "changed"])

        async def get_credentials(self) -> BareCredentials:
            return BareCredentials("testing", next(self.keys, "changed"))

    stream = await bare_stream(emulator, certificates, Rotating())
    for _ in range(3):
        await stream.input_stream.send_audio_event(audio_chunk=PACKET)

    with pytest.raises(BadRequestException, match="signature"):
        [event async for event in stream.output_stream]


# Ours keeps its keys: tests/integration/test_aws_credentials.py has a role whose keys change under a running stream.
