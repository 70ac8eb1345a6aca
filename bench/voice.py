"""Stream one clip to a server in real time, then room tone until the final and the reply have arrived."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio
import websockets

from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from bench.clips import Clip
from bench.protocols import Connection, Opener, ServerEvent

PACKET_MS = 40
STEP = SAMPLE_RATE * PACKET_MS // 1000 * BYTES_PER_SAMPLE
LEADING_TONE_SECONDS = 0.4
"""Room tone in front of the clip."""
TRAILING_TONE_SECONDS = 2.0
"""Room tone that always follows the clip: a late final may still come after an early one."""
ANSWER_TIMEOUT_SECONDS = 12.0
"""Room tone after which a final or reply counts as missing."""
CLOSE_TIMEOUT_SECONDS = 3.0
"""How long the server may still send once it knows that no more audio comes."""
COVER_SECONDS = 0.4
"""A final covers the end of speech when its reported end is at most this far before it."""


DISCONNECTED = (websockets.ConnectionClosed, anyio.BrokenResourceError, anyio.ClosedResourceError)
"""What a connection raises when the server has closed it."""


@dataclass(slots=True)
class PlayedClip:
    """One clip, streamed once, with all server events. Times are seconds since its first packet's first sample."""

    clip: Clip
    reply: bool
    began: float = 0.0
    events: list[ServerEvent] = field(default_factory=list)
    streamed: float = 0.0
    """Seconds of audio sent, silence included."""
    disconnected: bool = False
    """The server closed the connection before the clip was over."""
    late_ms: float = 0.0
    """Delay of the latest packet, caused by the harness itself."""

    @property
    def onset(self) -> float:
        return LEADING_TONE_SECONDS + self.clip.onset

    @property
    def end(self) -> float:
        return LEADING_TONE_SECONDS + self.clip.end

    def events_of(self, kind: str) -> list[ServerEvent]:
        return [event for event in self.events if event.kind == kind]

    def last_final(self) -> ServerEvent | None:
        """The last final that covers the end of speech."""
        covering = [final for final in self.events_of("final") if final.text and self._covers(final)]
        return covering[-1] if covering else None

    def first_reply(self) -> ServerEvent | None:
        """The first audio of a reply after that final."""
        final = self.last_final()
        return next((event for event in self.events_of("reply") if final and event.at >= final.at), None)

    def answered(self) -> bool:
        return self.last_final() is not None and not (self.reply and self.first_reply() is None)

    def _covers(self, final: ServerEvent) -> bool:
        if final.start is not None and final.end is not None:
            return final.start < self.end and final.end >= self.end - COVER_SECONDS
        return final.at >= self.end


async def play_clip(
    opener: Opener, url: str, clip: Clip, *, reply: bool, quiet: float = TRAILING_TONE_SECONDS
) -> PlayedClip:
    """Stream the clip over a session of its own. Raises ProviderDown if the server cannot be reached."""
    played = PlayedClip(clip, reply)
    try:
        async with opener(url, reply=reply) as connection, anyio.create_task_group() as tasks:
            played.began = anyio.current_time()
            over = anyio.Event()
            tasks.start_soon(_receive, connection.events(), played, over)
            await _stream(connection, played, over, quiet)
            tasks.cancel_scope.cancel()
    except* DISCONNECTED:
        played.disconnected = True
    return played


async def _stream(connection: Connection, played: PlayedClip, over: anyio.Event, quiet_seconds: float) -> None:
    """Send the clip, then room tone until the answer is complete or the timeout is over."""
    tone = played.clip.tone
    lead, trailing, longest = (
        size(seconds) for seconds in (LEADING_TONE_SECONDS, quiet_seconds, ANSWER_TIMEOUT_SECONDS)
    )
    await _send(connection, played, tone[:lead] + played.clip.pcm + tone[lead : lead + trailing])
    further = iter(_packets(tone[lead + trailing : lead + longest]))
    while not played.answered() and not over.is_set() and (packet := next(further, None)):
        await _send(connection, played, packet)
    if not over.is_set():
        await connection.finish()
        if not played.answered():
            with anyio.move_on_after(CLOSE_TIMEOUT_SECONDS):
                await over.wait()


async def _send(connection: Connection, played: PlayedClip, pcm: bytes) -> None:
    for packet in _packets(pcm):
        played.streamed += len(packet) / BYTES_PER_SAMPLE / SAMPLE_RATE
        due = played.began + played.streamed  # a packet is sent when its last sample would have been spoken
        await anyio.sleep_until(due)
        played.late_ms = max(played.late_ms, (anyio.current_time() - due) * 1000)
        await connection.send(packet)


def size(seconds: float) -> int:
    """Bytes of this many seconds of audio."""
    return int(seconds * SAMPLE_RATE) * BYTES_PER_SAMPLE


def _packets(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + STEP] for at in range(0, len(pcm), STEP)]


async def _receive(incoming: AsyncGenerator[ServerEvent, None], played: PlayedClip, over: anyio.Event) -> None:
    async with aclosing(incoming) as events:
        async for each in events:
            played.events.append(
                ServerEvent(each.at - played.began, each.kind, each.text, each.utterance, each.start, each.end),
            )
    over.set()
