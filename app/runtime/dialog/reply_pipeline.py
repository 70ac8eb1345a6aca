"""Make a reply: deltas to the client, the same words cut into sentences to the voice.

Everything may be made ahead of its time, up to a bounded queue; nothing leaves
before the gate opens.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
from anyio.abc import ObjectSendStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from app.domain.dialog import events as ev
from app.domain.dialog.sentences import SentenceChunker
from app.domain.errors import ParleyError
from app.domain.ports import SpeechSynthesizer

AHEAD = 512
"""Events a reply may be ahead of its gate or of a busy inbox; then its engines wait."""
PIECES = 64
"""Pieces of text the voice may lag behind the words; then the words wait."""


async def saying(text: str) -> AsyncGenerator[str, None]:
    """Words already known, as deltas."""
    yield text


async def run_reply(
    number: int,
    deltas: AsyncGenerator[str, None],
    voice: SpeechSynthesizer | None,
    gate: anyio.Event,
    inbox: ObjectSendStream[ev.Event],
) -> None:
    """Put the reply's events into the inbox, from the opening of the gate on."""
    made, ready = anyio.create_memory_object_stream[ev.Event](AHEAD)
    with made, ready:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_make, number, deltas, voice, made)
            await gate.wait()
            async for event in ready:
                await inbox.send(event)


async def _make(
    number: int,
    deltas: AsyncGenerator[str, None],
    voice: SpeechSynthesizer | None,
    made: MemoryObjectSendStream[ev.Event],
) -> None:
    with made:
        try:
            pieces, text = anyio.create_memory_object_stream[str](PIECES)
            with pieces, text:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_write, number, deltas, pieces, made)
                    if voice is None:
                        text.close()
                    else:
                        tasks.start_soon(_speak, number, voice, text, made)
            end: ev.Event = ev.ReplyFinished(number)
        except* ParleyError as group:
            end = ev.ReplyFailed(number, _first(group))
        await made.send(end)


async def _write(
    number: int,
    deltas: AsyncGenerator[str, None],
    pieces: MemoryObjectSendStream[str],
    made: MemoryObjectSendStream[ev.Event],
) -> None:
    cutter = SentenceChunker()
    with pieces:
        async with aclosing(deltas):
            async for delta in deltas:
                await made.send(ev.ReplyDeltaReceived(number, delta))
                cutter, ready = cutter.push(delta)
                for piece in ready:
                    await _hand(pieces, piece)
        for piece in cutter.finish():
            await _hand(pieces, piece)


async def _hand(pieces: MemoryObjectSendStream[str], piece: str) -> None:
    try:
        await pieces.send(piece)
    except anyio.BrokenResourceError:
        return  # nobody listens: the reply is written only


async def _speak(
    number: int,
    voice: SpeechSynthesizer,
    text: MemoryObjectReceiveStream[str],
    made: MemoryObjectSendStream[ev.Event],
) -> None:
    with text:
        async with aclosing(voice.synthesize(text)) as speech:
            async for chunk in speech:
                await made.send(ev.ReplyAudioReceived(number, chunk))


def _first(group: BaseExceptionGroup[ParleyError]) -> ParleyError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ParleyError)
    return error
