"""Sessions whose connection is lost again and again, at random moments: nothing is lost, and nothing is doubled."""

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from random import Random

import anyio
import numpy as np
import pytest

from app.domain.audio import AudioChunk
from app.domain.residency import Place
from app.domain.routing.route import Route
from app.domain.transcript import Hypothesis
from app.media.decode import decode_exactly
from app.runtime.dialog.engines import Engines
from app.runtime.service import Service
from tests.clips import silence
from tests.emulators.wire import Drop, Wire, wire_to
from tests.fakes import ScriptedDetector, ScriptedGenerator, ScriptedSynthesizer, ScriptedTranscriber, SingleRouteFinals
from tests.serving import scripted_service, served, stored_manifest
from tests.streaming_client import StreamingClient, open_session

pytestmark = pytest.mark.anyio
REPLIES = ScriptedGenerator([f"This is sentence number {n}. " for n in range(120)])

LETTERS = str.maketrans("0123456789", "ghijklmnop")


@dataclass
class Digest(ScriptedTranscriber):
    """Its text is a digest of the utterance's samples: one sample more or less, and it is another."""

    async def transcribe(
        self, utterance: AsyncIterable[AudioChunk], *, language: str | None = None
    ) -> AsyncGenerator[Hypothesis, None]:
        pcm = b"".join([chunk.pcm async for chunk in utterance])
        # In letters: what ends on a digit is dictation, and waits longer, from the moment its text is there.
        yield Hypothesis(sha256(pcm).hexdigest()[:16].translate(LETTERS), is_final=True)


@dataclass
class SlowVoice(ScriptedSynthesizer):
    """Each piece has audio of its own, and takes a moment."""

    async def synthesize(
        self, text: AsyncIterable[str], *, voice: str | None = None
    ) -> AsyncGenerator[AudioChunk, None]:
        at = 0
        async for piece in text:
            await anyio.sleep(0.02)
            yield (chunk := AudioChunk(sha256(piece.encode()).digest() * 40, at))
            at = chunk.end


def digesting_service(*, resume_s: float) -> Service:
    engines = Engines(
        ScriptedDetector(), SingleRouteFinals(Route("local", Place.ON_PREM), Digest()), None, REPLIES, SlowVoice()
    )

    @asynccontextmanager
    async def session_engines(*_: object) -> AsyncGenerator[Engines, None]:
        yield engines

    return scripted_service(session_engines=session_engines, resume_s=resume_s)


def speech(random: Random, seconds: float, rate: int) -> bytes:
    """Noise in words and pauses of random lengths; no two moments are alike."""
    samples, noise = [], np.random.default_rng(random.randrange(2**32))
    while sum(map(len, samples)) < seconds * rate:
        samples.append(noise.integers(1, 2**15 - 1, int(random.uniform(0.3, 2) * rate), dtype=np.int16) | 1)
        samples.append(np.zeros(int(random.uniform(0.2, 1.5) * rate), dtype=np.int16))
    samples.append(np.zeros(2 * rate, dtype=np.int16))
    return np.concatenate(samples).tobytes()


@dataclass
class Network:
    """Loses the connection so often, for so long, in every way."""

    drops: int
    away_s: tuple[float, float]
    random: Random
    done: list[Drop] = field(default_factory=list)
    is_over: anyio.Event = field(default_factory=anyio.Event)

    async def spoil(self, wire: Wire, between_s: tuple[float, float]) -> None:
        while len(self.done) < self.drops:
            await anyio.sleep(self.random.uniform(*between_s))
            how = self.random.choice(list(Drop))
            wire.is_away = True
            wire.drop(how)
            self.done.append(how)
            await anyio.sleep(self.random.uniform(*self.away_s))
            wire.is_away = False
        self.is_over.set()


@dataclass
class Outcome:
    finals: list[tuple[int, str, float, float]]
    recording: bytes
    numbers: list[int]
    """Of the server's messages, as they came, without those that came twice."""
    returns: int = 0


async def talk_over(
    address: str, service: Service, pcm: bytes, *, rate: int, pace: float, network: Network | None
) -> Outcome:
    """One session that transcribes this audio, and its recording."""
    port = int(address.rpartition(":")[2])
    async with wire_to(port) as wire, anyio.create_task_group() as tasks:
        url = f"ws://localhost:{wire.port}/ws/transcribe"
        async with open_session(url, rate=rate, resume=True) as session:
            session.resumption.silence_s = 1.0
            assert await session.wait_until(lambda s: s.messages("session"), timeout_s=5)
            if network:
                between = (0.0, len(pcm) / 2 / rate / pace / network.drops)
                tasks.start_soon(network.spoil, wire, between)
            await session.send_message(type="configure", reply=False)
            await session.send_audio(pcm, pace=pace)
            await session.send_message(type="end")
            assert await session.wait_until(lambda s: not s.resumption.sent.kept, timeout_s=60), session.closed
            if network:
                await network.is_over.wait()
            await speak_last(session)
        id_ = session.messages("session")[0].message["id"]
        tasks.cancel_scope.cancel()
    assert {r.message["id"] for r in session.messages("session")} == {id_}
    return Outcome(
        finals_of(session), await recording_of(service, id_), numbers_of(session), session.resumption.returns
    )


async def speak_last(session: StreamingClient) -> None:
    """Have a text spoken, behind the last final: so everything before it has come."""

    def is_answered(asked: int) -> bool:
        return bool(session.messages("server_response")) or len(session.messages("error")) >= asked

    for asked in range(1, 60):
        await session.send_message(type="say", text="Done.")
        assert await session.wait_until(lambda _, asked=asked: is_answered(asked), timeout_s=60), session.closed
        if session.messages("server_response"):
            return
        await anyio.sleep(1)  # as often as a client may ask


def finals_of(session: StreamingClient) -> list[tuple[int, str, float, float]]:
    finals = [received.message for received in session.messages("fullSentence")]
    return [(final["utterance"], final["text"], final["start"], final["end"]) for final in finals]


def numbers_of(session: StreamingClient) -> list[int]:
    return [received.message["seq"] for received in session.received if "seq" in received.message]


async def recording_of(service: Service, session: str) -> bytes:
    """Its samples, as they are stored."""
    manifest = await stored_manifest(service, session)
    parts = [
        decode_exactly(await service.store.get(chunk["key"]), chunk["end"] - chunk["start"])
        for chunk in manifest["chunks"]
    ]
    return b"".join(parts)


async def dropped_and_undropped(
    seed: int, *, drops: int, seconds: float, pace: float, away_s: tuple[float, float], resume_s: float, rate: int
) -> tuple[Outcome, Outcome]:
    service = digesting_service(resume_s=resume_s)
    pcm = speech(Random(seed), seconds, rate)
    async with served(service) as address:
        undropped = await talk_over(address, service, pcm, rate=rate, pace=0, network=None)
        network = Network(drops, away_s, Random(seed))
        dropped = await talk_over(address, service, pcm, rate=rate, pace=pace, network=network)
    assert len(network.done) == drops
    return dropped, undropped


def same(dropped: Outcome, undropped: Outcome) -> None:
    assert undropped.finals
    assert dropped.finals == undropped.finals
    assert dropped.recording == undropped.recording
    assert dropped.numbers == list(range(1, len(dropped.numbers) + 1))
    assert dropped.returns


@pytest.mark.parametrize("rate", [16_000, 48_000])
async def test_a_session_is_the_same_with_dropped_connections_and_without(rate: int) -> None:
    """Resets and half-open connections, of either side, in every phase: transcript and recording, to the sample."""
    same(*await dropped_and_undropped(1, drops=8, seconds=30, pace=8, away_s=(0, 0.4), resume_s=20, rate=rate))


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(25))
async def test_200_dropped_connections_lose_no_sample(seed: int) -> None:
    """Eight in each of 25 sessions, at three times real time."""
    rate = 48_000 if seed % 2 else 16_000
    outcome = await dropped_and_undropped(seed, drops=8, seconds=45, pace=3, away_s=(0.05, 1.5), resume_s=20, rate=rate)
    same(*outcome)


@pytest.mark.nightly
@pytest.mark.timeout(900)
async def test_connections_dropped_for_1_to_25_seconds_lose_no_sample() -> None:
    """In real time, with the time that a session waits by default."""
    same(*await dropped_and_undropped(99, drops=8, seconds=180, pace=1, away_s=(1, 25), resume_s=30, rate=48_000))


async def test_a_reply_goes_on_where_it_was_when_the_connection_is_lost() -> None:
    """Its text and every sample of its sound arrive once, in their order, over however many connections."""
    service = digesting_service(resume_s=20)
    async with (
        served(service) as address,
        wire_to(int(address.rpartition(":")[2])) as wire,
        open_session(f"ws://localhost:{wire.port}/ws/transcribe", resume=True) as session,
        anyio.create_task_group() as tasks,
    ):
        session.resumption.silence_s = 1.0
        network = Network(6, (0, 0.3), Random(4))
        await session.send_audio(speech(Random(1), 1, 16_000), pace=0)
        await session.send_message(type="end")
        tasks.start_soon(partial(session.send_audio, silence(60), pace=8))  # the microphone stays open
        await network.spoil(wire, (0.05, 0.4))
        assert await session.wait_until(lambda s: s.messages("server_response"), timeout_s=30)
        tasks.cancel_scope.cancel()

    numbers = numbers_of(session)
    assert numbers == list(range(1, len(numbers) + 1))
    text = "".join(REPLIES.deltas)
    assert "".join(r.message["text"] for r in session.messages("replyDelta")) == text
    async with aclosing(SlowVoice().synthesize(_pieces(text))) as voice:
        spoken = b"".join([chunk.pcm async for chunk in voice])
    assert len(b"".join(r.pcm for r in session.messages("replyAudio"))) == len(spoken)
    assert session.resumption.returns >= 1


async def _pieces(text: str) -> AsyncGenerator[str, None]:
    for sentence in text.split(". ")[:-1]:
        yield f"{sentence}."
