"""Dead letters: events and leads that wait for a person, grouped by cause, and taking them up again.

All by the partial indexes `events_dead` and `leads_dead` (cause, id), which hold only what is dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, func, select, update

from integration.core.values import Cause, Micros
from integration.store.many import one_of
from integration.store.tables import events, in_state, leads, requests

Kind = Literal["event", "lead"]

_DEAD_EVENT = in_state(events, "dead")
_DEAD_LEAD = in_state(leads, "dead")


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """All dead letters of one kind and cause.

    `oldest` and `newest` are when events arrived, or since when leads fail. `example` is the id of the
    newest one, and `cause` is what is said of it.
    """

    kind: Kind
    cause: Cause
    count: int
    oldest: Micros
    newest: Micros
    example: str


def dead_groups(connection: Connection) -> list[DeadGroup]:
    """The dead letters by kind and cause, the largest groups first."""
    groups = [*_event_groups(connection), *_lead_groups(connection)]
    return sorted(groups, key=lambda group: (-group.count, group.kind, group.cause.code))


def _event_groups(connection: Connection) -> list[DeadGroup]:
    ends = (
        func.count().label("number"),
        func.min(events.c.id).label("first"),
        func.max(events.c.id).label("last"),
    )
    groups = connection.execute(_of_cause(select(events.c.cause, *ends), _DEAD_EVENT, events.c.cause)).all()
    wanted = {id for group in groups for id in (group.first, group.last)}
    found = {
        row.id: row
        for row in connection.execute(
            select(events.c.id, events.c.detail, events.c.cure, requests.c.received_at)
            .join(requests, requests.c.id == events.c.request_id)
            .where(one_of(events.c.id, wanted))
        )
    }
    return [
        DeadGroup(
            "event", Cause(group.cause, found[group.last].detail or "", found[group.last].cure or ""),
            group.number, found[group.first].received_at, found[group.last].received_at, group.last,
        )
        for group in groups
    ]  # fmt: skip


def _lead_groups(connection: Connection) -> list[DeadGroup]:
    since = func.coalesce(leads.c.failing_since, leads.c.updated_at)
    ends = (
        func.count().label("number"),
        func.min(since).label("oldest"),
        func.max(since).label("newest"),
        func.max(leads.c.id).label("last"),
    )
    groups = connection.execute(_of_cause(select(leads.c.cause, *ends), _DEAD_LEAD, leads.c.cause)).all()
    examples = select(leads.c.id, leads.c.detail, leads.c.cure).where(
        leads.c.id.in_([group.last for group in groups])
    )
    found = {row.id: row for row in connection.execute(examples)}
    return [
        DeadGroup(
            "lead", Cause(group.cause, found[group.last].detail or "", found[group.last].cure or ""),
            group.number, group.oldest, group.newest, group.last,
        )
        for group in groups
    ]  # fmt: skip


def _of_cause(query: Select[Any], dead: ColumnElement[bool], cause: ColumnElement[Any]) -> Select[Any]:
    return query.where(dead, cause.is_not(None)).group_by(cause)


def count_dead_events(connection: Connection, *, cause: str | None, source: str | None) -> dict[str, int]:
    """How many dead events there are, by cause; of one source or cause if given."""
    query = select(events.c.cause, func.count()).where(_DEAD_EVENT).group_by(events.c.cause)
    if cause is not None:
        query = query.where(events.c.cause == cause)
    if source is not None:
        query = query.where(events.c.source == source)
    return dict(connection.execute(query).all())


def count_dead_leads(connection: Connection, *, cause: str | None, lead_id: str | None) -> dict[str, int]:
    """How many dead leads there are, by cause; of one cause, or only this lead, if given."""
    query = select(leads.c.cause, func.count()).where(_DEAD_LEAD).group_by(leads.c.cause)
    if cause is not None:
        query = query.where(leads.c.cause == cause)
    if lead_id is not None:
        query = query.where(leads.c.id == lead_id)
    return dict(connection.execute(query).all())


def retry_events(
    connection: Connection, cause: str, after_id: str, limit: int, *, source: str | None
) -> list[str]:
    """The next `limit` dead events of this cause wait for translation again; returns their ids, in order."""
    chosen = (
        select(events.c.id)
        .where(_DEAD_EVENT, events.c.cause == cause, events.c.id > after_id)
        .order_by(events.c.id)
        .limit(limit)
        .with_for_update()
    )
    if source is not None:
        chosen = chosen.where(events.c.source == source)
    again = (
        update(events)
        .where(events.c.id.in_(chosen.scalar_subquery()))
        .values(
            state="received", leased_by=None, leased_until=0, settled_at=None,
            cause=None, detail=None, cure=None,
        )
        .returning(events.c.id)
    )  # fmt: skip
    return sorted(connection.execute(again).scalars())


def retry_leads(
    connection: Connection, cause: str, after_id: str, limit: int, now: Micros, *, lead_id: str | None
) -> list[str]:
    """The next `limit` dead leads of this cause are due now, as if none of their attempts had failed;
    returns their ids, in order.
    """
    chosen = (
        select(leads.c.id)
        .where(_DEAD_LEAD, leads.c.cause == cause, leads.c.id > after_id)
        .order_by(leads.c.id)
        .limit(limit)
        .with_for_update()
    )
    if lead_id is not None:
        chosen = chosen.where(leads.c.id == lead_id)
    again = (
        update(leads)
        .where(leads.c.id.in_(chosen.scalar_subquery()))
        .values(
            state="due", due_at=now, waiting_since=func.coalesce(leads.c.waiting_since, now),
            leased_by=None, attempts=0, failing_since=None, cause=None, detail=None, cure=None,
            refused="{}", updated_at=now,
        )
        .returning(leads.c.id)
    )  # fmt: skip
    return sorted(connection.execute(again).scalars())
