"""The main group: commands in sections, each module imported only when one of its commands is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from integration.core.errors import LeadwireError

Sections = Mapping[str, Mapping[str, str]]


class LazyGroup(click.Group):
    """A group whose commands are named as `module:attribute` and imported on use.

    `leadwire check` in an editor's save hook must not pay for gunicorn, Flask and the database driver.
    `sections` maps a heading of the help page to its commands. Deliberate errors end every command the
    same way: one line each on standard error, exit code 1.
    """

    def __init__(self, *args: Any, sections: Sections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections
        self._places = {name: place for commands in sections.values() for name, place in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click passes it
        """See `click.Group.list_commands`."""
        return [*self._places]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click passes it
        """See `click.Group.get_command`."""
        place = self._places.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See `click.Group.format_commands`."""
        width = max(len(name) for name in self._places)
        for heading, commands in self._sections.items():
            rows = [(name.ljust(width), _short_help(self.get_command(ctx, name))) for name in commands]
            with formatter.section(heading):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """See `click.Group.invoke`."""
        try:
            return super().invoke(ctx)
        except LeadwireError as error:
            raise FailureError(str(error)) from error


class FailureError(click.ClickException):
    """Ends the program with `leadwire: ...` on standard error and exit code 1."""

    exit_code = 1

    def show(self, file: Any = None) -> None:
        """See `click.ClickException.show`."""
        for line in self.message.splitlines():
            click.echo(f"leadwire: {line}", file=file, err=file is None)


def _short_help(command: click.Command | None) -> str:
    return command.get_short_help_str(limit=80) if command else ""
