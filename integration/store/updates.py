"""Updates as stored: what each event asked for. A lead's document can always be rebuilt from them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Row, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from integration.core.values import FieldChange, Update
from integration.store.many import one_of
from integration.store.tables import updates


def put(connection: Connection, account: str, items: Sequence[tuple[str, Update]]) -> None:
    """Store updates of the account, each with its lead's id; an event's earlier update is replaced."""
    if not items:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insertion = dialect.insert(updates)
    replaced = {
        column.name: insertion.excluded[column.name] for column in updates.c if not column.primary_key
    }
    upsert = insertion.on_conflict_do_update(index_elements=[updates.c.event_id], set_=replaced)
    connection.execute(upsert, [_row(account, lead_id, update) for lead_id, update in items])


def remove(connection: Connection, event_ids: Collection[str]) -> None:
    """Forget what these events asked for."""
    if event_ids:
        connection.execute(delete(updates).where(one_of(updates.c.event_id, event_ids)))


def of_events(connection: Connection, event_ids: Collection[str]) -> dict[str, tuple[str, Update]]:
    """By event id: the lead's id and the update."""
    query = select(updates).where(one_of(updates.c.event_id, event_ids))
    return {row.event_id: (row.lead_id, update_of(row)) for row in connection.execute(query)}


def of_leads(connection: Connection, lead_ids: Collection[str]) -> Mapping[str, list[Update]]:
    """By lead id: all its stored updates."""
    found: dict[str, list[Update]] = {id: [] for id in lead_ids}
    for row in connection.execute(select(updates).where(one_of(updates.c.lead_id, lead_ids))):
        found[row.lead_id].append(update_of(row))
    return found


def _row(account: str, lead_id: str, update: Update) -> dict[str, object]:
    occurred_at, clock_key = update.clock
    return {
        "event_id": update.event_id,
        "lead_id": lead_id,
        "occurred_at": occurred_at,
        "clock_key": clock_key,
        "changes": json.dumps([_as_dict(change) for change in update.changes], ensure_ascii=False),
        "mapping_version": update.mapping_version,
        "account": account,
    }


def _as_dict(change: FieldChange) -> dict[str, object]:
    # dataclasses.asdict copies deeply, and cost a tenth of a translation.
    return {name: getattr(change, name) for name in _CHANGE_FIELDS}


_CHANGE_FIELDS = tuple(field.name for field in fields(FieldChange))


def update_of(row: Row[*tuple[Any, ...]]) -> Update:
    """A row of the table as a record."""
    changes = tuple(FieldChange(**change) for change in json.loads(row.changes))
    return Update(row.event_id, (row.occurred_at, row.clock_key), changes, row.mapping_version)
