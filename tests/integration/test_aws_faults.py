"""Whatever goes wrong at the service comes out as one of our errors, in time, and the next utterance is hypotheses."""

import anyio
import pytest

from app.domain.errors import (
    ParleyError,
    ProviderBusy,
    ProviderDown,
    ProviderMisbehaved,
    ProviderRefused,
    RequestRefused,
)
from providers.aws.finalization import FinalizationTimeouts
from providers.aws.transcribe import TranscribeEngine, open_transcribe
from tests.emulators.account import aws_account
from tests.emulators.certificates import Certificates, make_certificates
from tests.emulators.transcribe import TranscribeEmulator
from tests.emulators.transcribe_script import (
    BadChecksum,
    BadPayload,
    ExceptionEvent,
    Fault,
    GoAway,
    HttpError,
    NoAnswer,
    Script,
    Stall,
    StreamReset,
    TcpReset,
)
from tests.emulators.utterances import utterance
from tests.integration.transcripts import final_text, hypotheses_of

pytestmark = pytest.mark.anyio

NO_SUCH_LANGUAGE = (
    "1 validation error detected: Value 'xx-XX' at 'languageCode' failed to satisfy constraint: Member must satisfy "
    "enum value set: [en-US, de-DE]"
)
BROKEN_JSON = b'{"Transcript": {"Results": ['
WRONG_SHAPE = b'{"Transcript": {"Results": 7}}'
EXPIRED = "The security token included in the request is expired"
FAULTS = [
    (HttpError(400, "BadRequestException"), ProviderRefused),
    (HttpError(400, "BadRequestException", NO_SUCH_LANGUAGE), RequestRefused),
    (HttpError(401, "UnrecognizedClientException"), ProviderRefused),
    (HttpError(403, "AccessDeniedException"), ProviderRefused),
    (HttpError(403, "ExpiredTokenException", EXPIRED), ProviderRefused),
    (HttpError(403, "InvalidSignatureException"), ProviderRefused),
    (HttpError(409, "ConflictException"), ProviderMisbehaved),
    (HttpError(400, "ThrottlingException"), ProviderBusy),
    (HttpError(429, "LimitExceededException"), ProviderBusy),
    (HttpError(429, "TooManyRequestsException"), ProviderBusy),
    (HttpError(500, "InternalFailureException"), ProviderDown),
    (HttpError(502, "BadGateway"), ProviderDown),
    (HttpError(503, "ServiceUnavailableException"), ProviderDown),
    (NoAnswer(), ProviderDown),
    (ExceptionEvent(500, "BadRequestException"), ProviderRefused),
    (ExceptionEvent(500, "BadRequestException", NO_SUCH_LANGUAGE), RequestRefused),
    (ExceptionEvent(500, "LimitExceededException"), ProviderBusy),
    (ExceptionEvent(500, "InternalFailureException"), ProviderDown),
    (ExceptionEvent(500, "ServiceUnavailableException"), ProviderDown),
    (ExceptionEvent(500, "ConflictException"), ProviderMisbehaved),
    (ExceptionEvent(500, "SerializationException"), ProviderMisbehaved),
    (ExceptionEvent(500, "ExpiredTokenException", EXPIRED), ProviderRefused),
    (TcpReset(500), ProviderDown),
    (StreamReset(500), ProviderDown),
    (GoAway(500), ProviderDown),
    (BadChecksum(), ProviderMisbehaved),
    (BadPayload(500, BROKEN_JSON), ProviderMisbehaved),
    (BadPayload(500, WRONG_SHAPE), ProviderMisbehaved),
    (Stall(500), ProviderDown),
]


def _name(value: object) -> str:
    return " ".join(str(part) for part in (type(value).__name__, getattr(value, "code", "")) if part)


@pytest.mark.parametrize(("fault", "error"), FAULTS, ids=_name)
async def test_a_fault_becomes_our_error_and_the_session_stays_usable(
    account: None, emulator: TranscribeEmulator, fault: Fault, error: type[ParleyError]
) -> None:
    """Nothing hangs, no fault looks like a short final, and the session transcribes the same audio afterwards."""
    timeouts = FinalizationTimeouts(flush_after_s=0.2, final_within_s=0.5)
    emulator.script = Script(fault=fault)
    async with (
        open_transcribe(region="us-east-1", endpoint_url=emulator.url, open_timeout_s=2.0, timeouts=timeouts) as engine,
        engine.session() as session,
    ):
        with anyio.fail_after(20), pytest.raises(ParleyError) as raised:
            await hypotheses_of(session, utterance(1250, every_s=0.02))
        emulator.script = Script()
        again = await final_text(session, utterance(1250, every_s=0.02))

    assert raised.type is error
    assert again == "turn the light on please"


@pytest.mark.parametrize("payload", [BROKEN_JSON, WRONG_SHAPE])
async def test_a_result_that_cannot_be_read_ends_its_own_stream_only(
    account: None, emulator: TranscribeEmulator, payload: bytes
) -> None:
    """The exception is reported once, with its traceback; another speaker's stream and the engine go on."""
    defects: list[tuple[str, Exception]] = []
    async with (
        open_transcribe(
            region="us-east-1",
            endpoint_url=emulator.url,
            open_timeout_s=2.0,
            report_defect=lambda where, error: defects.append((where, error)),
        ) as engine,
        engine.session() as other,
    ):
        neighbour = other.transcribe(utterance(60_000, every_s=0.02))
        first = await anext(neighbour)
        emulator.script = Script(fault=BadPayload(300, payload))

        with anyio.fail_after(5), pytest.raises(ProviderMisbehaved):
            await hypotheses_of(engine, utterance(1250, every_s=0.02))

        second = await anext(neighbour)
        await neighbour.aclose()
        emulator.script = Script()
        afterwards = await final_text(engine, utterance(1250, every_s=0.02))

    assert [where for where, _ in defects] == ["transcribe stream"]
    assert defects[0][1].__traceback__ is not None
    assert second.text.startswith(first.text)
    assert afterwards == "turn the light on please"


async def test_a_reset_is_raised_before_the_endpoint(engine: TranscribeEngine, emulator: TranscribeEmulator) -> None:
    """Failover need not wait for the endpoint."""
    emulator.script = Script(fault=TcpReset(300))

    with anyio.fail_after(10), pytest.raises(ProviderDown):
        await hypotheses_of(engine, utterance(60_000, every_s=0.1))


async def test_a_refused_connection_is_provider_down_at_once(account: None) -> None:
    """A refused connection needs no time limit."""
    async with open_transcribe(region="us-east-1", endpoint_url="https://localhost:1", open_timeout_s=60) as engine:
        with anyio.fail_after(10), pytest.raises(ProviderDown):
            await hypotheses_of(engine, utterance(500))


async def test_an_untrusted_certificate_is_provider_down(
    emulator: TranscribeEmulator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No audio is sent to a server whose certificate is not trusted."""
    others = make_certificates(tmp_path_factory.mktemp("others"))
    with aws_account(others):
        async with open_transcribe(region="us-east-1", endpoint_url=emulator.url, open_timeout_s=0.5) as engine:
            with pytest.raises(ProviderDown):
                await hypotheses_of(engine, utterance(500))
    assert emulator.streams == []


async def test_invalid_credentials_are_provider_refused(
    certificates: Certificates, emulator: TranscribeEmulator
) -> None:
    """The emulator checks signatures as the service does."""
    for key, secret in (("AKIANOBODY", "testing"), ("testing", "wrong")):
        with aws_account(certificates, AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret):
            async with open_transcribe(region="us-east-1", endpoint_url=emulator.url) as engine:
                with pytest.raises(ProviderRefused):
                    await hypotheses_of(engine, utterance(500))


async def test_a_full_stream_quota_is_provider_busy_without_a_request(
    account: None, emulator: TranscribeEmulator
) -> None:
    """Our own count of streams answers before the service must."""
    async with open_transcribe(region="us-east-1", endpoint_url=emulator.url, max_streams=1) as engine:
        speech = utterance(60_000, every_s=0.05)
        one = engine.transcribe(speech)
        await anext(one)

        with pytest.raises(ProviderBusy):
            await hypotheses_of(engine, utterance(500))

        await one.aclose()
        await speech.aclose()
    assert len(emulator.streams) == 1
