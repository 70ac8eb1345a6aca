"""The reply pipeline: deltas of text to the client, and the same text in sentences to the voice.

Everything may be generated ahead of the end of the turn, up to a bounded queue; nothing leaves before the release.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import anyio
import structlog
from anyio.abc import ObjectSendStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from opentelemetry.trace import Span

from app.domain.dialog import events as ev
from app.domain.dialog.sentences import SentenceChunker
from app.domain.errors import ParleyError, flatten
from app.domain.ports import SpeechSynthesizer
from app.domain.spending import TokenUsage
from app.domain.tools import ToolCall
from app.runtime.tracing import end_span, tracer, until_first

EVENTS_AHEAD = 512
"""Events a reply may be ahead of its release or of a busy inbox; then its engines wait."""
PIECES_AHEAD = 64
"""Pieces of text the voice may lag behind; then the text waits."""

_log = structlog.get_logger("parley.reply")


async def known_text(text: str) -> AsyncGenerator[str, None]:
    """A text that is known already, as the deltas of a reply."""
    yield text


async def run_reply(
    number: int,
    parts: AsyncGenerator[str | ToolCall, None],
    voice: SpeechSynthesizer | None,
    released: anyio.Event,
    inbox: ObjectSendStream[ev.Event],
    *,
    max_characters: int,
    usage: Callable[[], TokenUsage | None] = lambda: None,
) -> None:
    """Put the reply's events into the inbox, once it is released. A text beyond `max_characters` ends there.

    `usage` is asked when all of it was made.
    """
    made, ready = anyio.create_memory_object_stream[ev.Event](EVENTS_AHEAD)
    with made, ready:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                _generate,
                number,
                _limited(until_first("first_token", parts), max_characters),
                voice,
                released,
                made,
                inbox,
                usage,
            )
            await released.wait()
            async for event in ready:
                await inbox.send(event)


async def _limited(
    parts: AsyncGenerator[str | ToolCall, None], max_characters: int
) -> AsyncGenerator[str | ToolCall, None]:
    """The deltas up to a length. An engine that ignores its own limit is stopped; its text up to there is the reply."""
    left = max_characters
    async with aclosing(parts):
        async for delta in parts:
            if isinstance(delta, ToolCall):
                yield delta
                continue
            if len(delta) > left:
                _log.warning("reply cut at its limit", characters=max_characters)
                if left:
                    yield delta[:left]
                return
            left -= len(delta)
            yield delta


async def _generate(
    number: int,
    parts: AsyncGenerator[str | ToolCall, None],
    voice: SpeechSynthesizer | None,
    released: anyio.Event,
    made: MemoryObjectSendStream[ev.Event],
    inbox: ObjectSendStream[ev.Event],
    usage: Callable[[], TokenUsage | None],
) -> None:
    """Run text and voice to their end. A failure before the release is reported at once, so that another can start."""
    with made:
        out: ObjectSendStream[ev.Event] = made
        try:
            pieces, text = anyio.create_memory_object_stream[str](PIECES_AHEAD)
            with pieces, text:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_write, number, parts, pieces, made)
                    if voice is None:
                        text.close()
                    else:
                        tasks.start_soon(_speak, number, voice, text, made)
            end: ev.Event = ev.ReplyFinished(number, usage())
        except* ParleyError as group:
            end = ev.ReplyFailed(number, next(e for e in flatten(group) if isinstance(e, ParleyError)))
            out = made if released.is_set() else inbox
        await out.send(end)


async def _write(
    number: int,
    parts: AsyncGenerator[str | ToolCall, None],
    pieces: MemoryObjectSendStream[str],
    made: MemoryObjectSendStream[ev.Event],
) -> None:
    """Send each delta on, and each piece of text that is complete to the voice; before a tool call all there is."""
    chunker = SentenceChunker()
    with pieces:
        async with aclosing(parts):
            async for part in parts:
                if isinstance(part, ToolCall):
                    if part.result is None:
                        chunker, ready = SentenceChunker(), chunker.finish()
                        if part.by_client:
                            await made.send(ev.ReplyToolRequested(number, part))
                    else:
                        await made.send(ev.ReplyToolCalled(number, part))
                        ready = ()
                else:
                    await made.send(ev.ReplyDeltaReceived(number, part))
                    chunker, ready = chunker.push(part)
                for piece in ready:
                    await _hand_over(pieces, piece)
        for piece in chunker.finish():
            await _hand_over(pieces, piece)


async def _hand_over(pieces: MemoryObjectSendStream[str], piece: str) -> None:
    try:
        await pieces.send(piece)
    except anyio.BrokenResourceError:
        return  # there is no voice, or it has ended: the reply is text only


async def _speak(
    number: int,
    voice: SpeechSynthesizer,
    text: MemoryObjectReceiveStream[str],
    made: MemoryObjectSendStream[ev.Event],
) -> None:
    """Synthesize the pieces; where no voice can, or the budget is spent, the reply goes on as text."""
    first_sound: Span | None = None

    async def pieces() -> AsyncGenerator[str, None]:
        nonlocal first_sound
        async for piece in text:
            first_sound = first_sound or tracer.start_span("first_sound")
            await made.send(ev.ReplyPieceBegun(number, piece))
            yield piece

    with text:
        try:
            async with aclosing(pieces()) as begun, aclosing(voice.synthesize(begun)) as speech:
                async for chunk in speech:
                    end_span(first_sound)
                    await made.send(ev.ReplyAudioReceived(number, chunk))
        except ParleyError as error:
            await made.send(ev.ReplySpeechRefused(number, error))
        finally:
            end_span(first_sound)
