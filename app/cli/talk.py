"""`parley talk`: stream an audio file to a running server."""

import base64
import sys
from pathlib import Path
from typing import Any

import anyio
import click
from rich.console import Console
from rich.text import Text

from app.cli.server_address import url_option
from app.client import ReceivedMessage, StreamingClient, open_session
from app.domain.audio import BYTES_PER_SAMPLE, SAMPLE_RATE
from app.domain.errors import ClientFault
from app.domain.recording.subtitles import speaker_name
from app.domain.residency import Residency
from app.domain.turn_mode import TurnMode
from app.media.decode import decode

_KEY_HINT = " (give a key with --key, or in PARLEY_KEY)"
_CHANGES = {
    "replyDucked": "you speak over the reply: it is quieter",
    "replyRestored": "no interruption: the reply is as loud as before",
    "replyPaused": "the reply is paused",
    "replyResumed": "no interruption: the reply goes on",
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
    if not anyio.run(_talk, file, url, pace, output, settings, key, timeout_s):
        sys.exit(1)


def configuration(
    *, reply: bool, language: str | None = None, key_terms: str | None = None, no_archive: bool = False, **others: Any
) -> dict[str, Any]:
    """The fields of `configure`; what was not asked for is absent."""
    fields: dict[str, Any] = {"pauses": True} if reply else {"reply": False}
    if language is not None:
        fields["languages"] = _listed(language)
    if key_terms is not None:
        fields["keyTerms"] = _listed(key_terms)
    if no_archive:
        fields["archive"] = False
    return fields | {name: value for name, value in others.items() if value is not None}


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


async def _talk(
    file: Path, url: str, pace: float, output: Path, settings: dict[str, Any], key: str | None, timeout_s: float
) -> bool:
    """Whether the server accepted the session and kept it to the end."""
    pcm = b"".join(decode(file))
    console = Console(highlight=False)
    async with open_session(url, on_message=lambda r: _print(console, r), key=key, resume=True) as session:
        if not await session.wait_until(lambda t: bool(t.messages("session")), timeout_s=timeout_s):
            return False  # and what it said is printed
        await session.send_message(type="configure", **settings)
        await session.send_audio(pcm, pace=pace)
        await session.send_audio(bytes(int(TRAILING_SILENCE_S * SAMPLE_RATE) * BYTES_PER_SAMPLE), pace=pace)
        await session.send_message(type="end")
        if settings.get("reply", True):
            done = await session.wait_until(_answered, timeout_s=timeout_s)
            if not done:
                console.print(
                    "[red]no reply came[/red]" if session.messages("fullSentence") else "[yellow]no words[/yellow]"
                )
        else:
            await session.wait_until(lambda t: bool(t.messages("fullSentence")), timeout_s=timeout_s)
        _write_reply(console, session, output)
        if session.closed:
            console.print(f"[red]the server ended the session: {session.closed[0]} {session.closed[1]}[/red]")
            return False
        await session.socket.close()
    return True


def _answered(session: StreamingClient) -> bool:
    """Every reply that began has ended."""
    ended = len(session.messages("server_response")) + len(session.messages("replyCancelled"))
    return bool(ended) and ended >= len(session.messages("replyStart"))


def _print(console: Console, received: ReceivedMessage) -> None:
    message = received.message
    stamp = f"[dim]{received.at_s:6.2f} s[/dim] " if received.at_s >= 0 else ""  # negative: before any audio
    match message["type"]:
        case "session" if (message.get("resume") or {}).get("samples"):
            console.print(
                stamp, "[yellow]the connection was lost; the session goes on[/yellow]", sep="", soft_wrap=True
            )
        case "realtime":
            line = Text(message["text"], style="grey50")
            line.stylize("grey70", 0, len(message["stable"]))
            console.print(stamp, line, sep="", soft_wrap=True)
        case "fullSentence":
            route = (message.get("route") or {}).get("name", "draft")
            timing = f"  [dim]{route}, {message.get('ttfsMs', '?')} ms after the end of speech[/dim]"
            speaker = f"[magenta]{speaker_name(message['speaker'])}:[/magenta] " if message.get("speaker") else ""
            words = Text(message["text"] or "(no words)", style="bold")
            console.print(stamp, speaker, words, timing, sep="", soft_wrap=True)
        case "speaker":
            late = f"[magenta]utterance {message['utterance']} is of {speaker_name(message['speaker'])}[/magenta]"
            console.print(stamp, late, sep="", soft_wrap=True)
        case "replyStart":
            console.print(stamp, "[cyan]reply begins[/cyan]", sep="", soft_wrap=True)
        case "server_response":
            console.print(stamp, Text(message["message"], style="cyan"), sep="", soft_wrap=True)
        case "replyCancelled" | "replyInterrupted":
            console.print(stamp, f"[yellow]reply stopped: {message['reason']}[/yellow]", sep="", soft_wrap=True)
        case "replyDucked" | "replyRestored" | "replyPaused" | "replyResumed" as change:
            console.print(stamp, f"[dim]{_CHANGES[change]}[/dim]", sep="", soft_wrap=True)
        case "error":
            hint = _KEY_HINT if message["code"] == ClientFault.UNAUTHORIZED else ""
            sentence = Text(f"{message['code']}: {message['message']}{hint}", style="red")
            console.print(stamp, sentence, sep="", soft_wrap=True)
        case _:
            pass


def _write_reply(console: Console, session: StreamingClient, output: Path) -> None:
    replies = session.messages("server_response")
    if not replies:
        return
    # what is sent again after a pause, by its place in the reply, was counted before
    new = (r for r in session.messages("replyAudio") if r.message.get("start") is None)
    spoken = sum(len(r.pcm) for r in new) / BYTES_PER_SAMPLE / SAMPLE_RATE
    first = next((r.at_s for r in session.messages("replyAudio")), None)
    finals = session.messages("fullSentence")
    if first is not None and finals:
        ended = max(f.message["end"] for f in finals if f.at_s <= first)
        console.print(f"[dim]first sound of the reply {first - ended:.2f} s after the end of speech[/dim]")
    if sound := base64.b64decode(replies[-1].message["audio"]):
        output.write_bytes(sound)
        console.print(f"[dim]{spoken:.1f} s of reply audio; the last reply is in {output}[/dim]")
