"""The stored past: events to replay, rejected requests to verify again, and what retention removes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, exists, func, or_, select, update

from integration.core.clock import first_id_at
from integration.core.values import EventState, Micros, RawRequest, Update
from integration.store.inbox import EVENT_COLUMNS, REQUEST_COLUMNS, ClaimedEvent, raw_request, with_requests
from integration.store.many import one_of
from integration.store.tables import attempts, events, fetches, leads, requests, updates
from integration.store.updates import update_of

ENDED = ("translated", "ignored", "dead")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which stored events: by source, type, and when they arrived (`since` inclusive, `until` exclusive)."""

    source: str | None = None
    type: str | None = None
    since: Micros | None = None
    until: Micros | None = None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event that has ended, with its request, and how it ended. `cause` is the code."""

    event: ClaimedEvent
    state: EventState
    lead_id: str | None
    cause: str | None
    detail: str | None


def count_ended(connection: Connection, account: str, selection: Selection) -> int:
    """How many ended events the selection has; those whose requests are pruned are none of them."""
    stored = events.join(requests, requests.c.id == events.c.request_id)
    query = select(func.count()).select_from(stored).where(*_conditions(account, selection))
    return connection.execute(query).scalar_one()


def ended_after(
    connection: Connection, account: str, selection: Selection, after_id: str, limit: int
) -> list[StoredEvent]:
    """The next `limit` ended events of the selection, in the order of arrival."""
    query = (
        select(
            *EVENT_COLUMNS, events.c.state, events.c.lead_id, events.c.cause, events.c.detail,
        )
        .join(requests, requests.c.id == events.c.request_id)
        .outerjoin(fetches, fetches.c.event_id == events.c.id)
        .where(events.c.id > after_id, *_conditions(account, selection))
        .order_by(events.c.id)
        .limit(limit)
    )  # fmt: skip
    rows = {row.id: row for row in connection.execute(query)}
    return [_stored(event, rows[event.id]) for event in with_requests(connection, list(rows.values()))]


def _stored(event: ClaimedEvent, row: Row[*tuple[Any, ...]]) -> StoredEvent:
    return StoredEvent(event, EventState(row.state), row.lead_id, row.cause, row.detail)


def lock_ended(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Which of these events have ended by now; they stay locked until the transaction ends."""
    query = (
        select(events.c.id).where(one_of(events.c.id, ids), events.c.state.in_(ENDED)).order_by(events.c.id)
    )
    return set(connection.execute(query.with_for_update()).scalars())


def count_rejected(connection: Connection, account: str, selection: Selection) -> int:
    """How many rejected requests the selection has whose body was kept."""
    query = select(func.count()).select_from(requests).where(*_rejected_conditions(account, selection))
    return connection.execute(query).scalar_one()


def rejected_after(
    connection: Connection, account: str, selection: Selection, after_id: str, limit: int
) -> list[tuple[str, RawRequest]]:
    """The next `limit` rejected requests of the selection whose body was kept, each with its id."""
    query = (
        select(requests.c.id, *REQUEST_COLUMNS)
        .where(requests.c.id > after_id, *_rejected_conditions(account, selection))
        .order_by(requests.c.id)
        .limit(limit)
    )
    return [(row.id, raw_request(row)) for row in connection.execute(query)]


def mark_accepted(connection: Connection, request_id: str) -> bool:
    """A rejected request is accepted after all. False if somebody else accepted it just now."""
    rejected = update(requests).where(requests.c.id == request_id, requests.c.reason.is_not(None))
    return connection.execute(rejected.values(reason=None, detail=None)).rowcount == 1


def _conditions(account: str, selection: Selection) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        events.c.account == account,
        events.c.state.in_(ENDED),
        *_id_range(events.c.id, selection),
    ]
    if selection.source is not None:
        conditions.append(events.c.source == selection.source)
    if selection.type is not None:
        conditions.append(events.c.type == selection.type)
    return conditions


def _rejected_conditions(account: str, selection: Selection) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        requests.c.reason.is_not(None),
        requests.c.account == account,
        requests.c.body.is_not(None),
        *_id_range(requests.c.id, selection),
    ]
    if selection.source is not None:
        conditions.append(requests.c.source == selection.source)
    return conditions


def _id_range(column: ColumnElement[Any], selection: Selection) -> list[ColumnElement[bool]]:
    bounds = []
    if selection.since is not None:
        bounds.append(column >= first_id_at(selection.since))
    if selection.until is not None:
        bounds.append(column < first_id_at(selection.until))
    return bounds


def old_requests(connection: Connection, before: Micros, after_id: str, limit: int) -> list[str]:
    """The oldest requests that arrived before `before`, whatever became of them. By the primary key."""
    query = select(requests.c.id).where(requests.c.id < first_id_at(before), requests.c.id > after_id)
    return list(connection.execute(query.order_by(requests.c.id).limit(limit)).scalars())


def lock_prunable(connection: Connection, request_ids: Sequence[str]) -> list[str]:
    """Those of these requests whose effect is settled: none is held, no event of theirs waits for translation
    or is a dead letter, or belongs to a lead that has unsent changes or is to be rebuilt.

    Their events and the leads of these stay locked until the transaction ends, so that no replay and no new
    change comes in between.
    """
    event_ids = _events_of(request_ids).order_by(events.c.id).with_for_update()
    connection.execute(event_ids).all()
    lead_ids = select(updates.c.lead_id).where(updates.c.event_id.in_(_events_of(request_ids)))
    connection.execute(
        select(leads.c.id).where(leads.c.id.in_(lead_ids)).order_by(leads.c.id).with_for_update()
    ).all()
    unsettled = or_(
        events.c.state.in_(["received", "fetching", "dead"]), leads.c.state != "clean", leads.c.refold == 1
    )
    busy = (
        select(events.c.request_id)
        .outerjoin_from(events, leads, leads.c.id == events.c.lead_id)
        .where(events.c.id.in_(_events_of(request_ids)), unsettled)
    )
    needed = set(connection.execute(busy).scalars())
    held = select(requests.c.id).where(one_of(requests.c.id, request_ids), requests.c.held == 1)
    needed |= set(connection.execute(held).scalars())
    return [id for id in request_ids if id not in needed]


_AFTER_DASH = chr(ord("-") + 1)


def _events_of(request_ids: Sequence[str]) -> Select[tuple[str]]:
    """The ids of these requests' events: within the range of ids that they span."""
    return select(events.c.id).where(
        events.c.id > f"{min(request_ids)}-",
        events.c.id < f"{max(request_ids)}{_AFTER_DASH}",
        one_of(events.c.request_id, request_ids),
    )


def updates_of_requests(connection: Connection, request_ids: Sequence[str]) -> dict[str, list[Update]]:
    """By lead id: what the events of these requests asked for."""
    found: dict[str, list[Update]] = {}
    query = select(updates).where(updates.c.event_id.in_(_events_of(request_ids)))
    for row in connection.execute(query):
        found.setdefault(row.lead_id, []).append(update_of(row))
    return found


def delete_requests(connection: Connection, request_ids: Sequence[str]) -> None:
    """Remove these requests, what their events asked for and what was fetched for them. The events themselves
    stay, so that a late duplicate is known as one.
    """
    connection.execute(delete(updates).where(updates.c.event_id.in_(_events_of(request_ids))))
    connection.execute(delete(fetches).where(fetches.c.event_id.in_(_events_of(request_ids))))
    connection.execute(delete(requests).where(one_of(requests.c.id, request_ids)))


def delete_old_events(connection: Connection, before: Micros, limit: int) -> int:
    """Remove the oldest events whose requests are gone and that arrived before `before`; returns how many."""
    gone = ~exists().where(requests.c.id == events.c.request_id)
    oldest = (
        select(events.c.id).where(events.c.id < first_id_at(before), gone).order_by(events.c.id).limit(limit)
    )
    return connection.execute(delete(events).where(events.c.id.in_(oldest.scalar_subquery()))).rowcount


def delete_old_attempts(connection: Connection, before: Micros, limit: int) -> int:
    """Remove the oldest attempts that began before `before`; returns how many."""
    oldest = (
        select(attempts.c.id).where(attempts.c.id < first_id_at(before)).order_by(attempts.c.id).limit(limit)
    )
    return connection.execute(delete(attempts).where(attempts.c.id.in_(oldest.scalar_subquery()))).rowcount
