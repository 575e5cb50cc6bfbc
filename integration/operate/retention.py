"""Retention: what is old and settled is removed in small steps, after its effect is kept elsewhere.

What an update that is removed had come to is first archived with its record, so that it can still be rebuilt.
Events outlive their requests: a late duplicate is still known as one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from integration.core.clock import Clock
from integration.core.logs import log_action
from integration.core.values import MICROS_PER_SECOND, Micros
from integration.lead.record import archived
from integration.store import history, records
from integration.store.engine import Store
from integration.store.isolation import Culprit, cause_of, isolated

log = logging.getLogger(__name__)

BATCH = 200
DAY = 24 * 3600 * MICROS_PER_SECOND
EVENTS_KEPT = 2  # times RETENTION_DAYS: senders retry for days, not for months


class Retention:
    """Prunes a store. Any number may run at once; `step` is short, so it blocks nobody for long."""

    def __init__(self, store: Store, clock: Clock, days: int) -> None:
        self._store = store
        self._clock = clock
        self._period: Micros = days * DAY
        self._after_id = ""

    def step(self) -> bool:
        """Prune one batch. True if there may be more to do at once."""
        before = self._clock() - self._period
        with self._store.read() as connection:
            request_ids = history.old_requests(connection, before, self._after_id, BATCH)
        if request_ids:
            pruned = self._prune(request_ids)
            self._after_id = request_ids[-1]
            if pruned:
                log_action(log, "retention.pruned", "Pruned old requests", requests=pruned)
            return True
        self._after_id = ""
        with self._store.write() as connection:
            gone = history.delete_old_events(connection, before - (EVENTS_KEPT - 1) * self._period, BATCH)
            gone += history.delete_old_attempts(connection, before, BATCH)
        return gone > 0

    def _prune(self, request_ids: list[str]) -> int:
        """Remove those of these requests that are settled; returns how many those were."""
        pruned = 0
        for part in isolated(request_ids, self._prune_once):
            if isinstance(part, Culprit):
                _report_kept(part)
            else:
                pruned += part.result
        return pruned

    def _prune_once(self, request_ids: Sequence[str]) -> int:
        with self._store.write() as connection:
            settled = history.lock_prunable(connection, request_ids)
            if settled:
                removed = history.updates_of_requests(connection, settled)
                theirs = records.lock(connection, removed)
                changed = [archived(record, removed[id]) for id, record in theirs.items()]
                records.save(connection, changed, self._clock())
                history.delete_requests(connection, settled)
            return len(settled)


def _report_kept(culprit: Culprit[str]) -> None:
    cause = cause_of(culprit.error)
    log_action(
        log, "retention.kept", f"An old request stays, as what it led to cannot be kept: {cause.detail}",
        logging.ERROR, id=culprit.item, cause=cause.code, cure=cause.cure,
    )  # fmt: skip
