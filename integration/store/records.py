"""Records in the store: the one place where rows become records and back, and the leases under which they are
delivered. Every record is of the kind lead today, so its table is `leads`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from integration.core.values import Cause, Micros
from integration.lead.record import Priority, Record, RecordState
from integration.store.documents import StoredFields, fields_text, read_refusals, refusals_text
from integration.store.many import one_of
from integration.store.tables import attempts, events, identifiers, in_state, leads, updates

_COLUMNS = tuple(
    leads.c[name]
    for name in (
        "account", "id", "state", "document", "folded", "due_at", "waiting_since", "attempts",
        "failing_since", "cause", "detail", "cure", "priority", "creates", "refused",
    )
)  # fmt: skip


def record_of(row: Row[*tuple[Any, ...]]) -> Record:
    """A row with the columns of a record as a record."""
    return Record(
        account=row.account,
        id=row.id,
        state=RecordState(row.state),
        fields=StoredFields(row.document),
        archived=StoredFields(row.folded),
        due_at=row.due_at,
        waiting_since=row.waiting_since,
        attempts=row.attempts,
        failing_since=row.failing_since,
        cause=Cause(row.cause, row.detail or "", row.cure or "") if row.cause else None,
        priority=Priority(row.priority),
        creates=bool(row.creates),
        refused=read_refusals(row.refused),
    )


def _row_of(record: Record, now: Micros) -> dict[str, object]:
    """A record as the values of its row, but for the lease: each column's name with `new_` before it."""
    cause = record.cause
    return {
        "new_account": record.account,
        "new_id": record.id,
        "new_state": record.state.value,
        "new_document": fields_text(record.fields),
        "new_folded": fields_text(record.archived),
        "new_due_at": record.due_at,
        "new_waiting_since": record.waiting_since,
        "new_attempts": record.attempts,
        "new_failing_since": record.failing_since,
        "new_cause": cause.code if cause else None,
        "new_detail": cause.detail if cause else None,
        "new_cure": cause.cure if cause else None,
        "new_priority": record.priority.value,
        "new_creates": int(record.creates),
        "new_refused": refusals_text(record.refused),
        "new_updated_at": now,
    }


_WRITTEN: dict[str, Any] = {
    column.name: bindparam(f"new_{column.name}") for column in (*_COLUMNS, leads.c.updated_at)
}
_ADD = insert(leads).values(_WRITTEN)
_SAVE = (
    update(leads)
    .where(leads.c.id == bindparam("new_id"))
    .values({name: value for name, value in _WRITTEN.items() if name not in {"id", "account"}})
)


def add(connection: Connection, new: Sequence[Record], now: Micros) -> None:
    """Store records that are new."""
    if new:
        connection.execute(_ADD, [_row_of(record, now) for record in new])


def save(connection: Connection, changed: Sequence[Record], now: Micros) -> None:
    """Write these records back; they must have been locked in the same transaction."""
    if changed:
        connection.execute(_SAVE, [_row_of(record, now) for record in changed])


def lock(connection: Connection, ids: Collection[str]) -> dict[str, Record]:
    """The leads with these ids, locked until the transaction ends; in id order, against deadlocks."""
    query = select(*_COLUMNS).where(one_of(leads.c.id, ids)).order_by(leads.c.id).with_for_update()
    return {row.id: record_of(row) for row in connection.execute(query)}


def find(connection: Connection, ids: Collection[str]) -> dict[str, Record]:
    """The leads with these ids as they are at this moment, to look at only: they are not locked."""
    query = select(*_COLUMNS).where(one_of(leads.c.id, ids))
    return {row.id: record_of(row) for row in connection.execute(query)}


def claim_due(
    connection: Connection, account: str, worker: str, now: Micros, until: Micros, *, limit: int
) -> list[Record]:
    """Lease up to `limit` due leads of the account: live ones before replayed ones, then by how long."""
    free = (
        select(leads.c.id)
        .where(in_state(leads, "due"), leads.c.account == account, leads.c.due_at <= now)
        .order_by(leads.c.priority, leads.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    claim = (
        update(leads)
        .where(leads.c.id.in_(free.scalar_subquery()))
        .values(state="leased", leased_by=worker, leased_until=until)
        .returning(*_COLUMNS)
    )
    return [record_of(row) for row in connection.execute(claim)]


def still_leased(connection: Connection, worker: str, ids: Collection[str]) -> dict[str, Record]:
    """Those of these leads that this worker still holds, locked until the transaction ends."""
    query = (
        select(*_COLUMNS)
        .where(one_of(leads.c.id, ids), leads.c.state == "leased", leads.c.leased_by == worker)
        .order_by(leads.c.id)
        .with_for_update()
    )
    return {row.id: record_of(row) for row in connection.execute(query)}


def renew_leases(connection: Connection, worker: str, ids: Collection[str], until: Micros) -> None:
    """Keep these leads for longer, as far as this worker still holds them."""
    held = update(leads).where(
        one_of(leads.c.id, ids), leads.c.state == "leased", leads.c.leased_by == worker
    )
    connection.execute(held.values(leased_until=until))


def recover_expired(connection: Connection, account: str, now: Micros) -> int:
    """Leads of the account whose worker went silent are due again; returns how many."""
    expired = update(leads).where(
        in_state(leads, "leased"), leads.c.leased_until < now, leads.c.account == account
    )
    return connection.execute(expired.values(state="due", due_at=now, leased_by=None)).rowcount


def next_due_at(connection: Connection, account: str) -> Micros | None:
    """When the account's next lead will be due: one step into `leads_due_of_account` for each priority."""
    first = [
        select(func.min(leads.c.due_at)).where(
            in_state(leads, "due"), leads.c.account == account, leads.c.priority == priority.value
        )
        for priority in Priority
    ]
    found = connection.execute(select(*(query.scalar_subquery() for query in first))).one()
    return min((at for at in found if at is not None), default=None)


def release(connection: Connection, account: str, worker: str, now: Micros) -> None:
    """Give back at once what this worker holds of the account."""
    held = update(leads).where(
        in_state(leads, "leased"), leads.c.leased_by == worker, leads.c.account == account
    )
    connection.execute(held.values(state="due", due_at=now, leased_by=None))


def absorb(connection: Connection, survivors: Mapping[str, str]) -> bool:
    """What belongs to a lead belongs to its survivor from now on, by lead id, and the lead is gone.

    Both must be locked; their documents are the caller's to join. False if one of them got another guid just
    now: then the transaction has to be given up.
    """
    rows = [{"gone": id, "survivor": survivor} for id, survivor in sorted(survivors.items())]
    to_rebuild = select(leads.c.id).where(one_of(leads.c.id, survivors), leads.c.refold == 1)
    mark_for_rebuild(connection, {survivors[id] for id in connection.execute(to_rebuild).scalars()})
    for table in (identifiers, updates, events, attempts):
        moved = update(table).where(table.c.lead_id == bindparam("gone"))
        try:
            connection.execute(moved.values(lead_id=bindparam("survivor")), rows)
        except IntegrityError:
            return False
    connection.execute(delete(leads).where(one_of(leads.c.id, survivors)))
    return True


def mark_for_rebuild(connection: Connection, ids: Collection[str]) -> int:
    """The documents of these leads are to be rebuilt from their updates; returns how many were not marked."""
    if not ids:
        return 0
    chosen = one_of(leads.c.id, ids)
    # Locked in id order like everywhere: an UPDATE alone may lock in any order, and wait in a circle.
    connection.execute(select(leads.c.id).where(chosen).order_by(leads.c.id).with_for_update()).all()
    return connection.execute(update(leads).where(chosen, leads.c.refold == 0).values(refold=1)).rowcount


def to_rebuild(connection: Connection, account: str, limit: int) -> list[str]:
    """Up to `limit` leads of the account that are to be rebuilt and that nobody holds, the oldest first."""
    mine = (leads.c.refold == 1, leads.c.account == account)
    marked = select(leads.c.id).where(*mine).order_by(leads.c.id).limit(limit)
    return list(connection.execute(marked.with_for_update(skip_locked=True)).scalars())


def lock_for_rebuild(connection: Connection, ids: Collection[str]) -> dict[str, Record]:
    """Those of these leads that are to be rebuilt: locked, and no longer marked afterwards."""
    free = (
        select(leads.c.id).where(one_of(leads.c.id, ids), leads.c.refold == 1).order_by(leads.c.id)
        .with_for_update(skip_locked=True)
    )  # fmt: skip
    taken = update(leads).where(leads.c.id.in_(free.scalar_subquery())).values(refold=0).returning(*_COLUMNS)
    return {row.id: record_of(row) for row in connection.execute(taken)}
