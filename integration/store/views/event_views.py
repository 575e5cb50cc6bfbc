"""What people look up: events and requests, newest first, a page at a time.

Every query goes down an index from a given id (ids sort by time), so a page costs the same with millions
of rows as with few. The index stands beside each query.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, literal_column, select

from integration.core.values import Cause, FieldChange, Micros
from integration.store import updates
from integration.store.identifiers import identifiers_of
from integration.store.tables import attempts, events, leads, requests

EventState = Literal["received", "fetching", "translated", "ignored", "dead"]
ATTEMPTS_SHOWN = 50
_SETTLED = ("fetching", "translated", "ignored", "dead")


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event in a listing. `received_at` is its request's; `lead` its lead's identifiers by kind."""

    id: str
    source: str
    type: str | None
    occurred_at: Micros | None
    received_at: Micros
    state: str
    dedup_key: str
    lead: Mapping[str, str]
    cause: Cause | None


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A rejected request in a listing: `reason` is a stable word, `detail` a sentence."""

    id: str
    source: str
    received_at: Micros
    client: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request as stored: credentials are digests. `body` is None once pruned; `held` until its mapping is
    good.
    """

    id: str
    source: str
    received_at: Micros
    reason: str | None
    detail: str | None
    client: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = field(repr=False)
    body_size: int
    held: bool = False


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One call to HubSpot. `duration` is in microseconds; `status` None when no answer came."""

    id: str
    started_at: Micros
    duration: int
    status: int | None
    outcome: str
    fields: Mapping[str, Any]
    detail: str | None


@dataclass(frozen=True, slots=True)
class EventDetails:
    """One event whole: what it asked for, and the attempts that carried it. `lead_state` None: no lead."""

    line: EventLine
    mapping_version: str | None
    changes: tuple[FieldChange, ...]
    lead_state: str | None
    attempts: tuple[AttemptLine, ...]


def list_events(
    connection: Connection,
    *,
    limit: int,
    source: str | None = None,
    state: EventState | None = None,
    before: str | None = None,
) -> list[EventLine]:
    """The newest events older than the id `before`.

    By the primary key, `events_by_source`, `events_received` or `events_settled`.
    """
    query = _page(limit, before)
    if source is not None:
        query = query.where(events.c.source == source)
    if state is not None:
        query = query.where(events.c.state == literal_column(f"'{state}'"))
    if (
        state in _SETTLED
    ):  # says so in words: SQLite uses a partial index only where its condition is repeated
        query = query.where(events.c.state != literal_column("'received'"))
    return _event_lines(connection, query)


def list_dead_events(
    connection: Connection, *, cause: str, limit: int, before: str | None = None
) -> list[EventLine]:
    """The newest dead events of this cause older than the id `before`. By `events_dead`."""
    dead = (events.c.state == literal_column("'dead'"), events.c.cause == cause)
    return _event_lines(connection, _page(limit, before).where(*dead))


def _page(limit: int, before: str | None) -> Select[Any]:
    query = _EVENTS.order_by(events.c.id.desc()).limit(limit)
    return query if before is None else query.where(events.c.id < before)


def list_rejected(
    connection: Connection, *, limit: int, source: str | None = None, before: str | None = None
) -> list[RejectedLine]:
    """The newest rejected requests older than the id `before`.

    By `requests_rejected`, or `requests_rejected_by_id` for those of all sources.
    """
    columns = (requests.c.id, requests.c.source, requests.c.received_at, requests.c.client)
    query = (
        select(*columns, requests.c.reason, requests.c.detail)
        .where(requests.c.reason.is_not(None))
        .order_by(requests.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(requests.c.id < before)
    if source is not None:
        query = query.where(requests.c.source == source)
    return [
        RejectedLine(row.id, row.source, row.received_at, row.client, row.reason, row.detail or "")
        for row in connection.execute(query)
    ]


def find_event(connection: Connection, id: str) -> EventDetails | None:
    """The event with this id; None if there is none. All by primary keys, and `attempts_by_lead`."""
    lines = _event_lines(connection, _EVENTS.where(events.c.id == id))
    if not lines:
        return None
    about = connection.execute(
        select(events.c.mapping_version, events.c.lead_id, leads.c.state)
        .outerjoin(leads, leads.c.id == events.c.lead_id)
        .where(events.c.id == id)
    ).one()
    asked = updates.of_events(connection, [id]).get(id)
    changes = asked[1].changes if asked else ()
    carried = _attempts_with(connection, about.lead_id, id) if about.lead_id else ()
    return EventDetails(lines[0], about.mapping_version, changes, about.state, carried)


def find_request(connection: Connection, id: str) -> StoredRequest | None:
    """The request with this id; None if there is none."""
    row = connection.execute(select(requests).where(requests.c.id == id)).mappings().first()
    return (
        StoredRequest(**{**row, "headers": json.loads(row["headers"]), "held": bool(row["held"])})
        if row
        else None
    )


def events_of_request(connection: Connection, request_id: str) -> list[EventLine]:
    """The events that a request brought, in its order. By primary key: their ids begin with the request's."""
    after_dash = chr(ord("-") + 1)
    query = _EVENTS.where(events.c.id > f"{request_id}-", events.c.id < f"{request_id}{after_dash}")
    return _event_lines(connection, query.order_by(events.c.position))


_EVENTS = select(
    events.c.id,
    events.c.source,
    events.c.type,
    events.c.occurred_at,
    events.c.state,
    events.c.dedup_key,
    events.c.lead_id,
    events.c.cause,
    events.c.detail,
    events.c.cure,
    requests.c.received_at,
).join(requests, requests.c.id == events.c.request_id)


def _event_lines(connection: Connection, query: Select[Any]) -> list[EventLine]:
    rows = connection.execute(query).all()
    known = identifiers_of(connection, {row.lead_id for row in rows if row.lead_id})
    return [_event_line(row, known.get(row.lead_id, {})) for row in rows]


def _event_line(row: Row[Any], lead: Mapping[str, str]) -> EventLine:
    return EventLine(
        id=row.id,
        source=row.source,
        type=row.type,
        occurred_at=row.occurred_at,
        received_at=row.received_at,
        state=row.state,
        dedup_key=row.dedup_key,
        lead=lead,
        cause=Cause(row.cause, row.detail or "", row.cure or "") if row.cause else None,
    )


def _attempts_with(connection: Connection, lead_id: str, event_id: str) -> tuple[AttemptLine, ...]:
    """The first attempts of a lead that carried this event."""
    query = (
        select(attempts)
        .where(
            attempts.c.lead_id == lead_id,
            attempts.c.event_ids.contains(json.dumps(event_id), autoescape=True),
        )
        .order_by(attempts.c.id)
        .limit(ATTEMPTS_SHOWN)
    )
    return tuple(attempt_line(row) for row in connection.execute(query))


def attempt_line(row: Row[Any]) -> AttemptLine:
    """A row of `attempts` as a line."""
    return AttemptLine(
        row.id, row.started_at, row.duration, row.status, row.outcome, json.loads(row.fields), row.detail
    )
