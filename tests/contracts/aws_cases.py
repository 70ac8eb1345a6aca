"""The cloud engines for the contract suites: the real clients against emulators, opened by settings alone."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

from providers.aws.finalization import FinalizationTimeouts
from providers.aws.polly import PollySynthesizer, open_polly
from providers.aws.transcribe import TranscribeEngine, open_transcribe
from tests.emulators.account import aws_account
from tests.emulators.certificates import make_certificates
from tests.emulators.polly import Error, Hang, PollyEmulator, PollyFault
from tests.emulators.transcribe import MakeRecogniser, TranscribeEmulator
from tests.emulators.transcribe_script import Fault, HttpError, NoAnswer, Script
from tests.emulators.transcribe_whisper import WhisperRecogniser, load_whisper
from tests.emulators.transcribe_words import ScriptedRecogniser
from tests.models import model
from tests.strict import missing

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


_PATIENCE = FinalizationTimeouts(flush_after_s=2, final_within_s=60)
"""A model on a busy processor is slower than the service."""


@asynccontextmanager
async def scripted(script: Script | None = None) -> AsyncIterator[TranscribeEngine]:
    """A Transcriber that hears the words of a script wherever there is sound."""
    async with _transcribe(ScriptedRecogniser, script, None) as engine:
        yield engine


@asynccontextmanager
async def aws() -> AsyncIterator[TranscribeEngine]:
    """A Transcriber that really listens: the service's part is played by the local base model."""
    whisper = load_whisper(model("whisper-base"))
    async with _transcribe(lambda _, rate, locale: WhisperRecogniser(whisper, rate, locale), None, _PATIENCE) as engine:
        yield engine


@asynccontextmanager
async def _transcribe(
    recogniser: MakeRecogniser, script: Script | None, patience: FinalizationTimeouts | None
) -> AsyncIterator[TranscribeEngine]:
    with TemporaryDirectory() as folder:
        certificates = make_certificates(Path(folder))
        with (
            aws_account(certificates),
            TranscribeEmulator(certificates, script=script, recogniser=recogniser) as emulator,
        ):
            async with open_transcribe(
                region="us-east-1", endpoint_url=emulator.url, open_timeout_s=2.0, timeouts=patience
            ) as engine:
                yield engine


@asynccontextmanager
async def polly(fault: PollyFault | None = None) -> AsyncIterator[PollySynthesizer]:
    """A SpeechSynthesizer, with the voice of espeak-ng."""
    if which("espeak-ng") is None:
        missing("espeak-ng")
    with aws_account(), PollyEmulator(fault=fault) as emulator:
        async with open_polly(region="us-east-1", endpoint_url=emulator.url) as engine:
            yield engine
