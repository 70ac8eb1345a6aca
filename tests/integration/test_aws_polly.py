"""Polly keeps every promise of a SpeechSynthesizer."""

from collections.abc import AsyncIterator

import anyio
import pytest

from app.domain.audio import AudioChunk, seconds
from app.domain.errors import ParleyError, ProviderBusy, ProviderDown, ProviderRefused, RequestRefused
from providers.aws.polly import PollySynthesizer, open_polly
from tests.emulators.account import aws_account
from tests.emulators.polly import Cut, Error, Hang, PollyEmulator, PollyFault
from tests.integration.transcripts import eventually

pytestmark = pytest.mark.anyio


async def text(*parts: str) -> AsyncIterator[str]:
    for part in parts:
        yield part


@pytest.fixture
async def synthesizer(account: None, polly_emulator: PollyEmulator) -> AsyncIterator[PollySynthesizer]:
    async with open_polly(region="us-east-1", endpoint_url=polly_emulator.url, read_timeout_s=2) as synthesizer:
        yield synthesizer


async def speak(synthesizer: PollySynthesizer, *parts: str, voice: str | None = None) -> list[AudioChunk]:
    return [chunk async for chunk in synthesizer.synthesize(text(*parts), voice=voice)]


async def test_speech_comes_in_whole_samples_without_a_gap(synthesizer: PollySynthesizer) -> None:
    """Positions count from the first sample through every part of the text, whatever the network cuts."""
    chunks = await speak(synthesizer, "Good morning.", "How are you?")

    assert all(len(chunk.pcm) % 2 == 0 for chunk in chunks)
    assert [chunk.start for chunk in chunks] == [0, *[chunk.end for chunk in chunks[:-1]]]
    assert 1 < seconds(chunks[-1].end) < 10
    assert max(memoryview(b"".join(chunk.pcm for chunk in chunks)).cast("h")) > 1000


async def test_a_part_is_spoken_before_the_next_one_is_known(
    synthesizer: PollySynthesizer, polly_emulator: PollyEmulator
) -> None:
    """The reply is hypotheses while it is still being written."""
    spoken = anyio.Event()

    async def slow() -> AsyncIterator[str]:
        yield "First."
        await spoken.wait()
        yield "Second."

    with anyio.fail_after(3):
        async for _ in synthesizer.synthesize(slow()):
            spoken.set()

    assert [request["Text"] for request in polly_emulator.requests] == [
        "<speak>First.</speak>",
        "<speak>Second.</speak>",
    ]


async def test_blank_text_makes_no_request(synthesizer: PollySynthesizer, polly_emulator: PollyEmulator) -> None:
    """Blank text costs no request."""
    assert await speak(synthesizer, "", "  \n") == []
    assert polly_emulator.requests == []


async def test_ssml_in_the_text_is_escaped(synthesizer: PollySynthesizer, polly_emulator: PollyEmulator) -> None:
    """What a language model writes cannot change how it is spoken."""
    await speak(synthesizer, 'Is 3 < 4 & "so"? <break time="9s"/>\x00')

    assert "<break" not in polly_emulator.requests[0]["Text"]
    assert "&lt;break" in polly_emulator.requests[0]["Text"]


async def test_long_text_is_split_under_the_limit(synthesizer: PollySynthesizer, polly_emulator: PollyEmulator) -> None:
    """The emulator refuses more than 3000 characters, as the service does."""
    await speak(synthesizer, "Go on & on. " * 400)

    assert len(polly_emulator.requests) == 2
    assert all(request["Text"].endswith("on.</speak>") for request in polly_emulator.requests)


@pytest.mark.parametrize(
    ("asked", "voice"), [(None, "Joanna"), ("Amy", "Amy"), ("de", "Vicki"), ("de-AT", "Vicki"), ("en-GB", "Amy")]
)
async def test_a_voice_is_chosen_by_name_or_language(
    synthesizer: PollySynthesizer, polly_emulator: PollyEmulator, asked: str | None, voice: str
) -> None:
    """Languages are small, names have a capital."""
    await speak(synthesizer, "Hi.", voice=asked)

    assert (polly_emulator.requests[0]["VoiceId"], polly_emulator.requests[0]["Engine"]) == (voice, "neural")


async def test_standard_voices_speak_too(account: None, polly_emulator: PollyEmulator) -> None:
    """A voice of the wrong kind is a refusal."""
    async with open_polly(region="us-east-1", endpoint_url=polly_emulator.url, engine="standard") as synthesizer:
        assert await speak(synthesizer, "Hi.", voice="Geraint")
    async with open_polly(region="us-east-1", endpoint_url=polly_emulator.url) as synthesizer:
        with pytest.raises(ProviderRefused):
            await speak(synthesizer, "Hi.", voice="Geraint")


async def test_barge_in_closes_the_connection(synthesizer: PollySynthesizer, polly_emulator: PollyEmulator) -> None:
    """Abandoned half-way, the connection is closed, and the next request works."""
    polly_emulator.pause_s = 0.01
    speech = synthesizer.synthesize(text("One two three four five six seven eight nine ten. " * 40))
    await anext(speech)

    await speech.aclose()

    await eventually(lambda: polly_emulator.abandoned == 1, within_s=3)
    polly_emulator.pause_s = 0
    assert await speak(synthesizer, "Hi.")


async def test_concurrent_texts_do_not_mix(synthesizer: PollySynthesizer) -> None:
    """They share the client and not their audio."""
    lengths: dict[int, int] = {}

    async def one(n: int) -> None:
        lengths[n] = (await speak(synthesizer, "word " * n))[-1].end

    async with anyio.create_task_group() as speakers:
        for n in range(1, 9):
            speakers.start_soon(one, n)

    assert sorted(lengths, key=lengths.__getitem__) == list(range(1, 9))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Error(400, "ThrottlingException"), ProviderBusy),
        (Error(429, "TooManyRequestsException"), ProviderBusy),
        (Error(403, "UnrecognizedClientException"), ProviderRefused),
        (Error(403, "ExpiredTokenException"), ProviderRefused),
        (Error(400, "InvalidSsmlException"), ProviderRefused),
        (Error(400, "LanguageNotSupportedException"), RequestRefused),
        (Error(500, "ServiceFailureException"), ProviderDown),
        (Error(503, "ServiceUnavailable"), ProviderDown),
        (Hang(), ProviderDown),
        (Cut(8_000), ProviderDown),
    ],
    ids=lambda value: getattr(value, "code", None) or type(value).__name__,
)
async def test_a_fault_becomes_our_error_after_one_request(
    synthesizer: PollySynthesizer, polly_emulator: PollyEmulator, fault: PollyFault, error: type[ParleyError]
) -> None:
    """It is raised after one request, in time, and the next text is spoken."""
    polly_emulator.fault = fault
    with anyio.fail_after(5), pytest.raises(ParleyError) as raised:
        await speak(synthesizer, "Good morning.")
    requests = len(polly_emulator.requests)
    polly_emulator.fault = None

    assert (raised.type, requests) == (error, 1)
    assert await speak(synthesizer, "Good morning.")


async def test_a_refused_connection_is_provider_down(account: None) -> None:
    """A refused connection is no crash."""
    async with open_polly(region="us-east-1", endpoint_url="http://127.0.0.1:1") as synthesizer:
        with pytest.raises(ProviderDown):
            await speak(synthesizer, "Hi.")


async def test_missing_credentials_are_provider_refused(polly_emulator: PollyEmulator) -> None:
    """Nothing is sent without an identity."""
    with aws_account(AWS_REGION="us-east-1"):
        async with open_polly(region="us-east-1", endpoint_url=polly_emulator.url) as synthesizer:
            with pytest.raises(ProviderRefused):
                await speak(synthesizer, "Hi.")


async def test_the_sdks_own_variable_names_the_endpoint(polly_emulator: PollyEmulator) -> None:
    """AWS_ENDPOINT_URL_POLLY is enough; no setting of ours is needed."""
    with aws_account(
        AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing", AWS_ENDPOINT_URL_POLLY=polly_emulator.url
    ):
        async with open_polly(region="us-east-1") as synthesizer:
            assert await speak(synthesizer, "Hi.")
