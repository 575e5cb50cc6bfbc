"""The stored past: events to replay, rejected requests to verify again, and what retention removes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, select, update

from integration.clock import first_id_at
from integration.records import Micros, RawRequest
from integration.store.inbox import REQUEST_COLUMNS, ClaimedEvent, claimed_event, raw_request
from integration.store.tables import attempts, events, leads, requests, updates

SETTLED = ("translated", "ignored", "dead")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which stored events: by source, type, and when they arrived (`since` inclusive, `until` exclusive)."""

    source: str | None = None
    type: str | None = None
    since: Micros | None = None
    until: Micros | None = None


@dataclass(frozen=True, slots=True)
class SettledEvent:
    """A settled event with its request, and what it was settled as. `cause` is the code."""

    event: ClaimedEvent
    state: str
    lead_id: str | None
    cause: str | None
    detail: str | None


def count_settled(connection: Connection, selection: Selection) -> int:
    """How many settled events the selection has."""
    return connection.execute(
        select(func.count()).select_from(events).where(*_conditions(selection))
    ).scalar_one()


def settled_after(
    connection: Connection, selection: Selection, after_id: str, limit: int
) -> list[SettledEvent]:
    """The next `limit` settled events of the selection, in the order of arrival."""
    query = (
        select(
            events.c.id, events.c.position, events.c.dedup_key, events.c.request_id, events.c.state,
            events.c.lead_id, events.c.cause, events.c.detail, *REQUEST_COLUMNS,
        )
        .join(requests, requests.c.id == events.c.request_id)
        .where(events.c.id > after_id, *_conditions(selection))
        .order_by(events.c.id)
        .limit(limit)
    )  # fmt: skip
    parsed: dict[str, RawRequest] = {}
    return [
        SettledEvent(claimed_event(row, parsed), row.state, row.lead_id, row.cause, row.detail)
        for row in connection.execute(query)
    ]


def lock_settled(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Which of these events are settled now; they stay locked until the transaction ends."""
    query = select(events.c.id).where(events.c.id.in_(ids), events.c.state.in_(SETTLED)).order_by(events.c.id)
    return set(connection.execute(query.with_for_update()).scalars())


def count_rejected(connection: Connection, selection: Selection) -> int:
    """How many rejected requests the selection has."""
    query = select(func.count()).select_from(requests).where(*_rejected_conditions(selection))
    return connection.execute(query).scalar_one()


def rejected_after(
    connection: Connection, selection: Selection, after_id: str, limit: int
) -> list[tuple[str, RawRequest]]:
    """The next `limit` rejected requests of the selection whose body was kept, each with its id."""
    query = (
        select(requests.c.id, *REQUEST_COLUMNS)
        .where(requests.c.id > after_id, requests.c.body.is_not(None), *_rejected_conditions(selection))
        .order_by(requests.c.id)
        .limit(limit)
    )
    return [(row.id, raw_request(row)) for row in connection.execute(query)]


def mark_accepted(connection: Connection, request_id: str) -> bool:
    """A rejected request is accepted after all. False if somebody else accepted it just now."""
    rejected = update(requests).where(requests.c.id == request_id, requests.c.reason.is_not(None))
    return connection.execute(rejected.values(reason=None, detail=None)).rowcount == 1


def _conditions(selection: Selection) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [events.c.state.in_(SETTLED), *_id_range(events.c.id, selection)]
    if selection.source is not None:
        conditions.append(events.c.source == selection.source)
    if selection.type is not None:
        conditions.append(events.c.type == selection.type)
    return conditions


def _rejected_conditions(selection: Selection) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        requests.c.reason.is_not(None),
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


def prunable_requests(connection: Connection, before: Micros, after_id: str, limit: int) -> list[str]:
    """The oldest requests that arrived before `before` and whose effect is settled.

    No event of theirs waits for translation or is a dead letter, nor belongs to a lead with unsent changes.
    """
    unsettled_lead = and_(leads.c.id == events.c.lead_id, leads.c.state != "clean")
    holds = exists().where(
        events.c.request_id == requests.c.id,
        events.c.state.in_(["received", "dead"]) | exists().where(unsettled_lead),
    )
    query = (
        select(requests.c.id)
        .where(requests.c.id < first_id_at(before), requests.c.id > after_id, ~holds)
        .order_by(requests.c.id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def events_of_requests(connection: Connection, request_ids: Sequence[str]) -> list[str]:
    """The ids of these requests' events."""
    return list(connection.execute(select(events.c.id).where(events.c.request_id.in_(request_ids))).scalars())


def leads_of_events(connection: Connection, event_ids: Sequence[str]) -> set[str]:
    """The leads that have updates from these events."""
    query = select(updates.c.lead_id).where(updates.c.event_id.in_(event_ids)).distinct()
    return set(connection.execute(query).scalars())


def delete_requests(connection: Connection, request_ids: Sequence[str]) -> None:
    """Remove these requests. Their events stay, so that a late duplicate is known as one."""
    connection.execute(delete(requests).where(requests.c.id.in_(request_ids)))


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
