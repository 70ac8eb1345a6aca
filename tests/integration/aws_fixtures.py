"""Servers that stand in for the cloud."""

from collections.abc import AsyncIterator, Iterator

import pytest

from providers.aws.transcribe import TranscribeEngine, open_transcribe
from tests.emulators.account import aws_account
from tests.emulators.certificates import Certificates, make_certificates
from tests.emulators.polly import PollyEmulator
from tests.emulators.transcribe import TranscribeEmulator


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def account(certificates: Certificates) -> Iterator[None]:
    with aws_account(certificates):
        yield


@pytest.fixture
def emulator(certificates: Certificates) -> Iterator[TranscribeEmulator]:
    with TranscribeEmulator(certificates) as emulator:
        yield emulator


@pytest.fixture
def polly_emulator() -> Iterator[PollyEmulator]:
    with PollyEmulator() as emulator:
        yield emulator


@pytest.fixture
async def engine(account: None, emulator: TranscribeEmulator) -> AsyncIterator[TranscribeEngine]:
    async with open_transcribe(region="us-east-1", endpoint_url=emulator.url, open_timeout_s=1.0) as engine:
        yield engine
