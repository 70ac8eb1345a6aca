"""`parley talk`: stream an audio file or the microphone to a running server."""

import sys
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
import click
from parley_client import (
    Configuration,
    Draft,
    Event,
    Final,
    ReplyAudio,
    ReplyCancelled,
    ReplyDone,
    ReplyDucked,
    ReplyInterrupted,
    ReplyPaused,
    ReplyRestored,
    ReplyResumed,
    ReplyStarted,
    RequestFailed,
    Session,
    SessionEnded,
    SessionError,
    SessionRefused,
    SessionResumed,
    SpeakerLabelled,
    paced,
)
from rich.console import Console
from rich.text import Text

from app.cli.audio_devices import BLOCK_MS, Loudspeaker, load_portaudio, open_loudspeaker, open_microphone
from app.cli.server_address import url_option
from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from app.domain.errors import ClientFault, ParleyError
from app.domain.recording.subtitles import speaker_name
from app.domain.residency import Residency
from app.domain.turn_mode import TurnMode
from app.media.decode import decode

_KEY_HINT = " (give a key with --key, or in PARLEY_KEY)"
_CHANGES: dict[type[Event], str] = {
    ReplyDucked: "you speak over the reply: it is quieter",
    ReplyRestored: "no interruption: the reply is as loud as before",
    ReplyPaused: "the reply is paused",
    ReplyResumed: "no interruption: the reply goes on",
}
TRAILING_SILENCE_S = 2.0
"""Sent after the speech, as an open microphone would."""


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@url_option(scheme="ws", path="/ws/transcribe", purpose="The server: its host, or its address.")
@click.option(
    "--pace",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Multiple of real time; 0 sends at once.",
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write the last reply's MP3 to."
)
@click.option("--device", help="Name or number of the microphone and the loudspeaker.")
@click.option("--mute", is_flag=True, help="With the microphone: do not play replies.")
@click.option("--no-reply", is_flag=True, help="Transcribe only.")
@click.option("--language", help="Spoken language, or several with commas.")
@click.option("--key-terms", help="Names and jargon that are likely in the audio, with commas.")
@click.option("--person", help="Who speaks: your own identifier, kept with the recording.")
@click.option("--profile", help="A profile of the server.")
@click.option("--conversation", help="Id of the conversation that this session continues.")
@click.option("--turns", type=click.Choice([str(mode) for mode in TurnMode]), help="What ends the user's turn.")
@click.option("--place", type=click.Choice([str(place) for place in Residency]), help="Where audio may be processed.")
@click.option("--no-archive", is_flag=True, help="Keep nothing of the session.")
@click.option("--key", envvar="PARLEY_KEY", show_envvar=True, help="Key, where the server asks for one.")
@click.option(
    "--timeout",
    "--patience",
    "timeout_s",
    type=float,
    default=60.0,
    show_default=True,
    help="Seconds to wait for the reply.",
)
def talk(
    file: Path | None,
    url: str,
    pace: float,
    output: Path | None,
    device: str | None,
    mute: bool,
    no_reply: bool,
    key: str | None,
    timeout_s: float,
    **wishes: Any,
) -> None:
    """Stream FILE in real time, or the microphone; print drafts, finals, the reply and timings.

    Without FILE the microphone is open until Ctrl-C, and replies are played (use headphones, or --mute); it needs the
    extra `microphone`.
    """
    settings = configuration(reply=not no_reply, pauses=file is not None, **wishes)
    if file is not None:
        source = _open_file(file, pace)
    else:
        source = _open_devices(load_portaudio(), device, is_muted=mute or no_reply)
    try:
        is_kept = anyio.run(_talk, source, url, output, settings, key, timeout_s)
    except SessionError as error:
        raise ParleyError(str(error)) from error
    if not is_kept:
        sys.exit(1)


def configuration(
    *,
    reply: bool,
    pauses: bool = True,
    language: str | None = None,
    key_terms: str | None = None,
    no_archive: bool = False,
    **others: Any,
) -> Configuration:
    """What the session is asked for; what was not asked for is absent."""
    fields: dict[str, Any] = {} if reply else {"reply": False}
    if reply and pauses:
        fields["pauses"] = True
    if language is not None:
        fields["languages"] = _listed(language)
    if key_terms is not None:
        fields["key_terms"] = _listed(key_terms)
    if no_archive:
        fields["archive"] = False
    return cast("Configuration", fields | {name: value for name, value in others.items() if value is not None})


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@dataclass(frozen=True, slots=True)
class _Source:
    """What is sent, packet by packet of 16 kHz PCM16, and what replies are played by."""

    packets: AsyncIterable[bytes]
    loudspeaker: Loudspeaker | None = None
    is_live: bool = False
    """Whether it ends at some moment, and not behind the silence that ends a turn."""


@asynccontextmanager
async def _open_file(file: Path, pace: float) -> AsyncGenerator[_Source, None]:
    pcm = b"".join(decode(file)) + bytes(int(TRAILING_SILENCE_S * SAMPLE_RATE) * BYTES_PER_SAMPLE)
    yield _Source(paced(pcm, SAMPLE_RATE, pace))


@asynccontextmanager
async def _open_devices(portaudio: Any, device: str | None, *, is_muted: bool) -> AsyncGenerator[_Source, None]:
    async with AsyncExitStack() as stack:
        loudspeaker = None if is_muted else stack.enter_context(open_loudspeaker(portaudio, device))
        microphone = await stack.enter_async_context(open_microphone(portaudio, device))
        click.echo("Speak; Ctrl-C ends it.", err=True)
        yield _Source(microphone.packets(), loudspeaker, is_live=True)
    if microphone.lost_blocks:
        click.echo(f"{microphone.lost_blocks * BLOCK_MS / 1000:.1f} s were not sent: the network is too slow", err=True)


@dataclass
class _Dialog:
    """What the server has said so far."""

    console: Console
    loudspeaker: Loudspeaker | None = None
    started_at: float = 0.0
    """When the first audio was sent, on the event loop's clock; 0 before it."""
    is_over: bool = False
    finals: list[tuple[float, Final]] = field(default_factory=list)
    is_speaking: bool = False
    """A draft has come, and its final has not."""
    replies_begun: int = 0
    replies_ended: int = 0
    first_audio_s: float | None = None
    audio_bytes: int = 0
    mp3: bytes = b""
    """Of the newest reply that is complete."""
    _changed: anyio.Event = field(default_factory=anyio.Event)

    def is_transcribed(self) -> bool:
        return bool(self.finals)

    def is_answered(self) -> bool:
        """Every reply that began has ended."""
        return bool(self.replies_ended) and self.replies_ended >= self.replies_begun

    async def finish(self, *, replies: bool, timeout_s: float) -> None:
        """The final of what was being said, its reply, and that reply's audio to its end."""
        if self.is_speaking:
            ended = self.replies_ended
            await self.wait_until(lambda: not self.is_speaking, timeout_s=timeout_s)
            if replies:
                await self.wait_until(lambda: self.replies_ended > ended, timeout_s=timeout_s)
        elif self.replies_begun:
            await self.wait_until(self.is_answered, timeout_s=timeout_s)
        if self.loudspeaker is not None and not self.is_over:
            await anyio.sleep(self.loudspeaker.waiting_s)

    async def read(self, session: Session) -> None:
        try:
            async for event in session:
                at_s = anyio.current_time() - self.started_at if self.started_at else -1.0
                self._add(at_s, event)
                await self._play(event, session)
                print_event(self.console, at_s, event)
                self._notify()
        except SessionEnded as error:
            text = f"the server ended the session: {error.close_code} {error}"
            self.console.print(Text(text, style="red"), soft_wrap=True)
            self.is_over = True
            self._notify()

    async def wait_until(self, condition: Callable[[], bool], *, timeout_s: float) -> bool:
        """Whether the condition holds, at the latest when the time or the session is over."""
        with anyio.move_on_after(timeout_s):
            while not condition() and not self.is_over:
                await self._changed.wait()
        return condition()

    def _add(self, at_s: float, event: Event) -> None:
        match event:
            case Draft():
                self.is_speaking = True
            case Final():
                self.is_speaking = False
                self.finals.append((at_s, event))
            case ReplyStarted():
                self.replies_begun += 1
            case ReplyAudio(pcm=pcm, start=start):
                self.first_audio_s = at_s if self.first_audio_s is None else self.first_audio_s
                if start is None:  # what is sent again after a pause, by its place in the reply, was counted before
                    self.audio_bytes += len(pcm)
            case ReplyDone(mp3=mp3):
                self.mp3, self.replies_ended = mp3, self.replies_ended + 1
            case ReplyCancelled():
                self.replies_ended += 1
            case _:
                pass

    async def _play(self, event: Event, session: Session) -> None:
        """On the loudspeaker, if there is one; the server is told how much of an interrupted reply was heard."""
        if self.loudspeaker is None:
            return
        match event:
            case ReplyStarted():
                self.loudspeaker.begin()
            case ReplyAudio(pcm=pcm):
                self.loudspeaker.play(pcm)
            case ReplyCancelled(turn=turn) | ReplyInterrupted(turn=turn):
                await session.played(turn, self.loudspeaker.stop())
            case _:
                pass

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


async def _talk(
    source: AbstractAsyncContextManager[_Source],
    url: str,
    output: Path | None,
    settings: Configuration,
    key: str | None,
    timeout_s: float,
) -> bool:
    """Whether the server accepted the session and kept it to the end. Raises SessionError."""
    dialog = _Dialog(Console(highlight=False))
    try:
        async with (
            Session(url, key=key, timeout_s=timeout_s, **settings) as session,
            source as opened,
            anyio.create_task_group() as tasks,
        ):
            dialog.loudspeaker = opened.loudspeaker
            tasks.start_soon(dialog.read, session)
            await _send(session, dialog, opened.packets)
            if opened.is_live:
                await dialog.finish(replies=settings.get("reply", True), timeout_s=timeout_s)
            elif settings.get("reply", True):
                if not await dialog.wait_until(dialog.is_answered, timeout_s=timeout_s):
                    dialog.console.print("[red]no reply came[/red]" if dialog.finals else "[yellow]no words[/yellow]")
            else:
                await dialog.wait_until(dialog.is_transcribed, timeout_s=timeout_s)
            tasks.cancel_scope.cancel()
    except SessionRefused as error:
        if not error.code or error.code.startswith("http_"):
            raise
        print_event(dialog.console, -1.0, RequestFailed(error.code, str(error)))
        return False
    _write_reply(dialog, output)
    return not dialog.is_over


async def _send(session: Session, dialog: _Dialog, packets: AsyncIterable[bytes]) -> None:
    """All of it and the end of the turn, as long as the session is not over: the reading side says why it is."""
    dialog.started_at = anyio.current_time()
    try:
        async for packet in packets:
            await session.send(packet)
        await session.end()
    except SessionEnded:
        await dialog.wait_until(lambda: dialog.is_over, timeout_s=1.0)


def print_event(console: Console, at_s: float, event: Event) -> None:
    """One line for an event that came so long after the first audio was sent; none for what has no text."""
    stamp = f"[dim]{at_s:6.2f} s[/dim] " if at_s >= 0 else ""  # negative: before any audio
    for line in _lines(event):
        console.print(stamp, line, sep="", soft_wrap=True)


def _lines(event: Event) -> list[Text]:
    match event:
        case SessionResumed():
            return [Text("the connection was lost; the session goes on", style="yellow")]
        case Draft(text=text, stable=stable):
            line = Text(text, style="grey50")
            line.stylize("grey70", 0, len(stable))
            return [line]
        case Final():
            speaker = Text(f"{speaker_name(event.speaker)}: " if event.speaker else "", style="magenta")
            words = Text(event.text or "(no words)", style="bold")
            route = event.route.name if event.route else "draft"
            ttfs = "?" if event.ttfs_ms is None else event.ttfs_ms
            return [Text.assemble(speaker, words, (f"  {route}, {ttfs} ms after the end of speech", "dim"))]
        case SpeakerLabelled(utterance=utterance, speaker=who):
            return [Text(f"utterance {utterance} is of {speaker_name(who)}", style="magenta")]
        case ReplyStarted():
            return [Text("reply begins", style="cyan")]
        case ReplyDone(text=text):
            return [Text(text, style="cyan")]
        case ReplyCancelled(reason=reason) | ReplyInterrupted(reason=reason):
            return [Text(f"reply stopped: {reason}", style="yellow")]
        case ReplyDucked() | ReplyRestored() | ReplyPaused() | ReplyResumed():
            return [Text(_CHANGES[type(event)], style="dim")]
        case RequestFailed(code=code, message=message):
            hint = _KEY_HINT if code == ClientFault.UNAUTHORIZED else ""
            return [Text(f"{code}: {message}{hint}", style="red")]
        case _:
            return []


def _write_reply(dialog: _Dialog, output: Path | None) -> None:
    if (first := dialog.first_audio_s) is not None and dialog.replies_ended:
        ended = [final.end for at_s, final in dialog.finals if at_s <= first and final.end is not None]
        if ended:
            dialog.console.print(
                f"[dim]first sound of the reply {first - max(ended):.2f} s after the end of speech[/dim]"
            )
    if dialog.mp3:
        spoken_s = dialog.audio_bytes / BYTES_PER_SAMPLE / SAMPLE_RATE
        text = f"{spoken_s:.1f} s of reply audio"
        if output is not None:
            try:
                output.write_bytes(dialog.mp3)
            except OSError as error:
                raise click.ClickException(f"cannot write to {output}: {error.strerror}") from error
            text += f"; the last reply is in {output}"
        dialog.console.print(Text(text, style="dim"))
