"""A voice in, a voice out, all of it "in the cloud": the words are right."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from shutil import which

import anyio
import pytest

from app.domain.audio import AudioChunk, ms
from providers.aws.finalization import FinalizationTimeouts
from providers.aws.polly import open_polly
from providers.aws.transcribe import open_transcribe
from tests.emulators.certificates import Certificates
from tests.emulators.polly import PollyEmulator
from tests.emulators.transcribe import TranscribeEmulator
from tests.emulators.transcribe_whisper import WhisperRecogniser, load_whisper
from tests.integration.transcripts import hypotheses_of
from tests.models import model
from tests.strict import missing

pytestmark = [pytest.mark.anyio, pytest.mark.models]

SLOW = FinalizationTimeouts(flush_after_s=10, final_within_s=60)
"""A model on a busy processor is slower than the service."""

SENTENCES = [
    "Please turn on the light in the kitchen.",
    "What is the weather like in London today?",
    "Thank you very much for your help.",
]


@pytest.fixture(scope="module")
def listening(certificates: Certificates) -> TranscribeEmulator:
    if which("espeak-ng") is None:
        missing("espeak-ng")
    whisper = load_whisper(model("whisper-base"))
    return TranscribeEmulator(certificates, recogniser=lambda _, rate, locale: WhisperRecogniser(whisper, rate, locale))


async def spoken(pcm: bytes) -> AsyncIterator[AudioChunk]:
    """As a microphone brings it, with the silence that tells the end of speech."""
    pcm += bytes(2 * ms(400))
    for start in range(0, len(pcm), 2 * ms(100)):
        yield AudioChunk(pcm[start : start + 2 * ms(100)], start // 2)
        await anyio.sleep(0.02)


async def one(text: str) -> AsyncIterator[str]:
    yield text


async def test_words_spoken_by_polly_are_transcribed(
    account: None, listening: TranscribeEmulator, polly_emulator: PollyEmulator
) -> None:
    """Three sentences on one stream, each transcribed as its own utterance with words at their own times."""
    with listening as emulator:
        async with (
            open_polly(region="us-east-1", endpoint_url=polly_emulator.url) as polly,
            open_transcribe(region="us-east-1", endpoint_url=emulator.url, timeouts=SLOW) as engine,
            engine.session() as session,
        ):
            finals = []
            for sentence in SENTENCES:
                async with aclosing(polly.synthesize(one(sentence))) as speech:
                    pcm = b"".join([chunk.pcm async for chunk in speech])
                finals.append(((await hypotheses_of(session, spoken(pcm)))[-1], len(pcm) // 2))

    assert len(emulator.streams) == 1
    assert [words(final.text) for final, _ in finals] == [words(sentence) for sentence in SENTENCES]
    for final, samples in finals:
        assert all(0 <= word.start <= word.end <= samples + ms(400) for word in final.words)
        assert [word.start for word in final.words] == sorted(word.start for word in final.words)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())
