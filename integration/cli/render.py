"""Drawing views on a terminal: tables that fit its width, pages, and listings with a next page.

A table that is wider than the terminal loses its least columns, then sets others below their rows. No
word and no command is ever broken, so an id can be copied from any width.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from integration.cli.output import console, plain, print_json, printable
from integration.core.clock import now
from integration.core.values import Micros
from integration.core.words import when
from integration.store.views.columns import Column, Facts, Fit, Kind, Page, Row, Rows, View

_GAP = 2
_INDENT = 2
_BETWEEN = "   "
_WORD = re.compile(r"(?:`[^`]{1,60}`|\S)+\s*")  # a command in backticks is one: it is there to be copied
_STATE_STYLES = {
    "translated": "green",
    "clean": "green",
    "enabled": "green",
    "received": "cyan",
    "fetching": "cyan",
    "due": "cyan",
    "leased": "cyan",
    "ignored": "dim",
    "set": "dim",
    "dead": "bold red",
}


def print_listing(
    view: View[Row], rows: Sequence[Row], limit: int, *, as_json: bool, none: str | None = None
) -> None:
    """A page of up to `limit` rows, and how to get the next one."""
    more = view.next_after(rows, limit)
    if as_json:
        print_json({view.name: [view.as_json(row) for row in rows], "next": more})
    elif rows:
        out = console()
        print_table(out, view, rows)
        print_more(out, more)
    else:
        click.echo(none or f"There are no such {view.name}.")


def print_more(out: Console, more: str | None) -> None:
    """How to get the next page, where there is one."""
    if more:
        out.print(plain(f"For the next page, add --before {more}"), style="dim", soft_wrap=True)


def print_page(page: Page, *, as_json: bool) -> None:
    """One thing whole."""
    if as_json:
        print_json(page.content)
        return
    out = console()
    for section in page.sections:
        print_heading(out, section.heading)
        if isinstance(section, Facts):
            print_facts(out, section.view, section.row)
        elif isinstance(section, Rows):
            _print_rows(out, section)
        else:
            out.print(plain(section.text), soft_wrap=True)


def _print_rows(out: Console, section: Rows[Any]) -> None:
    if section.rows:
        print_table(out, section.view, section.rows)
    else:
        out.print(plain(section.none))


def print_heading(out: Console, text: str) -> None:
    """An empty line and a heading."""
    out.print()
    out.print(plain(text), style="bold", soft_wrap=True)


def print_text(out: Console, text: str) -> None:
    """A paragraph."""
    for line in _wrapped(plain(text), out.width):
        out.print(line, soft_wrap=True)


def print_facts(out: Console, view: View[Row], row: Row) -> None:
    """A row with a line for each column that has something to say, names in a column."""
    at = now()
    facts = [(column, text) for column in view.shown if (text := _fact(column, row, at))]
    margin = max((cell_len(column.heading) for column, _ in facts), default=0) + _GAP
    for column, text in facts:
        parts = _wrapped(Text(text, style=_style(column, text)), out.width - margin)
        names = [printable(column.heading), *("" for _ in parts[1:])]
        for name, part in zip(names, parts, strict=True):
            out.print(Text(_padded(name, margin)) + part, soft_wrap=True)


def print_table(out: Console, view: View[Row], rows: Sequence[Row], *, indent: int = 0) -> None:
    """Rows as a table."""
    at, columns = now(), view.shown
    cells = [[_one_line(column.cell(row, at)) for column in columns] for row in rows]
    layout = _layout(columns, cells, out.width - indent)
    lines = [*_head(layout), *(line for row in cells for line in _lines(layout, row))]
    for line in lines:
        out.print(Text(" " * indent) + line, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns stand in a row, each as wide as its widest cell, and which below it; by number.

    The first one takes half the room at most: what is longer stands in a line of its own.
    """

    columns: Sequence[Column[Any]]
    widths: Sequence[int]
    inside: Sequence[int]
    below: Sequence[int]
    room: int


def _layout(columns: Sequence[Column[Any]], cells: Sequence[Sequence[str]], room: int) -> _Layout:
    texts = [[row[index] for row in cells] for index in range(len(columns))]
    widths = [
        max(map(cell_len, (column.heading, *found))) for column, found in zip(columns, texts, strict=True)
    ]
    inside = [index for index, found in enumerate(texts) if any(found)]
    first = _sacrifices(columns, inside)[-1]
    fitting = (width for width in map(cell_len, texts[first]) if width <= room // 2)
    widths[first] = max(cell_len(columns[first].heading), *fitting, 0)
    below: list[int] = []
    for index in _sacrifices(columns, inside)[:-1]:
        if _width(inside, widths) <= room:
            break
        inside.remove(index)
        if columns[index].fit is not Fit.HIDE:
            below.append(index)
    return _Layout(columns, widths, inside, sorted(below), room)


def _sacrifices(columns: Sequence[Column[Any]], inside: Sequence[int]) -> list[int]:
    """What leaves a row that is too wide, one after the other; the last one is what the row is known by."""
    order = (Fit.HIDE, Fit.BELOW, Fit.ROW)
    return [index for fit in order for index in reversed(inside) if columns[index].fit is fit]


def _width(inside: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[index] + _GAP for index in inside) - _GAP


def _head(layout: _Layout) -> Iterator[Text]:
    headings = [_padded(layout.columns[index].heading, layout.widths[index]) for index in layout.inside]
    yield Text((" " * _GAP).join(headings).rstrip(), style="bold")
    yield Text("─" * min(_width(layout.inside, layout.widths), layout.room))


def _lines(layout: _Layout, row: Sequence[str]) -> Iterator[Text]:
    """A row, and what stands below it."""
    long = [index for index in layout.inside if cell_len(row[index]) > layout.widths[index]]
    yield from (Text(row[index]) for index in long)
    line = Text(" " * _GAP).join(
        Text(
            _padded("" if index in long else row[index] or "-", layout.widths[index]),
            _style(layout.columns[index], row[index]),
        )
        for index in layout.inside
    )
    line.rstrip()
    if line:
        yield line
    yield from _below(layout, row)


def _below(layout: _Layout, row: Sequence[str]) -> Iterator[Text]:
    """The rest of a row, each with its heading; as many of them in a line as fit."""
    packed: list[Text] = []
    for column, text in ((layout.columns[index], row[index]) for index in layout.below):
        piece = Text.assemble((f"{column.heading}:", "dim"), " ", (text, _style(column, text)))
        if not text:
            continue
        if packed and packed[-1].cell_len + len(_BETWEEN) + piece.cell_len <= layout.room - 2 * _INDENT:
            packed[-1] = Text.assemble(packed[-1], _BETWEEN, piece)
        else:
            packed.append(piece)
    for line in packed:
        first, *rest = _wrapped(line, layout.room - 2 * _INDENT)
        yield Text(" " * _INDENT) + first
        yield from (Text(" " * 2 * _INDENT) + part for part in rest)


def _wrapped(text: Text, width: int) -> list[Text]:
    """The text in lines of this width, broken between words only."""
    breaks, used = [], 0
    for word in _WORD.finditer(text.plain):
        if used and used + cell_len(word[0].rstrip()) > width:
            breaks.append(word.start())
            used = 0
        used += cell_len(word[0])
    lines = list(text.divide(breaks))
    for line in lines:
        line.rstrip()
    return lines


def _fact(column: Column[Row], row: Row, at: Micros) -> str:
    """A cell where there is room: a time also exactly."""
    value = column.read(row) if column.kind is Kind.TIME else None
    return _one_line(column.cell(row, at) if value is None else when(value, at))


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _style(column: Column[Any], text: str) -> str:
    return _STATE_STYLES.get(text.partition(" ")[0].rstrip(";"), "") if column.kind is Kind.STATE else ""
