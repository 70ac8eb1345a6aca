"""A group of commands whose help says in whole what each one does: click cuts the sentence off."""

import click

_WHOLE = 1000
"""More characters than the first sentence of any command has."""


class CommandGroup(click.Group):
    """Lists its commands with the first sentence of each one's help, over several lines where it is long."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(_WHOLE)) for name, command in commands if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
