"""The cloud engines for the contract suites: the real clients against emulators, opened by settings alone."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from providers.aws.polly import PollySynthesizer, open_polly
from providers.aws.transcribe import TranscribeEngine, open_transcribe
from tests.emulators.account import aws_account
from tests.emulators.certificates import make_certificates
from tests.emulators.polly import Error, Hang, PollyEmulator, PollyFault
from tests.emulators.transcribe import MakeRecogniser, TranscribeEmulator
from tests.emulators.transcribe_script import Fault, HttpError, NoAnswer, Script
from tests.emulators.transcribe_words import ScriptedRecogniser

TRANSCRIBE_FAULTS: Mapping[str, Fault] = {
    "dead": NoAnswer(),
    "throttled": HttpError(429, "LimitExceededException"),
    "refused": HttpError(403, "UnrecognizedClientException"),
}
POLLY_FAULTS: Mapping[str, PollyFault] = {
    "dead": Hang(),
    "throttled": Error(400, "ThrottlingException"),
    "refused": Error(403, "UnrecognizedClientException"),
}


@asynccontextmanager
async def aws(
    *, script: Script | None = None, recogniser: MakeRecogniser = ScriptedRecogniser
) -> AsyncIterator[TranscribeEngine]:
    """A Transcriber; give it a WhisperRecogniser where real words matter."""
    with TemporaryDirectory() as folder:
        certificates = make_certificates(Path(folder))
        with (
            aws_account(certificates),
            TranscribeEmulator(certificates, script=script, recogniser=recogniser) as emulator,
        ):
            async with open_transcribe(region="us-east-1", endpoint_url=emulator.url, open_within_s=1.0) as engine:
                yield engine


@asynccontextmanager
async def polly(*, fault: PollyFault | None = None) -> AsyncIterator[PollySynthesizer]:
    """A SpeechSynthesizer."""
    with aws_account(), PollyEmulator(fault=fault) as emulator:
        async with open_polly(region="us-east-1", endpoint_url=emulator.url, read_within_s=1.0) as engine:
            yield engine
