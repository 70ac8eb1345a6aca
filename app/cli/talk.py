"""`parley talk`: stream an audio file to a running server."""

import sys
from collections.abc import Callable
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
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@url_option(scheme="ws", path="/ws/transcribe", purpose="Address of the server's WebSocket.")
@click.option("--pace", type=float, default=1.0, show_default=True, help="Multiple of real time; 0 sends at once.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="File for the reply's MP3.")
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
    file: Path,
    url: str,
    pace: float,
    output: Path | None,
    no_reply: bool,
    key: str | None,
    timeout_s: float,
    **wishes: Any,
) -> None:
    """Stream FILE in real time, and print drafts, finals, the reply and timings."""
    output = output or Path(f"{file.stem}-reply.mp3")
    settings = configuration(reply=not no_reply, **wishes)
    try:
        is_kept = anyio.run(_talk, file, url, pace, output, settings, key, timeout_s)
    except SessionError as error:
        raise ParleyError(str(error)) from error
    if not is_kept:
        sys.exit(1)


def configuration(
    *, reply: bool, language: str | None = None, key_terms: str | None = None, no_archive: bool = False, **others: Any
) -> Configuration:
    """What the session is asked for; what was not asked for is absent."""
    fields: dict[str, Any] = {"pauses": True} if reply else {"reply": False}
    if language is not None:
        fields["languages"] = _listed(language)
    if key_terms is not None:
        fields["key_terms"] = _listed(key_terms)
    if no_archive:
        fields["archive"] = False
    return cast("Configuration", fields | {name: value for name, value in others.items() if value is not None})


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@dataclass
class _Dialog:
    """What the server has said so far."""

    console: Console
    started_at: float = 0.0
    """When the first audio was sent, on the event loop's clock; 0 before it."""
    is_over: bool = False
    finals: list[tuple[float, Final]] = field(default_factory=list)
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

    async def read(self, session: Session) -> None:
        try:
            async for event in session:
                at_s = anyio.current_time() - self.started_at if self.started_at else -1.0
                self._add(at_s, event)
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
            case Final():
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

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


async def _talk(
    file: Path, url: str, pace: float, output: Path, settings: Configuration, key: str | None, timeout_s: float
) -> bool:
    """Whether the server accepted the session and kept it to the end. Raises SessionError."""
    pcm = b"".join(decode(file)) + bytes(int(TRAILING_SILENCE_S * SAMPLE_RATE) * BYTES_PER_SAMPLE)
    dialog = _Dialog(Console(highlight=False))
    try:
        async with (
            Session(url, key=key, timeout_s=timeout_s, **settings) as session,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(dialog.read, session)
            await _send(session, dialog, pcm, pace)
            if settings.get("reply", True):
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


async def _send(session: Session, dialog: _Dialog, pcm: bytes, pace: float) -> None:
    """All of it and the end of the turn, as long as the session is not over: the reading side says why it is."""
    dialog.started_at = anyio.current_time()
    try:
        async for packet in paced(pcm, SAMPLE_RATE, pace):
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


def _write_reply(dialog: _Dialog, output: Path) -> None:
    if (first := dialog.first_audio_s) is not None and dialog.replies_ended:
        ended = [final.end for at_s, final in dialog.finals if at_s <= first and final.end is not None]
        if ended:
            dialog.console.print(
                f"[dim]first sound of the reply {first - max(ended):.2f} s after the end of speech[/dim]"
            )
    if dialog.mp3:
        output.write_bytes(dialog.mp3)
        spoken_s = dialog.audio_bytes / BYTES_PER_SAMPLE / SAMPLE_RATE
        dialog.console.print(f"[dim]{spoken_s:.1f} s of reply audio; the last reply is in {output}[/dim]")
