"""Refold: a lead's document is built anew from its stored updates, after some of them changed."""

from __future__ import annotations

from collections.abc import Iterable

from integration.core.clock import Clock
from integration.core.values import Update
from integration.lead.merge import LeadState, from_json, refold
from integration.pipeline.bundles import rebuilt
from integration.store import lead_rows, updates
from integration.store.engine import Store
from integration.store.lead_rows import LeadRow
from integration.store.wakeup import announce

BATCH = 200


def refold_once(store: Store, clock: Clock) -> int:
    """Rebuild the documents of some leads that are marked for it; returns how many, 0 when none is left."""
    with store.read() as connection:
        if not lead_rows.anything_to_refold(connection):
            return 0
    with store.write() as connection:
        now = clock()
        rows = lead_rows.lock_for_refold(connection, BATCH)
        stored = updates.of_leads(connection, rows.keys())
        saved = [rebuilt(row, refolded(row, stored[id]), now) for id, row in rows.items()]
        lead_rows.save(connection, saved, now)
        announce(connection)
        return len(rows)


def refolded(row: LeadRow, stored: Iterable[Update]) -> LeadState:
    """The state of a lead, built anew from these updates and what pruned ones had come to."""
    return refold(from_json(row.document), from_json(row.folded), stored)
