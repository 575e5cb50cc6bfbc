"""The inbox: requests and their events, from acceptance to settlement."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    Row,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    update,
)

from integration.core.clock import new_id
from integration.core.values import EventEnd, IncomingEvent, Micros, RawRequest
from integration.store.account_keys import key_in, key_of
from integration.store.leases import lease
from integration.store.many import one_of, pair_of
from integration.store.tables import events, fetches, requests

REJECTED_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Arrival:
    """A redacted request to be stored: accepted with its events, rejected with the reason, or held whole
    until its mapping is good.
    """

    request: RawRequest
    events: tuple[IncomingEvent, ...] = ()
    reason: str | None = None
    detail: str = ""
    held: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an arrival. `id` is the request's; for a duplicate, that of the first copy."""

    id: str
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the source's API answered for an event: `headers` tell how `body` is to be read."""

    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClaimedEvent:
    """An event leased for translation, with the request that brought it, and what was fetched for it."""

    id: str
    source: str
    position: int
    dedup_key: str
    request_id: str
    request: RawRequest
    fetched: Fetched | None = None

    @property
    def account(self) -> str:
        """The account of its request."""
        return self.request.account


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
    rows.sort(key=_key_of_event_row)
    firsts = {_key_of_event_row(row): row for row in reversed(rows)}  # of copies in the group, the first
    inserted = _insert_new(connection, _EVENT_COLUMNS, [*reversed(firsts.values())])
    owners = None if inserted == len(rows) else _owners(connection, firsts)
    receipts = [_receipt(id, arrival, owners) for id, arrival in zip(ids, arrivals, strict=True)]
    fresh = [
        _request_row(arrival, receipt)
        for arrival, receipt in zip(arrivals, receipts, strict=True)
        if not receipt.duplicate
    ]
    _insert_new(connection, _REQUEST_COLUMNS_WRITTEN, fresh)
    return receipts


def add_events(connection: Connection, request_id: str, arrival: Arrival) -> None:
    """Store the events of a request that is stored already; those that are known are left alone."""
    rows = [_event_row(request_id, arrival, event) for event in arrival.events]
    rows.sort(key=_key_of_event_row)
    _insert_new(connection, _EVENT_COLUMNS, rows)


_EVENT_COLUMNS = (
    events.c.id,
    events.c.request_id,
    events.c.position,
    events.c.source,
    events.c.dedup_key,
    events.c.type,
    events.c.occurred_at,
    events.c.state,
    events.c.account,
)
_EventRow = tuple[str, str, int, str, str, str | None, Micros | None, str, str]

_REQUEST_COLUMNS_WRITTEN = (
    requests.c.id,
    requests.c.source,
    requests.c.received_at,
    requests.c.reason,
    requests.c.detail,
    requests.c.client,
    requests.c.method,
    requests.c.url,
    requests.c.headers,
    requests.c.body,
    requests.c.body_size,
    requests.c.held,
    requests.c.account,
)
_ROWS_PER_STATEMENT = 500  # 13 columns of them stay below SQLite's 32,766 parameters and PostgreSQL's 65,535


def _insert_new(
    connection: Connection, columns: tuple[Column[Any], ...], rows: Sequence[tuple[object, ...]]
) -> int:
    """Insert the rows that break no unique key; returns how many those were.

    One statement for many rows, its text kept by their number: building it again, or running it once a
    row, cost half of the time of a commit, and each statement has to win Python's global lock back.
    """
    inserted = 0
    for start in range(0, len(rows), _ROWS_PER_STATEMENT):
        chunk = rows[start : start + _ROWS_PER_STATEMENT]
        statement = _insert_statement(connection.dialect.name, columns, len(chunk))
        inserted += connection.exec_driver_sql(statement, tuple(chain.from_iterable(chunk))).rowcount
    return inserted


@lru_cache(maxsize=128)  # as many as each connection keeps prepared
def _insert_statement(dialect: str, columns: tuple[Column[Any], ...], rows: int) -> str:
    row = f"({', '.join(_placeholder(dialect, column) for column in columns)})"
    names = ", ".join(column.name for column in columns)
    values = ", ".join([row] * rows)
    return f"INSERT INTO {columns[0].table.name} ({names}) VALUES {values} ON CONFLICT DO NOTHING"  # noqa: S608 - no value in it


def _placeholder(dialect: str, column: Column[Any]) -> str:
    if dialect == "sqlite":
        return "?"
    return "%b" if isinstance(column.type, LargeBinary) else "%s"  # b: bytes as they are, not as hex digits


def _owners(connection: Connection, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Who owns each key (source, dedup key as it is stored), by request id."""
    query = select(events.c.source, events.c.dedup_key, events.c.request_id).where(
        pair_of(events.c.source, events.c.dedup_key, keys)
    )
    return {(row.source, row.dedup_key): row.request_id for row in connection.execute(query)}


def _receipt(id: str, arrival: Arrival, owners: Mapping[tuple[str, str], str] | None) -> Receipt:
    if owners is None or not arrival.events:
        return Receipt(id)
    account, source = arrival.request.account, arrival.request.source
    found = [owners[source, key_in(account, event.dedup_key)] for event in arrival.events]
    return Receipt(id) if id in found else Receipt(found[0], duplicate=True)


def _event_row(request_id: str, arrival: Arrival, event: IncomingEvent) -> _EventRow:
    return (
        f"{request_id}-{event.position}",
        request_id,
        event.position,
        arrival.request.source,
        key_in(arrival.request.account, event.dedup_key),
        event.type,
        event.occurred_at,
        "received",
        arrival.request.account,
    )


def _key_of_event_row(row: _EventRow) -> tuple[str, str]:
    return row[3], row[4]


def _request_row(arrival: Arrival, receipt: Receipt) -> tuple[object, ...]:
    request = arrival.request
    too_large = arrival.reason is not None and len(request.body) > REJECTED_BODY_BYTES
    return (
        receipt.id,
        request.source,
        request.received_at,
        arrival.reason,
        arrival.detail or None,
        request.client,
        request.method,
        request.url,
        json.dumps(dict(request.headers)),
        None if too_large else request.body,
        len(request.body),
        int(arrival.held),
        request.account,
    )


def prune_rejected(connection: Connection, account: str, source: str, keep: int) -> int:
    """Delete the oldest rejected requests of a source of the account beyond `keep`; returns how many."""
    rejected = and_(
        requests.c.source == source, requests.c.reason.is_not(None), requests.c.account == account
    )
    oldest_kept = select(requests.c.id).where(rejected).order_by(requests.c.id.desc()).offset(keep).limit(1)
    boundary = connection.execute(oldest_kept).scalar()
    if boundary is None:
        return 0
    return connection.execute(delete(requests).where(rejected, requests.c.id <= boundary)).rowcount


def claim_events(
    connection: Connection,
    account: str,
    worker: str,
    now: Micros,
    until: Micros,
    *,
    limit: int,
    known: Mapping[str, RawRequest] = MappingProxyType({}),
) -> list[ClaimedEvent]:
    """Lease up to `limit` untranslated events of the account: of each source the oldest, of all alike many.

    `known` requests, by id, are not read again: one request may bring more events than many claims take.
    """
    ids = _lease_in_turn(connection, account, worker, now=now, until=until, limit=limit)
    if not ids:
        return []
    query = (
        select(*EVENT_COLUMNS)
        .outerjoin(fetches, fetches.c.event_id == events.c.id)
        .where(one_of(events.c.id, ids))
        .order_by(events.c.id)
    )
    return with_requests(connection, connection.execute(query).all(), known)


def _lease_in_turn(
    connection: Connection, account: str, worker: str, *, now: Micros, until: Micros, limit: int
) -> list[str]:
    """An equal share for each source that has events waiting; what some leave goes to the others.

    Each share is a walk along `events_received_by_source` from the source's oldest event on.
    """
    sources = waiting_sources(connection, account)
    first = now % len(sources) if len(sources) > limit else 0  # not even one each: who is first changes
    more = [*sources[first:], *sources[:first]]

    def lease_of(source: str, most: int) -> list[str]:
        return lease_of_source(connection, account, source, worker, now=now, until=until, limit=most)

    ids: list[str] = []
    while more and len(ids) < limit:
        share = max(1, (limit - len(ids)) // len(more))
        taken: dict[str, list[str]] = {}
        for source in more:
            taken[source] = lease_of(source, min(share, limit - len(ids)))
            ids += taken[source]
            if len(ids) == limit:
                return ids
        more = [source for source, found in taken.items() if len(found) == share]
    return ids


def lease_of_source(
    connection: Connection, account: str, source: str, worker: str, *, now: Micros, until: Micros, limit: int
) -> list[str]:
    """Lease up to `limit` untranslated events of this source, the oldest first; returns their ids."""
    free = (
        _IS_RECEIVED, events.c.account == account, events.c.source == source, events.c.leased_until <= now,
    )  # fmt: skip
    return lease(connection, events.c.id, free, events.c.id, worker=worker, until=until, limit=limit)


_IS_RECEIVED: ColumnElement[bool] = events.c.state == literal_column(
    "'received'"
)  # as the partial index says


def waiting_sources(connection: Connection, account: str) -> list[str]:
    """The sources that have untranslated events: one step into `events_received_by_source` for each."""
    waits = (_IS_RECEIVED, events.c.account == account)
    first = select(func.min(events.c.source).label("source")).where(*waits)
    found = first.cte("waiting", recursive=True)
    following = select(func.min(events.c.source)).where(*waits, events.c.source > found.c.source)
    found = found.union_all(select(following.scalar_subquery()).where(found.c.source.is_not(None)))
    return list(connection.execute(select(found.c.source).where(found.c.source.is_not(None))).scalars())


def with_requests(
    connection: Connection,
    rows: Sequence[Row[*tuple[Any, ...]]],
    known: Mapping[str, RawRequest] = MappingProxyType({}),
) -> list[ClaimedEvent]:
    """Rows with EVENT_COLUMNS as records, each with its request, which is read once however many share it.

    Those whose request is gone are left out.
    """
    missing = {row.request_id for row in rows} - known.keys()
    found = dict(known)
    if missing:
        query = select(requests.c.id, *REQUEST_COLUMNS).where(one_of(requests.c.id, missing))
        found |= {row.id: raw_request(row) for row in connection.execute(query)}
    return [_claimed(row, found[row.request_id]) for row in rows if row.request_id in found]


def _claimed(row: Row[*tuple[Any, ...]], request: RawRequest) -> ClaimedEvent:
    fetched = None if row.answer is None else Fetched(json.loads(row.answer_headers), row.answer)
    key = key_of(request.account, row.dedup_key)
    return ClaimedEvent(row.id, request.source, row.position, key, row.request_id, request, fetched)


EVENT_COLUMNS = (
    events.c.id,
    events.c.position,
    events.c.dedup_key,
    events.c.request_id,
    fetches.c.answer,
    fetches.c.headers.label("answer_headers"),
)
REQUEST_COLUMNS = (
    requests.c.account,
    requests.c.source,
    requests.c.received_at,
    requests.c.client,
    requests.c.method,
    requests.c.url,
    requests.c.headers,
    requests.c.body,
)


def raw_request(row: Row[*tuple[Any, ...]]) -> RawRequest:
    """A row with REQUEST_COLUMNS as a record."""
    return RawRequest(
        account=row.account,
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
        .where(one_of(events.c.id, ids), events.c.state == "received", events.c.leased_by == worker)
        .order_by(events.c.id)
        .with_for_update()
    )
    return set(connection.execute(query).scalars())


def postpone(connection: Connection, ids: Collection[str], until: Micros) -> None:
    """These leased events wait for translation again, from `until` on."""
    if ids:
        waiting = update(events).where(one_of(events.c.id, ids), events.c.state == "received")
        connection.execute(waiting.values(leased_by=None, leased_until=until))


_END = (
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


def end_events(connection: Connection, ends: Sequence[EventEnd], now: Micros) -> None:
    """Write down how translation left these events."""
    if ends:
        connection.execute(_END, [_end_row(end, now) for end in ends])


def _end_row(event: EventEnd, now: Micros) -> dict[str, object]:
    cause = event.cause
    return {
        "event_id": event.id,
        "new_state": event.state.value,
        "new_type": event.type,
        "new_time": event.occurred_at,
        "now": now,
        "new_lead": event.lead_id,
        "new_cause": cause.code if cause else None,
        "new_detail": cause.detail if cause else None,
        "new_cure": cause.cure if cause else None,
        "new_version": event.mapping_version or None,
    }


def anything_received(connection: Connection, account: str, now: Micros) -> bool:
    """Whether an event waits for translation: cheap to ask before taking the right to write."""
    waits = (_IS_RECEIVED, events.c.account == account, events.c.leased_until <= now)
    query = select(events.c.id).where(*waits).limit(1)
    return connection.execute(query).first() is not None
