"""`python -m bench`: measure a server with recorded people."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import click
from rich.console import Console

from app.domain.errors import ParleyError
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
@click.option("--sessions", type=click.IntRange(1), multiple=True, default=(1, 4), show_default=True, help="At once.")
@click.option("--clips", type=click.IntRange(0), default=12, show_default=True, help="Clips a person says; 0: all.")
@click.option("--rounds", type=click.IntRange(1), default=1, show_default=True, help="Times each person says them.")
@click.option("--no-reply", is_flag=True, help="Transcribe only.")
@click.option("--long", "long_clips", is_flag=True, help="Also the clips of several minutes.")
@click.option("--speech", type=click.Path(path_type=Path), help="The corpus (PARLEY_SPEECH_DIR, ../shared/speech).")
@click.option(
    "--protocol", type=click.Choice(list(PROTOCOLS)), default="parley", show_default=True, help="Spoken there."
)
@click.option("--url", help="A server that runs already; without it one is started.")
@click.option("--pid", type=int, help="Its process, whose CPU and memory are to be watched.")
@click.option("--name", help="What the server is called in the results.")
@click.option("--one-shot", help="Model of the one-shot yardstick; without it the server's own.")
@click.option("--no-one-shot", is_flag=True, help="Leave the yardstick out.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Also print rows for a Markdown table.")
def voice(speech: Path | None, url: str | None, **options: Any) -> None:
    """People speak to a server at the speed of speech, one alone and several at once."""
    if options["protocol"] != "parley" and not url:
        raise click.UsageError("start the other server yourself, and say where it is with --url")
    folder = speech or _corpus()
    name = options.pop("name") or options["protocol"]
    results = RESULTS / f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}-{name}.json"
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)  # a file has no width of its own
    anyio.run(run, Plan(speech=folder, url=url, name=name, results=results, **options), console)


@bench.command()
@click.option("--speakers", type=click.IntRange(1), default=2, show_default=True, help="At once.")
@click.option("--seconds", type=click.IntRange(10), default=45, show_default=True, help="Of each of the three parts.")
@click.option("--model", default="whisper-tiny.en", show_default=True, help="What the workers run.")
@click.option("--speech", type=click.Path(path_type=Path), help="The corpus (PARLEY_SPEECH_DIR, ../shared/speech).")
def policy(speakers: int, seconds: int, model: str, speech: Path | None) -> None:
    """A gateway and two workers, each a process; the preferred worker is killed, and later started again."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    anyio.run(fail_over, speech or _corpus(), speakers, seconds, model, console)


@bench.command()
@click.option("--clips", type=click.IntRange(0), default=0, show_default=True, help="How many; 0: all.")
@click.option("--speech", type=click.Path(path_type=Path), help="The corpus (PARLEY_SPEECH_DIR, ../shared/speech).")
@click.option(
    "--waits",
    multiple=True,
    help="Milliseconds behind a sentence/else/behind 'and': 360/500/800; one more in front: who sounds done.",
)
def endpoints(clips: int, speech: Path | None, waits: tuple[str, ...]) -> None:
    """What waiting longer for an endpoint costs in time, and saves in words."""
    grid = parsed(waits) or GRID
    anyio.run(sweep, speech or _corpus(), clips, grid, Console(highlight=False, width=120))


def _corpus() -> Path:
    return Path(os.environ.get("PARLEY_SPEECH_DIR", "../shared/speech"))


def main() -> None:
    """Run the command; what went wrong is one sentence, not a traceback."""
    try:
        bench()
    except* ParleyError as errors:
        for error in _leaves(errors):
            click.secho(f"bench: {error}", fg="red", err=True)
        sys.exit(1)


def _leaves(errors: BaseExceptionGroup[Any]) -> list[BaseException]:
    return [
        leaf
        for each in errors.exceptions
        for leaf in (_leaves(each) if isinstance(each, BaseExceptionGroup) else [each])
    ]


if __name__ == "__main__":
    main()
