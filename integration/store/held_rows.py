"""Requests that are held: accepted and stored whole, to be taken apart once their mapping is good.

They have no events yet, so they are no part of what waits for translation. All queries go down the partial
index `requests_held`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, literal_column, select, update

from integration.core.values import Micros, RawRequest
from integration.store.inbox import REQUEST_COLUMNS, Arrival, add_events, raw_request
from integration.store.tables import requests

_HELD = requests.c.held == literal_column("1")  # as in the condition of the partial index


@dataclass(frozen=True, slots=True)
class Held:
    """How many requests of a source are held, and when the oldest of them came."""

    count: int
    oldest: Micros


def held_by_source(connection: Connection, account: str) -> dict[str, Held]:
    """What is held of the account, by source."""
    query = select(requests.c.source, func.count(), func.min(requests.c.received_at)).where(
        _HELD, requests.c.account == account
    )
    rows = connection.execute(query.group_by(requests.c.source).order_by(requests.c.source))
    return {source: Held(count, oldest) for source, count, oldest in rows}


def held_sources(connection: Connection, account: str) -> list[str]:
    """The account's sources of which requests are held."""
    query = select(requests.c.source).where(_HELD, requests.c.account == account).distinct()
    return list(connection.execute(query).scalars())


def next_held(connection: Connection, account: str, source: str, limit: int) -> list[tuple[str, RawRequest]]:
    """The oldest held requests of a source of the account, each with its id."""
    query = (
        select(requests.c.id, *REQUEST_COLUMNS)
        .where(_HELD, requests.c.account == account, requests.c.source == source)
        .order_by(requests.c.id)
        .limit(limit)
    )
    return [(row.id, raw_request(row)) for row in connection.execute(query)]


def release(connection: Connection, request_id: str, arrival: Arrival) -> bool:
    """A held request has these events. False, and nothing is stored, if somebody else took it apart."""
    mine = update(requests).where(requests.c.id == request_id, _HELD).values(held=0)
    if connection.execute(mine).rowcount != 1:
        return False
    add_events(connection, request_id, arrival)
    return True
