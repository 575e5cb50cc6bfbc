"""How long work tells how far it is: a bar on a terminal, a plain line every few seconds elsewhere.

On standard error, so that standard output holds the result only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from integration.core.clock import elapsed

SECONDS_BETWEEN_LINES = 5.0

Report = Callable[[int, str], None]


@contextmanager
def progress(what: str, total: int) -> Iterator[Report]:
    """Within the block, call what it gives with how much of `total` is done, and what came of it so far."""
    if not sys.stderr.isatty():
        yield _lines(what, total)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, note="")
        yield lambda done, note: bar.update(task, completed=done, note=note)


def _lines(what: str, total: int) -> Report:
    last = elapsed()

    def report(done: int, note: str) -> None:
        nonlocal last
        if elapsed() - last >= SECONDS_BETWEEN_LINES:
            last = elapsed()
            click.echo(f"{what}: {done:,} of {total:,}" + (f"; {note}" if note else ""), err=True)

    return report
