"""The check of an AWS account: identity, round trip and problem of each service."""

from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from providers.aws.check import AwsCheckResult, check
from tests.emulators.account import aws_account
from tests.emulators.certificates import Certificates
from tests.emulators.polly import Error, PollyEmulator
from tests.emulators.transcribe import TranscribeEmulator
from tests.emulators.transcribe_script import HttpError, Script

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def sts() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


async def found(
    sts: str, transcribe: TranscribeEmulator, polly: PollyEmulator, voice: str = "Joanna"
) -> dict[str, AwsCheckResult]:
    findings = await check(
        region="us-east-1",
        sts_endpoint_url=sts,
        transcribe_endpoint_url=transcribe.url,
        polly_endpoint_url=polly.url,
        voice=voice,
        timeout_s=1.0,
    )
    return {finding.service: finding for finding in findings}


async def test_a_working_account_has_no_problem(
    account: None, sts: str, emulator: TranscribeEmulator, polly_emulator: PollyEmulator
) -> None:
    """Identity, region and round trip of each service; and nothing was sent that costs anything."""
    findings = await found(sts, emulator, polly_emulator)

    assert list(findings) == ["sts", "transcribe", "polly"]
    for finding in findings.values():
        assert finding.problem is None
        assert finding.identity is not None
        assert finding.identity.startswith("arn:aws:")
        assert finding.region == "us-east-1"
        assert finding.round_trip_ms is not None
    assert emulator.billed_seconds == 0
    assert polly_emulator.requests == []


async def test_each_problem_is_a_sentence(
    account: None, sts: str, emulator: TranscribeEmulator, polly_emulator: PollyEmulator
) -> None:
    """Ours, with the vendor's reason behind it."""
    emulator.script = Script(fault=HttpError(403, "AccessDeniedException", "not authorized to perform: transcribe"))
    polly_emulator.fault = Error(403, "AccessDeniedException", "not authorized to perform: polly")

    findings = await found(sts, emulator, polly_emulator)

    assert findings["sts"].problem is None
    for service in ("transcribe", "polly"):
        assert findings[service].problem is not None
        assert "do not allow this" in findings[service].problem
        assert f"not authorized to perform: {service}" in findings[service].problem


async def test_a_voice_that_does_not_exist_is_a_problem(
    account: None, sts: str, emulator: TranscribeEmulator, polly_emulator: PollyEmulator
) -> None:
    """It is found before anybody waits for a reply."""
    findings = await found(sts, emulator, polly_emulator, voice="Nobody")

    assert findings["polly"].problem == "polly: there is no neural voice Nobody in us-east-1"


async def test_missing_credentials_are_a_problem_of_every_service(
    certificates: Certificates, sts: str, emulator: TranscribeEmulator, polly_emulator: PollyEmulator
) -> None:
    """The check itself raises nothing."""
    with aws_account(certificates, AWS_REGION="us-east-1"):
        findings = await found(sts, emulator, polly_emulator)

    assert all("credentials" in (finding.problem or "") for finding in findings.values())
