"""The inbox: requests and their events, from acceptance to settlement."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, delete, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from integration.clock import new_id
from integration.records import Cause, IncomingEvent, Micros, RawRequest
from integration.store.tables import events, requests

REJECTED_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Arrival:
    """A redacted request to be stored: accepted with its events, or rejected with the reason."""

    request: RawRequest
    events: tuple[IncomingEvent, ...] = ()
    reason: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an arrival. `id` is the request's; for a duplicate, that of the first copy."""

    id: str
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class ClaimedEvent:
    """An event leased for translation, with the request that brought it."""

    id: str
    source: str
    position: int
    dedup_key: str
    request_id: str
    request: RawRequest


@dataclass(frozen=True, slots=True)
class SettledEvent:
    """How translation left an event: `state` is translated, ignored or dead."""

    id: str
    state: str
    type: str | None
    occurred_at: Micros | None
    lead_id: str | None = None
    cause: Cause | None = None
    mapping_version: str = ""


def store_arrivals(connection: Connection, arrivals: Sequence[Arrival]) -> list[Receipt]:
    """Store a group of arrivals; of copies, within the group or with what is stored, only the first counts.

    A request is a duplicate when none of its events is new. Rows go in key order, so that two processes
    that store overlapping groups on PostgreSQL cannot wait for each other in a circle.
    """
    ids = [new_id(arrival.request.received_at) for arrival in arrivals]
    rows = [
        _event_row(id, arrival, event)
        for id, arrival in zip(ids, arrivals, strict=True)
        for event in arrival.events
    ]
    rows.sort(key=lambda row: (row["source"], row["dedup_key"]))
    owners = _insert_events(connection, rows)
    receipts = [_receipt(id, arrival, owners) for id, arrival in zip(ids, arrivals, strict=True)]
    fresh = [
        _request_row(id, arrival)
        for id, arrival, receipt in zip(ids, arrivals, receipts, strict=True)
        if not receipt.duplicate
    ]
    if fresh:
        connection.execute(insert(requests), fresh)
    return receipts


def _insert_events(
    connection: Connection, rows: list[dict[str, object]]
) -> dict[tuple[str, str], str] | None:
    """Insert the new ones among `rows`. None when all were new; else who owns each key, by request id."""
    if not rows:
        return None
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    result = connection.execute(dialect.insert(events).on_conflict_do_nothing(), rows)
    if result.rowcount == len(rows):
        return None
    return _owners(connection, [(str(row["source"]), str(row["dedup_key"])) for row in rows])


def _owners(connection: Connection, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    query = select(events.c.source, events.c.dedup_key, events.c.request_id).where(
        tuple_(events.c.source, events.c.dedup_key).in_(keys)
    )
    return {(row.source, row.dedup_key): row.request_id for row in connection.execute(query)}


def _receipt(id: str, arrival: Arrival, owners: Mapping[tuple[str, str], str] | None) -> Receipt:
    if owners is None or not arrival.events:
        return Receipt(id)
    found = [owners[arrival.request.source, event.dedup_key] for event in arrival.events]
    return Receipt(id) if id in found else Receipt(found[0], duplicate=True)


def _event_row(request_id: str, arrival: Arrival, event: IncomingEvent) -> dict[str, object]:
    return {
        "id": f"{request_id}-{event.position}",
        "request_id": request_id,
        "position": event.position,
        "source": arrival.request.source,
        "dedup_key": event.dedup_key,
        "type": event.type,
        "occurred_at": event.occurred_at,
        "state": "received",
    }


def _request_row(id: str, arrival: Arrival) -> dict[str, object]:
    request = arrival.request
    too_large = arrival.reason is not None and len(request.body) > REJECTED_BODY_BYTES
    return {
        "id": id,
        "source": request.source,
        "received_at": request.received_at,
        "reason": arrival.reason,
        "detail": arrival.detail or None,
        "client": request.client,
        "method": request.method,
        "url": request.url,
        "headers": json.dumps(dict(request.headers), ensure_ascii=True),
        "body": None if too_large else request.body,
        "body_size": len(request.body),
    }


def prune_rejected(connection: Connection, source: str, keep: int) -> int:
    """Delete the oldest rejected requests of a source beyond `keep`; returns how many."""
    rejected = and_(requests.c.source == source, requests.c.reason.is_not(None))
    oldest_kept = select(requests.c.id).where(rejected).order_by(requests.c.id.desc()).offset(keep).limit(1)
    boundary = connection.execute(oldest_kept).scalar()
    if boundary is None:
        return 0
    return connection.execute(delete(requests).where(rejected, requests.c.id <= boundary)).rowcount


def claim_events(
    connection: Connection, worker: str, now: Micros, until: Micros, limit: int
) -> list[ClaimedEvent]:
    """Lease up to `limit` untranslated events, oldest first."""
    free = (
        select(events.c.id)
        .where(events.c.state == "received", events.c.leased_until <= now)
        .order_by(events.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    claim = (
        update(events)
        .where(events.c.id.in_(free.scalar_subquery()))
        .values(leased_by=worker, leased_until=until)
        .returning(events.c.id)
    )
    ids = list(connection.execute(claim).scalars())
    if not ids:
        return []
    query = (
        select(events.c.id, events.c.position, events.c.dedup_key, events.c.request_id, *_REQUEST_COLUMNS)
        .join(requests, requests.c.id == events.c.request_id)
        .where(events.c.id.in_(ids))
        .order_by(events.c.id)
    )
    parsed: dict[str, RawRequest] = {}
    return [_claimed(row, parsed) for row in connection.execute(query)]


_REQUEST_COLUMNS = (
    requests.c.source,
    requests.c.received_at,
    requests.c.client,
    requests.c.method,
    requests.c.url,
    requests.c.headers,
    requests.c.body,
)


def _claimed(row: Row[*tuple[Any, ...]], parsed: dict[str, RawRequest]) -> ClaimedEvent:
    request = parsed.get(row.request_id)
    if request is None:
        request = parsed[row.request_id] = _raw_request(row)
    return ClaimedEvent(row.id, row.source, row.position, row.dedup_key, row.request_id, request)


def _raw_request(row: Row[*tuple[Any, ...]]) -> RawRequest:
    return RawRequest(
        source=row.source,
        method=row.method,
        url=row.url,
        query=row.url.partition("?")[2],
        headers=json.loads(row.headers),
        body=row.body or b"",
        received_at=row.received_at,
        client=row.client,
        redacted=True,
    )


def still_leased(connection: Connection, worker: str, ids: Sequence[str]) -> set[str]:
    """Which of these events this worker still holds; they stay locked until the transaction ends."""
    query = (
        select(events.c.id)
        .where(events.c.id.in_(ids), events.c.state == "received", events.c.leased_by == worker)
        .order_by(events.c.id)
        .with_for_update()
    )
    return set(connection.execute(query).scalars())


_SETTLE = (
    update(events)
    .where(events.c.id == bindparam("event_id"))
    .values(
        state=bindparam("new_state"),
        type=bindparam("new_type"),
        occurred_at=bindparam("new_time"),
        settled_at=bindparam("now"),
        lead_id=bindparam("new_lead"),
        cause=bindparam("new_cause"),
        detail=bindparam("new_detail"),
        cure=bindparam("new_cure"),
        mapping_version=bindparam("new_version"),
        leased_by=None,
        leased_until=0,
    )
)


def settle_events(connection: Connection, settled: Sequence[SettledEvent], now: Micros) -> None:
    """Write down how translation left these events."""
    if settled:
        connection.execute(_SETTLE, [_settled_row(event, now) for event in settled])


def _settled_row(event: SettledEvent, now: Micros) -> dict[str, object]:
    cause = event.cause
    return {
        "event_id": event.id,
        "new_state": event.state,
        "new_type": event.type,
        "new_time": event.occurred_at,
        "now": now,
        "new_lead": event.lead_id,
        "new_cause": cause.code if cause else None,
        "new_detail": cause.detail if cause else None,
        "new_cure": cause.cure if cause else None,
        "new_version": event.mapping_version or None,
    }


def anything_received(connection: Connection, now: Micros) -> bool:
    """Whether an event waits for translation: cheap to ask before taking the right to write."""
    query = select(events.c.id).where(events.c.state == "received", events.c.leased_until <= now).limit(1)
    return connection.execute(query).first() is not None
