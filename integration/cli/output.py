"""How commands print: colour for a terminal, whole lines elsewhere, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.text import Text

_WIDE = 1000  # what goes into a file or a pipe is never cut

json_option: Callable[..., Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for programs."
)


def console(width: int = _WIDE) -> Console:
    """Where everything for people goes. Colour only on a terminal, and not with NO_COLOR.

    As wide as the terminal, or as COLUMNS says; else `width`, where nothing is broken or moved.
    """
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(file=sys.stdout, highlight=False, emoji=False, width=None if known else width)


def print_json(content: object) -> None:
    """One JSON document."""
    click.echo(json.dumps(content, ensure_ascii=False, indent=2))


def plain(value: object) -> Text:
    """Text from outside: never read as markup, and without control characters that a terminal obeys."""
    return Text(printable(str(value)))


def printable(text: str) -> str:
    """The text with control characters, except line ends and tabs, shown as escapes."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1]
        for character in text
    )
