"""Speech from several voices, sentence by sentence."""

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise

import anyio
import pytest

from app.domain.audio import AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.errors import ProviderDown, ProviderMisbehaved, ProviderRefused
from app.domain.routing.circuit_breaker import BreakerState
from app.domain.spending import CharacterPrice
from app.runtime.routing.speech_failover import FailoverSpeech, Voice, probe_voice
from tests.fakes import Browser
from tests.reply_engines import Wallet
from tests.unit.test_session import TURN, SessionUnderTest

pytestmark = pytest.mark.anyio

DOWN = ProviderDown("polly", "asked to fail")
A_DOLLAR_A_CHARACTER = CharacterPrice(1e6)


@dataclass
class FaultyVoice:
    """Speaks 100 ms for each sentence; of the sentence with this number it fails, before its audio or behind it."""

    sample: bytes = b"\1\0"
    fails_at: int | None = None
    error: Exception = DOWN
    has_begun: bool = False
    """The fault comes behind the first audio of the sentence."""
    stalls: bool = False
    spoken: list[str] = field(default_factory=list)

    async def synthesize(
        self, text: AsyncIterable[str], *, voice: str | None = None
    ) -> AsyncGenerator[AudioChunk, None]:
        position = 0
        async for piece in text:
            is_faulty = self.fails_at == len(self.spoken)
            self.spoken.append(piece)
            if not is_faulty or self.has_begun:
                yield (chunk := AudioChunk(self.sample * ms(100), position))
                position = chunk.end
            if is_faulty and self.stalls:
                await anyio.sleep_forever()
            if is_faulty:
                raise self.error


async def sentences(*pieces: str) -> AsyncGenerator[str, None]:
    for piece in pieces:
        yield piece


async def spoken(speech: FailoverSpeech, *pieces: str) -> list[AudioChunk]:
    async with aclosing(sentences(*pieces)) as text, aclosing(speech.synthesize(text)) as chunks:
        return [chunk async for chunk in chunks]


def two(first: FaultyVoice, second: FaultyVoice | None = None, **options) -> tuple[FailoverSpeech, FaultyVoice]:
    second = second or FaultyVoice(b"\2\0")
    return Wallet().speech(Voice("polly", first), Voice("piper", second), **options), second


@pytest.mark.parametrize(
    "first",
    [
        FaultyVoice(fails_at=1),
        FaultyVoice(fails_at=1, error=ProviderRefused("polly", "no such key")),
        FaultyVoice(fails_at=1, error=KeyError("a defect")),
        FaultyVoice(fails_at=1, stalls=True),
    ],
)
async def test_a_sentence_that_one_voice_cannot_speak_is_spoken_by_the_next(first):
    """And the rest of the reply, too; the positions go on without a gap."""
    speech, second = two(first, timeout_s=0.05)

    chunks = await spoken(speech, "One.", "Two.", "Three.")

    assert (first.spoken, second.spoken) == (["One.", "Two."], ["Two.", "Three."])
    assert [chunk.pcm[:1] for chunk in chunks] == [b"\1", b"\2", b"\2"]
    assert chunks[0].start == 0
    assert all(before.end == after.start for before, after in pairwise(chunks))


async def test_a_sentence_that_broke_off_is_not_said_twice():
    """The next voice goes on with the next sentence."""
    speech, second = two(FaultyVoice(fails_at=0, has_begun=True))

    chunks = await spoken(speech, "One.", "Two.")

    assert (len(chunks), second.spoken) == (2, ["Two."])


async def test_speech_fails_where_no_voice_is_left():
    speech, _ = two(FaultyVoice(fails_at=0), FaultyVoice(fails_at=0, error=ProviderMisbehaved("piper", "broken")))

    with pytest.raises(ProviderMisbehaved):
        await spoken(speech, "One.")


@pytest.mark.parametrize("has_begun", [False, True])
async def test_the_only_voice_is_asked_again_for_a_sentence_of_which_nothing_was_played(has_begun):
    """Once, where it failed soon."""
    voice = FaultyVoice(fails_at=0, has_begun=has_begun)
    speech = Wallet().speech(Voice("polly", voice))

    if has_begun:
        with pytest.raises(ProviderDown):
            await spoken(speech, "One.")
    else:
        assert len(await spoken(speech, "One.", "Two.")) == 2

    assert voice.spoken == (["One."] if has_begun else ["One.", "One.", "Two."])


async def test_a_voice_that_keeps_failing_is_passed_over():
    """After three replies the second voice is asked first."""
    first = FaultyVoice()
    speech, second = two(first)
    for _ in range(4):
        first.fails_at = len(first.spoken)
        await spoken(speech, "One.")

    assert (len(first.spoken), len(second.spoken)) == (3, 4)
    assert speech.pool.health.state("polly") is BreakerState.OPEN


async def test_each_voice_of_a_reply_is_recorded_with_its_characters():
    """What a voice refused to speak is not paid."""
    wallet = Wallet()
    voices = (Voice("polly", FaultyVoice(fails_at=1), A_DOLLAR_A_CHARACTER), Voice("piper", FaultyVoice()))

    await spoken(wallet.speech(*voices), "Four.", "Six six.")

    assert [(e.route, e.kind, e.usd, e.characters) for e in wallet.expenses] == [
        ("polly", "speech", 5, 5),
        ("piper", "speech", 0, 8),
    ]
    assert wallet.spent == 5


async def test_a_probe_of_a_voice_speaks_one_word():
    wallet, voice = Wallet(), FaultyVoice()

    assert await probe_voice(Voice("polly", voice, A_DOLLAR_A_CHARACTER), wallet.budget)

    assert voice.spoken == ["Yes."]
    assert [(e.route, e.kind, e.usd) for e in wallet.expenses] == [("polly", "probe", 4)]
    assert not await probe_voice(Voice("polly", voice, A_DOLLAR_A_CHARACTER), Wallet(usd=0).budget)


async def test_a_dead_voice_costs_a_session_neither_text_nor_sound():
    """The first sentence by one voice, the second by the other; no error."""
    speech, second = two(FaultyVoice(fails_at=1))
    session = SessionUnderTest(synthesizer=speech)

    browser = await session.run(Browser(*TURN, do.ShowReply))

    assert browser.got(do.ShowReply) == [do.ShowReply(1, "You said it. Well done.")]
    assert len(browser.got(do.PlayAudio)) == 2
    assert (second.spoken, browser.got(do.ShowError)) == (["Well done."], [])
