"""Rebuild: a record's fields are built again from its stored updates, after some of them changed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from integration.core import metrics
from integration.core.clock import Clock
from integration.core.logs import log_action
from integration.core.values import Micros
from integration.lead.record import rebuilt, set_aside
from integration.store import records, updates
from integration.store.engine import Store
from integration.store.isolation import Culprit, cause_of, isolated, one_by_one
from integration.store.wakeup import announce

log = logging.getLogger(__name__)

BATCH = 200


def rebuild_once(store: Store, account: str, clock: Clock) -> int:
    """Rebuild some records that are marked for it; returns how many, 0 when none is left."""
    with store.read() as connection:
        ids = records.to_rebuild(connection, account, BATCH)
    parts = isolated(ids, lambda some: _rebuild(store, clock, some))
    culprits = [part for part in parts if isinstance(part, Culprit)]
    return len(ids) - one_by_one(culprits, lambda culprit: _set_aside(store, culprit, clock()))


def _rebuild(store: Store, clock: Clock, ids: Sequence[str]) -> None:
    with store.write() as connection:
        now = clock()
        marked = records.lock_for_rebuild(connection, ids)
        stored = updates.of_leads(connection, marked.keys())
        records.save(connection, [rebuilt(record, stored[id], now) for id, record in marked.items()], now)
        announce(connection)


def _set_aside(store: Store, culprit: Culprit[str], now: Micros) -> None:
    """A record that cannot be rebuilt is a dead letter; what is known of it stays as it was."""
    id, cause = culprit.item, cause_of(culprit.error)
    with store.write() as connection:
        marked = records.lock_for_rebuild(connection, [id])
        records.save(connection, [set_aside(record, cause, now) for record in marked.values()], now)
    metrics.DEAD.labels(cause.code).inc()
    log_action(log, "lead.dead", cause.detail, logging.ERROR, lead=id, cause=cause.code, cure=cause.cure)
