"""How commands print: tables and colour for a terminal, whole lines elsewhere, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from integration.core.values import MICROS_PER_SECOND, Micros

_WIDE = 1000  # what goes into a file or a pipe is never cut
_PREFERRED_IDENTIFIERS = ("guid", "contact_id", "email")
_STATE_STYLES = {
    "translated": "green",
    "received": "cyan",
    "fetching": "cyan",
    "ignored": "dim",
    "dead": "bold red",
    "rejected": "yellow",
}

json_option: Callable[..., Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for programs."
)


def console(width: int = _WIDE) -> Console:
    """Where tables go. Colour only on a terminal (and not with NO_COLOR); `width` counts elsewhere."""
    terminal = sys.stdout.isatty()
    return Console(file=sys.stdout, highlight=False, emoji=False, width=None if terminal else width)


def print_json(content: object) -> None:
    """One JSON document."""
    click.echo(json.dumps(content, ensure_ascii=False, indent=2))


def new_table(*headings: str) -> Table:
    """A table in the house's form."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def plain(value: object) -> Text:
    """Text from outside: never read as markup, and without control characters that a terminal obeys."""
    return Text(printable(str(value)))


def printable(text: str) -> str:
    """The text with control characters, except line ends and tabs, shown as escapes."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1]
        for character in text
    )


def state_text(state: str) -> Text:
    """A state in its colour."""
    return Text(state, style=_STATE_STYLES.get(state, ""))


def shown_time(micros: Micros | None) -> str:
    """`2026-11-23 15:49:41`, in UTC; "-" where there is none."""
    return "-" if micros is None else _moment(micros).strftime("%Y-%m-%d %H:%M:%S")


def json_time(micros: Micros | None) -> str | None:
    """`2026-11-23T15:49:41.123456Z`."""
    return None if micros is None else _moment(micros).isoformat().replace("+00:00", "Z")


def shown_lead(identifiers: Mapping[str, str]) -> str:
    """The identifier that tells a person most: the lead's guid, id, email, or the first of the others."""
    for kind in _PREFERRED_IDENTIFIERS:
        if kind in identifiers:
            return identifiers[kind]
    return next((f"{kind} {value}" for kind, value in identifiers.items()), "-")


def counted(number: int, one: str, several: str | None = None) -> str:
    """`1 problem`, `2 problems`."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def shown_value(value: object) -> str:
    """A field's value as it stands in the JSON body: `"paid"`, `10.99`, `true`, `null`."""
    return json.dumps(value, ensure_ascii=False)


def _moment(micros: Micros) -> datetime:
    return datetime.fromtimestamp(micros / MICROS_PER_SECOND, UTC)
