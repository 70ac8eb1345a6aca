"""The `parley` command: one file for each subcommand; `main` is the entry point."""

import sys
from importlib import import_module

import click

from app.cli.command_group import CommandGroup
from app.cli.exit_status import run
from app.cli.log import set_up_log
from app.runtime.malloc_arenas import limit_malloc_arenas

COMMANDS = {
    "serve": "Start the server, and print what runs in it.",
    "talk": "Stream a file or the microphone to a server; print drafts, finals and the reply.",
    "transcribe": "Transcribe files of any audio format.",
    "retranscribe": "Transcribe archived recordings again, with another model.",
    "archive": "Check the recordings in the archive, re-encrypt them.",
    "worker": "Offer the speech model to other servers over HTTP.",
    "policy": "Explain, summarise, replay and simulate the routing policy.",
    "recordings": "List, search and delete recordings; make their index anew.",
    "keys": "Make, list and revoke API keys.",
    "sessions": "List and end the running sessions of a server, and drain it.",
    "jobs": "List, show, watch and cancel the transcription jobs of uploaded files.",
    "tenants": "API keys of the tenants file.",
    "models": "See, fetch and check the models that run on this machine.",
    "audit": "Print the audit log: who did what.",
    "export": "Write all that is kept of a recording, a person or a tenant into a file.",
    "db": "Check, upgrade and downgrade the schema of the database.",
    "requirements": "Print what a configuration needs, as JSON: models, extras, variables, ports, scopes.",
    "doctor": "Check models, files, database, engines and the archive.",
    "mcp": "Offer a server's recordings, conversations and engines to an agent (Model Context Protocol).",
    "bundle": "Write what a Jetson needs to become a voice box.",
}
"""Each subcommand, `app.cli.NAME:NAME`, and what it does."""


class Subcommands(CommandGroup):
    """Imports a subcommand when it is used: the engines and the server take seconds to import."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 because click calls it so
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 because click calls it so
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"app.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


@click.group(cls=Subcommands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="parley-voice")
def parley() -> None:
    """Real-time voice: drafts while you speak, a final the moment you pause, a spoken reply.

    Every setting is an environment variable, or a line in `.env`; `.env.example` explains them all.
    """


def main() -> None:
    """Run the command: results on standard output, logs and errors, as one sentence, on standard error."""
    set_up_log("warning")
    limit_malloc_arenas()
    sys.exit(run(parley))
