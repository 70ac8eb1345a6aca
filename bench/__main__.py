"""`python -m bench`: measure latency, accuracy and load of a server with recorded speech."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import click
from rich.console import Console

from app.domain.errors import ParleyError, flatten
from bench.adapters import run as measure_adapters
from bench.avx2_only import HIDDEN, run_with_avx2_only
from bench.endpoints import GRID, parsed, sweep
from bench.failover import fail_over
from bench.protocols import PROTOCOLS
from bench.voice_bench import Plan, run

RESULTS = Path(__file__).parent / "results"


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def bench(context: click.Context) -> None:
    """Measure latency and load. Without a command: `voice`."""
    if context.invoked_subcommand is None:
        context.invoke(voice)


@bench.command(context_settings={"max_content_width": 110})
@click.option(
    "--sessions", type=click.IntRange(1), multiple=True, default=(1, 4), show_default=True, help="Concurrent sessions."
)
@click.option("--clips", type=click.IntRange(0), default=12, show_default=True, help="Clips per speaker; 0: all.")
@click.option("--rounds", type=click.IntRange(1), default=1, show_default=True, help="Times each speaker plays them.")
@click.option("--no-reply", is_flag=True, help="Transcribe only.")
@click.option("--long", "long_clips", is_flag=True, help="Also the clips of several minutes.")
@click.option("--speech", type=click.Path(path_type=Path), help="The corpus (PARLEY_SPEECH_DIR, ../shared/speech).")
@click.option(
    "--protocol",
    type=click.Choice(list(PROTOCOLS)),
    default="parley",
    show_default=True,
    help="Protocol of the server.",
)
@click.option("--url", help="URL of a running server; without it one is started.")
@click.option("--pid", type=int, help="Process id of that server, to measure its CPU and memory.")
@click.option("--name", help="Name of the server in the results.")
@click.option("--one-shot", help="Model of the one-shot reference; default: the server's own.")
@click.option("--no-one-shot", is_flag=True, help="Skip the one-shot reference.")
@click.option("--avx2", is_flag=True, help="Hide AVX-512, VNNI and AMX from the server (Linux, x86-64, needs cc).")
@click.option("--markdown", "as_markdown", is_flag=True, help="Also print rows for a Markdown table.")
def voice(speech: Path | None, url: str | None, avx2: bool, **options: Any) -> None:
    """Stream clips to a server in real time, with one and with several concurrent sessions."""
    if avx2:
        _hide_extensions()
    if options["protocol"] != "parley" and not url:
        raise click.UsageError("start the other server first and name its address with --url")
    folder = speech or _corpus()
    name = options.pop("name") or options["protocol"]
    results = RESULTS / f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}-{name}.json"
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)  # a file has no width of its own
    anyio.run(run, Plan(speech=folder, url=url, name=name, results=results, **options), console)


@bench.command()
@click.option("--rounds", type=click.IntRange(2), default=100, show_default=True, help="Of two seconds each.")
def adapters(rounds: int) -> None:
    """What the adapter of each protocol costs over Parley's own socket."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    anyio.run(measure_adapters, rounds, console)


@bench.command()
@click.option("--speakers", type=click.IntRange(1), default=2, show_default=True, help="Concurrent sessions.")
@click.option("--seconds", type=click.IntRange(10), default=45, show_default=True, help="Of each of the three phases.")
@click.option("--model", default="whisper-tiny.en", show_default=True, help="Model of the workers.")
@click.option("--speech", type=click.Path(path_type=Path), help="The corpus (PARLEY_SPEECH_DIR, ../shared/speech).")
def policy(speakers: int, seconds: int, model: str, speech: Path | None) -> None:
    """Failover: a gateway and two workers, each a process; the preferred worker is killed and restarted."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    anyio.run(fail_over, speech or _corpus(), speakers, seconds, model, console)


@bench.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--clips", type=click.IntRange(0), default=12, show_default=True, help="How many; 0: all.")
@click.option("--avx2", is_flag=True, help="Hide AVX-512, VNNI and AMX from the libraries (Linux, x86-64, needs cc).")
@click.option("--speech", type=click.Path(path_type=Path), help="The corpus (PARLEY_SPEECH_DIR, ../shared/speech).")
def engine(models: tuple[Path, ...], clips: int, avx2: bool, speech: Path | None) -> None:
    """One row per encoder path of the models in these folders, and one of faster-whisper: CPU time and WER."""
    # Imported here because it loads every inference library, which the other commands do not need.
    from bench.paths import measure  # noqa: PLC0415

    if avx2:
        _hide_extensions()
    measure(models, speech or _corpus(), clips, Console(highlight=False, width=120))


@bench.command()
@click.option("--clips", type=click.IntRange(0), default=0, show_default=True, help="How many; 0: all.")
@click.option("--speech", type=click.Path(path_type=Path), help="The corpus (PARLEY_SPEECH_DIR, ../shared/speech).")
@click.option(
    "--waits",
    multiple=True,
    help="Silence in ms after a sentence/otherwise/after 'and': 360/500/800; one more in front: at end of turn; "
    "+ behind: by the speaker.",
)
@click.option("--long", "with_long", is_flag=True, help="Also the clips of several minutes.")
@click.option("--speaker", "speakers", multiple=True, help="Only speakers whose name begins so.")
def endpoints(
    clips: int, speech: Path | None, waits: tuple[str, ...], *, with_long: bool, speakers: tuple[str, ...]
) -> None:
    """Endpointing: WER against endpointing delay for several silence lengths."""
    grid = parsed(waits) or GRID
    console = Console(highlight=False, width=160)
    anyio.run(lambda: sweep(speech or _corpus(), clips, grid, console, with_long=with_long, speakers=speakers))


@bench.command()
@click.option("--clips", type=click.IntRange(0), default=0, show_default=True, help="How many; 0: all.")
@click.option("--long/--no-long", "with_long", default=True, show_default=True, help="Also the clips of minutes.")
@click.option("--drafts/--no-drafts", "with_drafts", default=True, show_default=True, help="Sessions with drafts.")
@click.option("--name", default="parley", show_default=True, help="Name of the engines in the results.")
@click.option("--speech", type=click.Path(path_type=Path), help="The corpus (PARLEY_SPEECH_DIR, ../shared/speech).")
def accuracy(clips: int, name: str, speech: Path | None, *, with_long: bool, with_drafts: bool) -> None:
    """WER of live sessions in virtual time with the engines of the settings, beside WER of whole clips."""
    # Imported here because it loads the whole service, which the other commands do not need.
    from bench.accuracy import measure_accuracy  # noqa: PLC0415

    results = RESULTS / f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}-accuracy-{name}.json"
    console = Console(highlight=False, width=120, stderr=True)
    anyio.run(
        lambda: measure_accuracy(
            speech or _corpus(), clips, results, console, name=name, with_drafts=with_drafts, with_long=with_long
        )
    )


def _hide_extensions() -> None:
    """Go on in a process to which AVX-512, VNNI and AMX are hidden, unless this is it."""
    if HIDDEN not in os.environ:
        sys.exit(run_with_avx2_only([sys.executable, "-m", "bench", *sys.argv[1:]]))


@bench.command()
@click.option("--half", type=click.Choice(["report", "choose"]), default="report", show_default=True)
@click.option("--step", type=click.IntRange(1), default=1, show_default=True, help="Every so many of the sounds.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of moments, rooms and levels of echo.")
@click.option("--speech", type=click.Path(path_type=Path), help="The corpus (PARLEY_SPEECH_DIR, ../shared/speech).")
@click.option(
    "--prompts", type=click.Path(path_type=Path), help="Recorded prompts (Debian's asterisk-core-sounds-*-g722)."
)
def interruptions(half: str, step: int, seed: int, speech: Path | None, prompts: Path | None) -> None:
    """Speech, backchannels, coughs, noise and echo over replies: what stops them, and how soon.

    Thresholds are chosen with one half of the material (`choose`), and the other half is reported.
    """
    # Imported here because it loads every detector, which the other commands do not need.
    from bench.interruptions import measure as measure_interruptions  # noqa: PLC0415

    corpus = speech or _corpus()
    anyio.run(measure_interruptions, corpus, half, step, seed, Console(highlight=False, width=140), prompts)


def _corpus() -> Path:
    return Path(os.environ.get("PARLEY_SPEECH_DIR", "../shared/speech"))


def main() -> None:
    """Run the command; an error is one sentence, not a traceback."""
    try:
        bench()
    except* ParleyError as errors:
        for error in flatten(errors):
            click.secho(f"bench: {error}", fg="red", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
