"""One person at the microphone: a clip at the speed of speech, then an open microphone until the answer is there."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio
import websockets

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from bench.clips import Clip
from bench.protocols import Heard, Line, Opener

PACKET_MS = 40
STEP = SAMPLE_RATE * PACKET_MS // 1000 * BYTES_PER_SAMPLE
LEAD_SECONDS = 0.4
"""The microphone is open before somebody speaks."""
QUIET_SECONDS = 2.0
"""Silence that always follows: a late final may still come behind an early one."""
PATIENCE_SECONDS = 12.0
"""Silence after which an answer counts as missing."""
PARTING_SECONDS = 3.0
"""How long a server may still talk once it was told that no more audio comes."""
COVER_SECONDS = 0.4
"""A final covers the end of speech when it says it reaches at least that near to it."""


HUNG_UP = (websockets.ConnectionClosed, anyio.BrokenResourceError, anyio.ClosedResourceError)
"""What a line raises when the server has gone."""


@dataclass(slots=True)
class Said:
    """One clip, played once, and all that came back. Times are seconds since its first packet's first sample."""

    clip: Clip
    reply: bool
    began: float = 0.0
    heard: list[Heard] = field(default_factory=list)
    streamed: float = 0.0
    """Seconds of audio sent, silence included."""
    hung_up: bool = False
    """The server went away before everything was said."""
    late_ms: float = 0.0
    """How much later than due the latest packet left: the harness's own delay."""

    @property
    def onset(self) -> float:
        return LEAD_SECONDS + self.clip.onset

    @property
    def end(self) -> float:
        return LEAD_SECONDS + self.clip.end

    def of(self, kind: str) -> list[Heard]:
        return [heard for heard in self.heard if heard.kind == kind]

    def last_final(self) -> Heard | None:
        """The last final that covers the end of speech."""
        covering = [final for final in self.of("final") if final.text and self._covers(final)]
        return covering[-1] if covering else None

    def first_reply(self) -> Heard | None:
        """The first spoken reply behind that final."""
        final = self.last_final()
        return next((heard for heard in self.of("reply") if final and heard.at >= final.at), None)

    def answered(self) -> bool:
        return self.last_final() is not None and not (self.reply and self.first_reply() is None)

    def _covers(self, final: Heard) -> bool:
        if final.start is not None and final.end is not None:
            return final.start < self.end and final.end >= self.end - COVER_SECONDS
        return final.at >= self.end


async def say(opener: Opener, url: str, clip: Clip, *, reply: bool, quiet: float = QUIET_SECONDS) -> Said:
    """Play the clip over a session of its own. Raises ProviderDown where nobody answers."""
    said = Said(clip, reply)
    try:
        async with opener(url, reply=reply) as line, anyio.create_task_group() as tasks:
            said.began = anyio.current_time()
            over = anyio.Event()
            tasks.start_soon(_listen, line.heard(), said, over)
            await _talk(line, said, over, quiet)
            tasks.cancel_scope.cancel()
    except* HUNG_UP:
        said.hung_up = True
    return said


async def _talk(line: Line, said: Said, over: anyio.Event, quiet_seconds: float) -> None:
    """The clip, then silence for as long as the answer takes or patience lasts."""
    tone = said.clip.tone
    lead, quiet, patience = (size(seconds) for seconds in (LEAD_SECONDS, quiet_seconds, PATIENCE_SECONDS))
    await _send(line, said, tone[:lead] + said.clip.pcm + tone[lead : lead + quiet])
    further = iter(_packets(tone[lead + quiet : lead + patience]))
    while not said.answered() and not over.is_set() and (packet := next(further, None)):
        await _send(line, said, packet)
    if not over.is_set():
        await line.finish()
        if not said.answered():
            with anyio.move_on_after(PARTING_SECONDS):
                await over.wait()


async def _send(line: Line, said: Said, pcm: bytes) -> None:
    for packet in _packets(pcm):
        said.streamed += len(packet) / BYTES_PER_SAMPLE / SAMPLE_RATE
        due = said.began + said.streamed  # a packet leaves when its last sample has been spoken
        await anyio.sleep_until(due)
        said.late_ms = max(said.late_ms, (anyio.current_time() - due) * 1000)
        await line.send(packet)


def size(seconds: float) -> int:
    """Bytes of so much audio."""
    return int(seconds * SAMPLE_RATE) * BYTES_PER_SAMPLE


def _packets(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + STEP] for at in range(0, len(pcm), STEP)]


async def _listen(incoming: AsyncGenerator[Heard, None], said: Said, over: anyio.Event) -> None:
    async with aclosing(incoming) as heard:
        async for each in heard:
            said.heard.append(
                Heard(each.at - said.began, each.kind, each.text, each.utterance, each.start, each.end),
            )
    over.set()
