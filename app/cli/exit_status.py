"""Runs a command: what it raises becomes one sentence on standard error, and an exit status."""

import errno
import os
import sys
from collections.abc import Sequence

import click

from app.domain.errors import ParleyError, flatten

FAILED, INTERRUPTED = 1, 130
"""The latter is what a shell reports of a program that SIGINT has ended."""


def run(command: click.Command, arguments: Sequence[str] | None = None) -> int:
    """The exit status of the command with these arguments; without any, with those of this process."""
    try:
        result = command.main(arguments, standalone_mode=False)
        sys.stdout.flush()  # now, because at the interpreter's exit nothing could be said about it any more
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED
    except (click.Abort, KeyboardInterrupt):
        fail("interrupted")
        return INTERRUPTED
    except click.UsageError as error:
        return _explain_usage(error)
    except click.ClickException as error:
        fail(error.format_message())
        return error.exit_code
    except (ParleyError, OSError, BaseExceptionGroup) as raised:
        return _status_of(raised)
    return result if isinstance(result, int) else 0


def fail(sentence: str) -> None:
    """Print this on standard error, as every error of a command is printed."""
    click.secho(f"parley: {sentence}", fg="red", err=True)


def _status_of(raised: BaseException) -> int:
    causes = flatten(raised)
    if any(isinstance(cause, OSError) and cause.errno == errno.EPIPE for cause in causes):
        _discard_output()
        return FAILED
    expected = [cause for cause in causes if isinstance(cause, ParleyError)]
    if len(expected) < len(causes):
        raise raised
    for sentence in dict.fromkeys(map(str, expected)):
        fail(sentence)
    return FAILED


def _discard_output() -> None:
    """Nobody reads it any more: what is still buffered goes nowhere, so that nothing fails again at the exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _explain_usage(error: click.UsageError) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"Try '{error.ctx.command_path} --help' for help.\n", err=True)
    fail(error.format_message())
    return error.exit_code
