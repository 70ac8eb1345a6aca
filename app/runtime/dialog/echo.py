"""Echo: the reply's own sound, heard by the microphone, is not speech."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable
from dataclasses import replace

from app.domain.audio import ScoredChunk
from app.domain.dialog import effects as do
from app.domain.ports import EchoDetector


def observe_playback(echo: EchoDetector, effect: do.Effect, audio_end: int) -> None:
    """Tell the detector what the client will play from now on; the session's audio ends at `audio_end`."""
    match effect:
        case do.PlayAudio(_, chunk) | do.ResendAudio(_, chunk):
            echo.play(chunk.pcm, audio_end)
        case do.ShowReplyCancelled() | do.StopPlayback() | do.PauseReply():
            echo.stop(audio_end)
        case _:
            pass


async def without_echo(
    echo: EchoDetector | None, scored_audio: AsyncIterable[ScoredChunk], is_on: Callable[[], bool] = lambda: True
) -> AsyncGenerator[ScoredChunk, None]:
    """The same chunks; one that is nothing but echo counts as silence, while detection is on."""
    async for scored in scored_audio:
        is_echo = echo is not None and is_on() and echo.is_echo(scored.chunk)
        yield replace(scored, speech=0.0) if is_echo else scored
