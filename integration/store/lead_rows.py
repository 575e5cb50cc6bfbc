"""Leads in the store: their documents, and the leases under which they are delivered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from integration.core.values import Cause, Micros
from integration.store.many import one_of
from integration.store.tables import attempts, events, identifiers, leads, updates

LIVE, REPLAYED = 0, 1


@dataclass(frozen=True, slots=True)
class LeadRow:
    """A lead as stored. `document` is its field states as JSON text, `folded` those that pruned updates had
    come to; `attempts` counts the failed ones in a row; `priority` is LIVE or REPLAYED; `creates` allows
    HubSpot to create the lead; `refused` is what HubSpot refused, as JSON text.
    """

    id: str
    state: str
    document: str
    due_at: Micros | None = None
    waiting_since: Micros | None = None
    attempts: int = 0
    failing_since: Micros | None = None
    cause: Cause | None = None
    priority: int = LIVE
    folded: str = "{}"
    creates: bool = False
    refused: str = "{}"


_LEAD_COLUMNS = (
    leads.c.id,
    leads.c.state,
    leads.c.document,
    leads.c.due_at,
    leads.c.waiting_since,
    leads.c.attempts,
    leads.c.failing_since,
    leads.c.cause,
    leads.c.detail,
    leads.c.cure,
    leads.c.priority,
    leads.c.folded,
    leads.c.creates,
    leads.c.refused,
)


def create(connection: Connection, ids: Sequence[str], now: Micros) -> None:
    """New, clean leads without fields."""
    if ids:
        rows = [{"id": id, "state": "clean", "document": "{}", "updated_at": now} for id in ids]
        connection.execute(insert(leads), rows)


def lock(connection: Connection, ids: Collection[str]) -> dict[str, LeadRow]:
    """The leads with these ids, locked until the transaction ends; in id order, against deadlocks."""
    query = select(*_LEAD_COLUMNS).where(one_of(leads.c.id, ids)).order_by(leads.c.id).with_for_update()
    return {row.id: _lead_row(row) for row in connection.execute(query)}


def find(connection: Connection, ids: Collection[str]) -> dict[str, LeadRow]:
    """The leads with these ids as they are at this moment, to look at only: they are not locked."""
    query = select(*_LEAD_COLUMNS).where(one_of(leads.c.id, ids))
    return {row.id: _lead_row(row) for row in connection.execute(query)}


def _lead_row(row: Row[*tuple[Any, ...]]) -> LeadRow:
    return LeadRow(
        id=row.id,
        state=row.state,
        document=row.document,
        due_at=row.due_at,
        waiting_since=row.waiting_since,
        attempts=row.attempts,
        failing_since=row.failing_since,
        cause=Cause(row.cause, row.detail or "", row.cure or "") if row.cause else None,
        priority=row.priority,
        folded=row.folded,
        creates=bool(row.creates),
        refused=row.refused,
    )


_SAVE = (
    update(leads)
    .where(leads.c.id == bindparam("lead_id"))
    .values(
        state=bindparam("new_state"),
        document=bindparam("new_document"),
        due_at=bindparam("new_due_at"),
        waiting_since=bindparam("new_waiting_since"),
        attempts=bindparam("new_attempts"),
        failing_since=bindparam("new_failing_since"),
        cause=bindparam("new_cause"),
        detail=bindparam("new_detail"),
        cure=bindparam("new_cure"),
        priority=bindparam("new_priority"),
        folded=bindparam("new_folded"),
        creates=bindparam("new_creates"),
        refused=bindparam("new_refused"),
        updated_at=bindparam("now"),
    )
)


def save(connection: Connection, rows: Sequence[LeadRow], now: Micros) -> None:
    """Write these leads back; they must have been locked in the same transaction."""
    if rows:
        connection.execute(_SAVE, [_saved(row, now) for row in rows])


def _saved(row: LeadRow, now: Micros) -> dict[str, object]:
    return {
        "lead_id": row.id,
        "new_state": row.state,
        "new_document": row.document,
        "new_due_at": row.due_at,
        "new_waiting_since": row.waiting_since,
        "new_attempts": row.attempts,
        "new_failing_since": row.failing_since,
        "new_cause": row.cause.code if row.cause else None,
        "new_detail": row.cause.detail if row.cause else None,
        "new_cure": row.cause.cure if row.cause else None,
        "new_priority": row.priority,
        "new_folded": row.folded,
        "new_creates": int(row.creates),
        "new_refused": row.refused,
        "now": now,
    }


def claim_due(connection: Connection, worker: str, now: Micros, until: Micros, limit: int) -> list[LeadRow]:
    """Lease up to `limit` due leads: live ones before replayed ones, then those that are due longest."""
    free = (
        select(leads.c.id)
        .where(leads.c.state == "due", leads.c.due_at <= now)
        .order_by(leads.c.priority, leads.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    claim = (
        update(leads)
        .where(leads.c.id.in_(free.scalar_subquery()))
        .values(state="leased", leased_by=worker, leased_until=until)
        .returning(*_LEAD_COLUMNS)
    )
    return [_lead_row(row) for row in connection.execute(claim)]


def still_leased(connection: Connection, worker: str, ids: Collection[str]) -> dict[str, LeadRow]:
    """Those of these leads that this worker still holds, locked until the transaction ends."""
    query = (
        select(*_LEAD_COLUMNS)
        .where(one_of(leads.c.id, ids), leads.c.state == "leased", leads.c.leased_by == worker)
        .order_by(leads.c.id)
        .with_for_update()
    )
    return {row.id: _lead_row(row) for row in connection.execute(query)}


def renew_leases(connection: Connection, worker: str, ids: Collection[str], until: Micros) -> None:
    """Keep these leads for longer, as far as this worker still holds them."""
    held = update(leads).where(
        one_of(leads.c.id, ids), leads.c.state == "leased", leads.c.leased_by == worker
    )
    connection.execute(held.values(leased_until=until))


def recover_expired(connection: Connection, now: Micros) -> int:
    """Leads whose worker went silent are due again; returns how many."""
    expired = update(leads).where(leads.c.state == "leased", leads.c.leased_until < now)
    return connection.execute(expired.values(state="due", due_at=now, leased_by=None)).rowcount


def next_due_at(connection: Connection) -> Micros | None:
    """When the next lead will be due."""
    return connection.execute(select(func.min(leads.c.due_at)).where(leads.c.state == "due")).scalar()


def anything_due(connection: Connection, now: Micros) -> bool:
    """Whether a lead is due now: cheap to ask before taking the right to write."""
    query = select(leads.c.id).where(leads.c.state == "due", leads.c.due_at <= now).limit(1)
    return connection.execute(query).first() is not None


def release(connection: Connection, worker: str, now: Micros) -> None:
    """Give back at once what this worker holds."""
    held = update(leads).where(leads.c.state == "leased", leads.c.leased_by == worker)
    connection.execute(held.values(state="due", due_at=now, leased_by=None))


def leased(connection: Connection, ids: Collection[str]) -> set[str]:
    """Those of these leads that a worker is delivering now."""
    query = select(leads.c.id).where(one_of(leads.c.id, ids), leads.c.state == "leased")
    return set(connection.execute(query).scalars())


def absorb(connection: Connection, survivors: Mapping[str, str]) -> bool:
    """What belongs to a lead belongs to its survivor from now on, by lead id, and the lead is gone.

    Both must be locked; their documents are the caller's to join. False if one of them got another guid just
    now: then the transaction has to be given up.
    """
    rows = [{"gone": id, "survivor": survivor} for id, survivor in sorted(survivors.items())]
    to_rebuild = select(leads.c.id).where(one_of(leads.c.id, survivors), leads.c.refold == 1)
    mark_for_refold(connection, {survivors[id] for id in connection.execute(to_rebuild).scalars()})
    for table in (identifiers, updates, events, attempts):
        moved = update(table).where(table.c.lead_id == bindparam("gone"))
        try:
            connection.execute(moved.values(lead_id=bindparam("survivor")), rows)
        except IntegrityError:
            return False
    connection.execute(delete(leads).where(one_of(leads.c.id, survivors)))
    return True


def mark_for_refold(connection: Connection, ids: Collection[str]) -> int:
    """The documents of these leads are to be rebuilt from their updates; returns how many were not marked."""
    if not ids:
        return 0
    chosen = one_of(leads.c.id, ids)
    # Locked in id order like everywhere: an UPDATE alone may lock in any order, and wait in a circle.
    connection.execute(select(leads.c.id).where(chosen).order_by(leads.c.id).with_for_update()).all()
    return connection.execute(update(leads).where(chosen, leads.c.refold == 0).values(refold=1)).rowcount


def to_refold(connection: Connection, limit: int) -> list[str]:
    """Up to `limit` leads whose documents are to be rebuilt and that nobody holds, the oldest first."""
    marked = select(leads.c.id).where(leads.c.refold == 1).order_by(leads.c.id).limit(limit)
    return list(connection.execute(marked.with_for_update(skip_locked=True)).scalars())


def lock_for_refold(connection: Connection, ids: Collection[str]) -> dict[str, LeadRow]:
    """Those of these leads whose documents are to be rebuilt: locked, and no longer marked afterwards."""
    free = (
        select(leads.c.id).where(one_of(leads.c.id, ids), leads.c.refold == 1).order_by(leads.c.id)
        .with_for_update(skip_locked=True)
    )  # fmt: skip
    taken = (
        update(leads).where(leads.c.id.in_(free.scalar_subquery())).values(refold=0).returning(*_LEAD_COLUMNS)
    )
    return {row.id: _lead_row(row) for row in connection.execute(taken)}


def set_aside(connection: Connection, id: str, cause: Cause, now: Micros) -> None:
    """The lead is a dead letter, whatever it was; its document is not to be rebuilt any more."""
    dead = update(leads).where(leads.c.id == id)
    connection.execute(
        dead.values(
            state="dead", refold=0, due_at=None, waiting_since=None, leased_by=None,
            failing_since=func.coalesce(leads.c.failing_since, now), updated_at=now,
            cause=cause.code, detail=cause.detail, cure=cause.cure,
        )
    )  # fmt: skip
