"""Echo: the reply's own sound, heard by the microphone, is not speech."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import aclosing
from dataclasses import replace

from app.domain.audio import AudioChunk, ScoredChunk
from app.domain.dialog import effects as do
from app.domain.ports import EchoDetector, SpeechDetector


def observe_playback(echo: EchoDetector, effect: do.Effect, audio_end: int) -> None:
    """Tell the detector what the client will play from now on; the session's audio ends at `audio_end`."""
    match effect:
        case do.PlayAudio(_, chunk) | do.ResendAudio(_, chunk):
            echo.play(chunk.pcm, audio_end)
        case do.ShowReplyCancelled() | do.StopPlayback() | do.PauseReply():
            echo.stop(audio_end)
        case _:
            pass


async def score_near_end(
    detector: SpeechDetector,
    audio: AsyncIterable[AudioChunk],
    echo: EchoDetector | None,
    is_on: Callable[[], bool] = lambda: True,
) -> AsyncGenerator[ScoredChunk, None]:
    """The audio without the reply's echo, with its speech and level; as it came where there is none, or that is off."""

    async def near_end() -> AsyncGenerator[AudioChunk, None]:
        async for chunk in audio:
            yield replace(chunk, pcm=echo.near_end(chunk)) if echo is not None and is_on() else chunk

    async with aclosing(near_end()) as left, aclosing(detector.score(left)) as scored_audio:
        async for scored in scored_audio:
            yield replace(scored, may_echo=echo is None or echo.may_echo)
