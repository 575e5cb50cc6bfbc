"""Rebuild: a record's fields are built again from its stored updates, after some of them changed."""

from __future__ import annotations

from integration.core.clock import Clock
from integration.lead.record import rebuilt
from integration.store import records, updates
from integration.store.engine import Store
from integration.store.wakeup import announce

BATCH = 200


def rebuild_once(store: Store, clock: Clock) -> int:
    """Rebuild some records that are marked for it; returns how many, 0 when none is left."""
    with store.read() as connection:
        if not records.anything_to_rebuild(connection):
            return 0
    with store.write() as connection:
        now = clock()
        marked = records.lock_for_rebuild(connection, BATCH)
        stored = updates.of_leads(connection, marked.keys())
        records.save(connection, [rebuilt(record, stored[id], now) for id, record in marked.items()], now)
        announce(connection)
        return len(marked)
