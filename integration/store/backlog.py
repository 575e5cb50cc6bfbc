"""What waits, counted over partial indexes that hold only what waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from integration.core.values import Micros
from integration.store.held_rows import Held, held_by_source
from integration.store.tables import events, fetches, leads


@dataclass(frozen=True, slots=True)
class Backlog:
    """Untranslated events, those that wait for what is fetched for them (by source), leads with unsent
    changes (`leads_leased` of them on their way), dead letters by cause, the oldest unsent change, and
    requests that are held until their mapping is good, by source.
    """

    events_received: int
    events_fetching: dict[str, int]
    leads_waiting: int
    leads_leased: int
    dead_events: dict[str, int]
    dead_leads: dict[str, int]
    oldest_waiting_since: Micros | None
    held: Mapping[str, Held]


def read_backlog(connection: Connection) -> Backlog:
    """Count what waits."""
    received = select(func.count()).select_from(events).where(events.c.state == "received")
    due, leased = (
        connection.execute(select(func.count()).select_from(leads).where(leads.c.state == state)).scalar_one()
        for state in ("due", "leased")  # one by one: no partial index holds both
    )
    dead_events = (
        select(events.c.cause, func.count()).where(events.c.state == "dead").group_by(events.c.cause)
    )
    dead_leads = select(leads.c.cause, func.count()).where(leads.c.state == "dead").group_by(leads.c.cause)
    fetching = (
        select(fetches.c.source, func.count()).where(fetches.c.due_at.is_not(None)).group_by(fetches.c.source)
    )
    oldest = (
        select(leads.c.waiting_since)
        .where(leads.c.waiting_since.is_not(None), leads.c.state.in_(["due", "leased"]))
        .order_by(leads.c.waiting_since)
        .limit(1)
    )
    return Backlog(
        events_received=connection.execute(received).scalar_one(),
        events_fetching=dict(connection.execute(fetching).all()),
        leads_waiting=due + leased,
        leads_leased=leased,
        dead_events=dict(connection.execute(dead_events).all()),
        dead_leads=dict(connection.execute(dead_leads).all()),
        oldest_waiting_since=connection.execute(oldest).scalar(),
        held=held_by_source(connection),
    )
