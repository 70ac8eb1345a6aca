"""The four defects of amazon-transcribe 0.6.4: what the bare client does, and what ours does.

When a test of the bare client fails after an upgrade, its wrapping may go.
"""

import time

import anyio
import pytest
from amazon_transcribe.auth import CredentialResolver, StaticCredentialResolver
from amazon_transcribe.auth import Credentials as BareCredentials
from amazon_transcribe.client import TranscribeStreamingClient
from amazon_transcribe.endpoints import StaticEndpointResolver
from amazon_transcribe.exceptions import BadRequestException
from amazon_transcribe.model import StartStreamTranscriptionEventStream
from awscrt import io

from app.domain.errors import ProviderDown
from providers.aws.transcribe import TranscribeEngine, open_transcribe
from tests.emulators.certificates import Certificates
from tests.emulators.transcribe import TranscribeEmulator
from tests.emulators.transcribe_script import Fault, GoAway, NoAnswer, Script, StreamReset, TcpReset
from tests.emulators.utterances import SOUND, utterance
from tests.integration.hearing import eventually, hear

pytest_plugins = ["tests.integration.aws_fixtures"]
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

    with anyio.fail_after(3):
        events = [event async for event in stream.output_stream]

    assert events


@pytest.mark.parametrize("fault", RESETS, ids=lambda fault: type(fault).__name__)
async def test_ours_a_broken_stream_is_down(
    engine: TranscribeEngine, emulator: TranscribeEmulator, fault: Fault
) -> None:
    """The vendor's reason is kept as the cause."""
    emulator.script = Script(fault=fault)

    with pytest.raises(ProviderDown) as raised:
        await hear(engine, utterance(1000, every_s=0.02))

    assert "AWS_ERROR" in str(raised.value.__cause__)


async def test_bare_a_silent_server_is_waited_for_without_end(
    emulator: TranscribeEmulator, certificates: Certificates
) -> None:
    """There is no time limit to set."""
    emulator.script = Script(fault=NoAnswer())

    with anyio.move_on_after(1.5) as waiting:
        await bare_stream(emulator, certificates)

    assert waiting.cancelled_caught


async def test_ours_a_silent_server_is_down_in_time(account: None, emulator: TranscribeEmulator) -> None:
    """The limit is a setting, and the connection is given up."""
    emulator.script = Script(fault=NoAnswer())

    async with open_transcribe(region="us-east-1", endpoint_url=emulator.url, open_timeout_s=0.3) as engine:
        with anyio.fail_after(1), pytest.raises(ProviderDown):
            await hear(engine, utterance(500))
        await eventually(lambda: not emulator.streams[0].is_open, within_s=1)


async def test_bare_one_open_stream_spins_and_ours_rests(
    engine: TranscribeEngine, emulator: TranscribeEmulator, certificates: Certificates
) -> None:
    """Measured side by side, because what is left of a core depends on who else wants it."""
    speech = utterance(60_000, every_s=0.1)
    hypotheses = engine.transcribe(speech)
    await anext(hypotheses)
    ours = await processor_share(1.0)
    await hypotheses.aclose()
    await speech.aclose()

    stream = await bare_stream(emulator, certificates)
    bare = await processor_share(1.0)
    await stream.input_stream.end_stream()
    events = [event async for event in stream.output_stream]

    assert (ours < bare / 2, events) == (True, [])


async def processor_share(seconds: float) -> float:
    used, began = time.process_time(), time.perf_counter()
    await anyio.sleep(seconds)
    return (time.process_time() - used) / (time.perf_counter() - began)


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
