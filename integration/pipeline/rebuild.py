"""Refold: a lead's document is built anew from its stored updates, after some of them changed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from integration.core import metrics
from integration.core.clock import Clock
from integration.core.logs import log_action
from integration.core.values import Micros, Update
from integration.lead.merge import LeadState, from_json, refold
from integration.pipeline.bundles import rebuilt
from integration.store import lead_rows, updates
from integration.store.engine import Store
from integration.store.isolation import Culprit, cause_of, isolated, one_by_one
from integration.store.lead_rows import LeadRow
from integration.store.wakeup import announce

log = logging.getLogger(__name__)

BATCH = 200


def refold_once(store: Store, clock: Clock) -> int:
    """Rebuild the documents of some leads that are marked for it; returns how many, 0 when none is left."""
    with store.read() as connection:
        ids = lead_rows.to_refold(connection, BATCH)
    parts = isolated(ids, lambda some: _rebuild(store, clock, some))
    culprits = [part for part in parts if isinstance(part, Culprit)]
    return len(ids) - one_by_one(culprits, lambda culprit: _set_aside(store, culprit, clock()))


def _rebuild(store: Store, clock: Clock, ids: Sequence[str]) -> None:
    with store.write() as connection:
        now = clock()
        rows = lead_rows.lock_for_refold(connection, ids)
        stored = updates.of_leads(connection, rows.keys())
        saved = [rebuilt(row, refolded(row, stored[id]), now) for id, row in rows.items()]
        lead_rows.save(connection, saved, now)
        announce(connection)


def _set_aside(store: Store, culprit: Culprit[str], now: Micros) -> None:
    """A lead that cannot be rebuilt is a dead letter; what is known of it stays as it was."""
    id, cause = culprit.item, cause_of(culprit.error)
    with store.write() as connection:
        lead_rows.set_aside(connection, id, cause, now)
    metrics.DEAD.labels(cause.code).inc()
    log_action(log, "lead.dead", cause.detail, logging.ERROR, lead=id, cause=cause.code, cure=cause.cure)


def refolded(row: LeadRow, stored: Iterable[Update]) -> LeadState:
    """The state of a lead, built anew from these updates and what pruned ones had come to."""
    return refold(from_json(row.document), from_json(row.folded), stored)
