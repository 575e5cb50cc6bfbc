"""Events as people look at them: newest first, a page at a time, and what one of them asked for.

Every query goes down an index from a given id (ids sort by time), so a page costs the same with millions
of rows as with few. The index stands beside each query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from integration.core.clock import first_id_at
from integration.core.values import Cause, EventState, FieldChange, Micros
from integration.core.words import name_of, told_value
from integration.store import updates
from integration.store.account_keys import key_of
from integration.store.identifiers import identifiers_of
from integration.store.tables import events, in_state, is_settled, leads, requests
from integration.store.views.attempt_views import AttemptLine, attempts_with
from integration.store.views.columns import Column, Fit, Kind, View


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event in a listing. `received_at` is its request's; `lead` its lead's identifiers by kind."""

    id: str
    source: str
    type: str | None
    occurred_at: Micros | None
    received_at: Micros
    state: EventState
    dedup_key: str
    lead: Mapping[str, str]
    cause: Cause | None
    account: str
    lead_id: str | None = None


@dataclass(frozen=True, slots=True)
class EventDetails:
    """One event whole: what it asked for, and the attempts that carried it. `lead_state` None: no lead."""

    line: EventLine
    mapping_version: str | None
    changes: tuple[FieldChange, ...]
    lead_state: str | None
    attempts: tuple[AttemptLine, ...]


class EventFilter(TypedDict, total=False):
    """Which events: all conditions that are there and not None. Arrived from `since` to before `until`."""

    source: str | None
    type: str | None
    state: EventState | None
    cause: str | None
    lead_id: str | None
    since: Micros | None
    until: Micros | None


def cause_as_json(cause: Cause | None) -> dict[str, str] | None:
    """Why something was set aside."""
    return {"code": cause.code, "detail": cause.detail, "cure": cause.cure} if cause else None


_TYPE: Column[EventLine] = Column("type", "type", lambda line: line.type)
_STATE: Column[EventLine] = Column("state", "state", lambda line: line.state, kind=Kind.STATE, fit=Fit.ROW)
_CAUSE: Column[EventLine] = Column(
    "cause", "cause",
    lambda line: cause_as_json(line.cause), lambda line: line.cause.detail if line.cause else "",
)  # fmt: skip

EVENTS: View[EventLine] = View(
    "events",
    (
        Column("id", "id", lambda line: line.id, fit=Fit.ROW),
        Column("received_at", "received", lambda line: line.received_at, kind=Kind.TIME, fit=Fit.ROW),
        Column("source", "source", lambda line: line.source, fit=Fit.ROW),
        _TYPE,
        _STATE,
        Column("lead", "lead", lambda line: dict(line.lead), lambda line: name_of(line.lead)),
        Column("lead_id", "", lambda line: line.lead_id),
        _CAUSE,
        Column("occurred_at", "", lambda line: line.occurred_at, kind=Kind.TIME),
        Column("source_event_id", "", lambda line: line.dedup_key),
        Column("account", "", lambda line: line.account),
    ),
)

EVENT: View[EventLine] = View(
    "event",
    (
        _TYPE,
        Column("occurred_at", "happened", lambda line: line.occurred_at, kind=Kind.TIME),
        Column("source_event_id", "source's id", lambda line: line.dedup_key),
        _STATE,
        Column(
            "lead", "lead", lambda line: dict(line.lead),
            lambda line: ", ".join(f"{kind}={value}" for kind, value in line.lead.items()),
        ),
        _CAUSE,
        Column("", "cure", lambda line: line.cause.cure if line.cause else None),
    ),
)  # fmt: skip

CHANGES: View[FieldChange] = View(
    "changes",
    (
        Column("field", "field", lambda change: change.field, fit=Fit.ROW),
        Column("value", "value", lambda change: change.value, lambda change: told_value(change.value)),
        Column("write", "write", lambda change: change.write),
        Column("place", "mapping", lambda change: change.place),
        Column("rule", "", lambda change: change.rule),
    ),
)


def list_events(
    connection: Connection,
    account: str,
    *,
    limit: int,
    before: str | None = None,
    **wanted: Unpack[EventFilter],
) -> list[EventLine]:
    """The account's newest events of these that are older than the id `before`.

    By `events_by_lead`, `events_dead_of_account` (a cause), `events_received`, `events_settled`,
    `events_by_type`, `events_by_source`, or the primary key. What narrows less is asked of the rows that the
    index gives.
    """
    query = _EVENTS.where(*_conditions(account, wanted), *_id_range(wanted, before))
    return _event_lines(connection, query.order_by(events.c.id.desc()).limit(limit))


def find_event(connection: Connection, account: str, id: str) -> EventDetails | None:
    """The account's event with this id; None if it has none. By primary keys, and `attempts_by_lead`."""
    lines = _event_lines(connection, _events_of(account).where(events.c.id == id))
    if not lines:
        return None
    about = connection.execute(
        select(events.c.mapping_version, events.c.lead_id, leads.c.state)
        .outerjoin(leads, leads.c.id == events.c.lead_id)
        .where(events.c.id == id)
    ).one()
    asked = updates.of_events(connection, [id]).get(id)
    changes = asked[1].changes if asked else ()
    carried = attempts_with(connection, about.lead_id, id) if about.lead_id else ()
    return EventDetails(lines[0], about.mapping_version, changes, about.state, carried)


def events_of_request(connection: Connection, account: str, request_id: str) -> list[EventLine]:
    """The events that a request brought, in its order. By primary key: their ids begin with the request's."""
    after_dash = chr(ord("-") + 1)
    mine = _events_of(account)
    query = mine.where(events.c.id > f"{request_id}-", events.c.id < f"{request_id}{after_dash}")
    return _event_lines(connection, query.order_by(events.c.position))


def _conditions(account: str, wanted: EventFilter) -> list[ColumnElement[bool]]:
    """One condition leads, by an index that has its rows in the order of ids; no other can lead astray."""
    leading = _leading(wanted)
    columns = ((name, events.c[name], wanted.get(name)) for name in ("lead_id", "cause", "type", "source"))
    of_account = events.c.account if leading == "cause" else func.coalesce(events.c.account, "")
    conditions = [
        of_account == account,
        *(
            column == value if name == leading else func.coalesce(column, "") == value
            for name, column, value in columns
            if value is not None
        ),
    ]
    state = wanted.get("state")
    if state is None:
        return conditions
    if leading not in {"state", "cause"}:
        return [*conditions, func.coalesce(events.c.state, "") == state.value]
    settled = [is_settled()] if leading == "state" and state is not EventState.RECEIVED else []
    return [*conditions, in_state(events, state), *settled]


def _leading(wanted: EventFilter) -> str:
    """The condition that leaves the fewest rows, as far as can be said beforehand."""
    few = wanted.get("state") in _FEW
    ranked = (
        ("lead_id", "cause", "state", "type", "source") if few else ("lead_id", "type", "source", "state")
    )
    return next((name for name in ranked if wanted.get(name) is not None), "")


def _id_range(wanted: EventFilter, before: str | None) -> list[ColumnElement[bool]]:
    since, until = wanted.get("since"), wanted.get("until")
    ends = [before] if before is not None else []
    ends += [first_id_at(until)] if until is not None else []
    begin = [events.c.id >= first_id_at(since)] if since is not None else []
    return [*(events.c.id < end for end in ends), *begin]


_FEW = (EventState.RECEIVED, EventState.FETCHING, EventState.DEAD)

_EVENTS: Select[Any] = select(
    events.c.id,
    events.c.source,
    events.c.type,
    events.c.occurred_at,
    events.c.state,
    events.c.dedup_key,
    events.c.account,
    events.c.lead_id,
    events.c.cause,
    events.c.detail,
    events.c.cure,
    requests.c.received_at,
).join(requests, requests.c.id == events.c.request_id)


def _events_of(account: str) -> Select[Any]:
    return _EVENTS.where(events.c.account == account)


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
        state=EventState(row.state),
        dedup_key=key_of(row.account, row.dedup_key),
        account=row.account,
        lead=lead,
        lead_id=row.lead_id,
        cause=Cause(row.cause, row.detail or "", row.cure or "") if row.cause else None,
    )
