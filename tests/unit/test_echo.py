"""Echo detection on recorded speech: a reply's own sound is found, a person over it and a headset's are not masked."""

from contextlib import aclosing
from functools import cache

import anyio
import numpy as np
import pytest

from app.domain.audio import SAMPLE_RATE, AudioChunk, split_audio
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.echo import is_echo
from app.domain.dialog.state import DialogState, Reply, SpokenPiece, TurnRules
from app.domain.errors import ProviderDown
from app.runtime.dialog.echo import observe_playback, score_near_end
from bench.rooms import at_level, microphone, pcm16
from providers.local.vad.echo import HOP, MelEchoDetector
from providers.local.vad.silero import SileroDetector, load_network
from tests.clips import COUNTRY, HANDS, HOUR
from tests.contracts.test_speech_detector import chunked
from tests.fakes import Browser, ScriptedTranscriber
from tests.unit.test_session import SessionUnderTest

pytestmark = pytest.mark.anyio

SENT_AHEAD = SAMPLE_RATE
CONVERGED = 2 * SAMPLE_RATE
"""From here on the delay is known, in all these tests."""


@cache
def network():
    return load_network()


async def scored(pcm):
    async with aclosing(SileroDetector(network()).score(chunked(pcm, (512,)))) as speech:
        return [one async for one in speech]


async def heard(echo, reply, mic):
    """What is left of the microphone's speech, while the reply is sent a second ahead of its playback."""
    pcm, sent = pcm16(reply), 0

    async def chunks():
        nonlocal sent
        async for chunk in chunked(pcm16(mic), (512,)):
            while sent < min(len(pcm), 2 * (chunk.start + SENT_AHEAD)):
                echo.play(pcm[sent : sent + 3200], chunk.start)
                sent += 3200
            yield chunk

    async with aclosing(score_near_end(SileroDetector(network()), chunks(), echo)) as left:
        return [one async for one in left]


def speech_samples(chunks, start=0, end=1 << 60):
    return sum(one.chunk.samples for one in chunks if one.speech >= 0.5 and start <= one.chunk.start < end)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize("level_db", [-6, -12, -20, -30])
@pytest.mark.parametrize("delay", [900, 6400])
async def test_echo_is_no_speech_once_its_delay_is_known(rng, level_db, delay):
    reply = at_level(HOUR.pcm + COUNTRY.pcm)
    mic = microphone(rng, reply, level_db=level_db, delay=delay)
    echo = MelEchoDetector()

    left = speech_samples(await heard(echo, reply, mic), CONVERGED)

    before = speech_samples(await scored(pcm16(mic)), CONVERGED)
    assert before > 6 * SAMPLE_RATE  # the detector of speech takes it for speech
    assert left <= 0.06 * before
    assert echo.delay is not None
    assert abs(echo.delay - delay) <= 2 * HOP


@pytest.mark.parametrize("level_db", [-12, -20, -30])
async def test_person_is_heard_over_the_echo(rng, level_db):
    reply, person, at = at_level(HOUR.pcm + COUNTRY.pcm), at_level(HANDS.pcm), 5 * SAMPLE_RATE
    mic = microphone(rng, reply, level_db=level_db, delay=3200, over=(person, at))

    left = await heard(MelEchoDetector(), reply, mic)

    alone = speech_samples(await scored(pcm16(person)))
    assert speech_samples(left, at, at + len(person)) >= 0.6 * alone
    first = next(one.chunk.start for one in left if one.speech >= 0.5 and one.chunk.start >= at)
    assert first - at <= 0.5 * SAMPLE_RATE


async def test_person_with_a_headset_is_never_masked(rng):
    reply, person, at = at_level(HOUR.pcm + COUNTRY.pcm), at_level(HANDS.pcm), 2 * SAMPLE_RATE
    mic = microphone(rng, reply, level_db=None, delay=0, over=(person, at))

    left = await heard(MelEchoDetector(), reply, mic)

    assert speech_samples(left) == speech_samples(await scored(pcm16(mic)))


async def test_what_is_not_played_any_more_masks_nothing(rng):
    """The reply is cancelled; what was sent of it, and would be playing now, is what the person says."""
    reply = at_level(HOUR.pcm + COUNTRY.pcm)
    echo = MelEchoDetector()
    await heard(echo, reply, microphone(rng, reply, level_db=-12, delay=3200))
    begun = len(reply) + SAMPLE_RATE
    echo.play(pcm16(reply), begun)
    echo.stop(begun + 1600)

    mic = pcm16(microphone(rng, reply, level_db=0, delay=0))
    left = [echo.near_end(chunk) for chunk in split_audio(AudioChunk(mic, begun), 512)]

    assert sum(not any(pcm) for pcm in left) * 512 <= 2 * SAMPLE_RATE  # a second, the longest delay, may be of it


async def test_chunks_of_any_size_give_the_same_delay(rng):
    reply = at_level(COUNTRY.pcm)
    pcm = pcm16(microphone(rng, reply, level_db=-12, delay=4000))
    delays = []
    for size in (160, 1000, 4096):
        echo = MelEchoDetector()
        echo.play(pcm16(reply), 0)
        for at in range(0, len(pcm), 2 * size):
            echo.near_end(AudioChunk(pcm[at : at + 2 * size], at // 2))
        delays.append(echo.delay)

    assert len(set(delays)) == 1
    assert delays[0] is not None


async def test_silence_and_noise_are_no_echo(rng):
    """A client that is muted, and one whose microphone has nothing but noise."""
    reply = at_level(COUNTRY.pcm)
    for noise in (np.zeros(len(reply), np.float32), rng.normal(size=len(reply)).astype(np.float32) * 0.01):
        echo = MelEchoDetector()
        await heard(echo, reply, noise)
        assert echo.delay is None


async def test_a_headset_is_known_after_three_seconds_of_sound(rng):
    reply = at_level(HOUR.pcm + COUNTRY.pcm)
    known = []
    for level_db in (None, -20.0):
        echo = MelEchoDetector()
        assert echo.may_echo
        await heard(echo, reply, microphone(rng, reply, level_db=level_db, delay=3200))
        known.append(echo.may_echo)

    assert known == [False, True]


async def test_noise_over_an_echo_makes_no_speech_of_it(rng):
    """A hum, in other parts of the spectrum."""
    reply = at_level(HOUR.pcm + COUNTRY.pcm)
    hum = 0.03 * np.sin(2 * np.pi * 120 * np.arange(len(reply)) / SAMPLE_RATE)
    mic = microphone(rng, reply, level_db=-12, delay=3200, over=(hum.astype(np.float32), 0))

    left = speech_samples(await heard(MelEchoDetector(), reply, mic), CONVERGED)

    before = speech_samples(await scored(pcm16(mic)), CONVERGED)
    assert before > 4 * SAMPLE_RATE
    assert left <= 0.06 * before


class Recorded:
    """Notes what the session tells it."""

    def __init__(self):
        self.calls = []

    def play(self, pcm, at):
        self.calls.append(("play", len(pcm), at))

    def stop(self, at):
        self.calls.append(("stop", at))

    may_echo = True

    def near_end(self, chunk):
        raise ProviderDown("echo", "not asked in this test")


def test_detector_is_told_what_is_played_and_when_it_stops():
    echo = Recorded()
    chunk = AudioChunk(bytes(320), 0)
    for effect in (do.PlayAudio(1, chunk), do.ShowReplyDelta(1, "x"), do.ShowReplyCancelled(1, "barge_in")):
        observe_playback(echo, effect, 900)
    observe_playback(echo, do.StopPlayback(2, "cancelled"), 1000)

    assert echo.calls == [("play", 320, 900), ("stop", 900), ("stop", 1000)]


class Voice:
    """A SpeechSynthesizer that says one recording."""

    def __init__(self, pcm):
        self.pcm = pcm

    async def synthesize(self, text, *, voice=None):
        async for _ in text:
            for chunk in split_audio(AudioChunk(self.pcm, 0), 1600):
                yield chunk


class Loudspeaker(Browser):
    """A client that wants a text spoken, and whose microphone hears the reply at -12 dB, 200 ms late."""

    async def incoming(self):
        yield ev.ClientRequestedSpeech("a recording")
        await self._waited_for(do.PlayAudio).wait()
        noise = np.random.default_rng(3)
        for at in range(0, 11 * SAMPLE_RATE, 512):
            played = b"".join(one.chunk.pcm for one in self.got(do.PlayAudio))
            sound = np.frombuffer(bytes(6400) + played, "<i2")[at : at + 512] / 4
            mic = noise.normal(size=512) * 20
            mic[: len(sound)] += sound
            yield AudioChunk(mic.astype("<i2").tobytes(), at)
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("ignores_echo", [True, False])
async def test_session_does_not_take_its_own_reply_for_the_user(ignores_echo):
    """Until the delay is known, the words of the reply tell the echo; from then on nothing of it is transcribed.

    Where the session's rule says that nothing is ignored, the detector is not asked.
    """
    session = SessionUnderTest(
        ScriptedTranscriber("a recording"),
        synthesizer=Voice(pcm16(at_level(HOUR.pcm + COUNTRY.pcm))),
        drafter=ScriptedTranscriber("a recording"),
        detector=SileroDetector(network()),
        echo=MelEchoDetector(),
        rules=TurnRules(ignore_echo=ignores_echo),
    )

    client = await session.run(Loudspeaker())

    finals = client.got(do.ShowFinal)
    assert bool(client.got(do.ShowDraft)) is not ignores_echo
    assert any(final.hypothesis.text for final in finals) is not ignores_echo
    assert any(final.start >= CONVERGED for final in finals) is not ignores_echo
    interrupted = client.got(do.StopPlayback) + client.got(do.ShowReplyCancelled)
    assert bool(interrupted) is not ignores_echo


REPLY = Reply(
    1,
    1,
    released=True,
    text="The next bus leaves at noon from platform two. Please have your ticket ready.",
    audio_sent=6 * SAMPLE_RATE,
    audio_sent_from=10 * SAMPLE_RATE,
    pieces=(
        SpokenPiece("The next bus leaves at noon from platform two.", 0),
        SpokenPiece("Please have your ticket ready.", 4 * SAMPLE_RATE),
    ),
)


@pytest.mark.parametrize(
    ("text", "at_s", "expected"),
    [
        ("The next bus", 10.2, True),
        ("bus leaves at moon from platform", 11, True),  # misheard in part
        ("noon", 12.5, True),
        ("PLATFORM TWO!", 13.5, True),
        ("Please have your ticket ready.", 15.0, True),
        ("stop", 12, False),
        ("No, I meant the train.", 12, False),
        ("ticket ready", 10.2, False),  # said four seconds later
        ("when does the bus leave from there", 11, False),
        ("", 12, False),
    ],
)
def test_words_are_an_echo_where_the_reply_says_them_at_that_time(text, at_s, expected):
    start = int(at_s * SAMPLE_RATE)
    state = DialogState(reply=REPLY)

    assert is_echo(state, text, start, start + 2 * SAMPLE_RATE) is expected


def test_user_may_repeat_what_the_reply_said():
    start = 11 * SAMPLE_RATE
    over, silent = DialogState(), DialogState(reply=Reply(1, 1, released=True, text=REPLY.text))
    off = DialogState(TurnRules(ignore_echo=False), reply=REPLY)

    for state in (over, silent, off):
        assert not is_echo(state, "The next bus", start, start + SAMPLE_RATE)
