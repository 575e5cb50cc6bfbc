"""Options that listings share: which page, which time, which lead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from sqlalchemy import Connection

from integration.cli.moments import moment
from integration.store.views.lead_views import find_lead_id

_TIME = "2026-11-23, 2026-11-23T15:00 (UTC), or 30m, 2h, 3d ago"
_Command = Callable[..., Any]


def page_options(command: _Command) -> _Command:
    """`--limit` and `--before`."""
    limit = click.option(
        "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many."
    )
    before = click.option("--before", metavar="ID", help="Only those older than this id: the next page.")
    return limit(before(command))


def time_options(command: _Command) -> _Command:
    """`--since` and `--until`, as times."""
    since = click.option(
        "--since", metavar="TIME", type=moment, help=f"Only what arrived then or later: {_TIME}."
    )
    until = click.option(
        "--until", metavar="TIME", type=moment, help="Only what arrived before then; as --since."
    )
    return since(until(command))


def found_lead(connection: Connection, account: str, known_by: str) -> str:
    """The id of the lead that is known by this. Raises click.BadParameter."""
    id = find_lead_id(connection, account, known_by)
    if id is None:
        raise click.BadParameter(f"there is no lead {known_by!r}; `leadwire leads` lists them")
    return id
