"""What is told of each lead that was sent or could not be: a line in the log, and metrics."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from integration.core import metrics
from integration.core.logs import log_action
from integration.core.values import MICROS_PER_SECOND, Attempt, Cause, Find, Micros, Operation, fields_of
from integration.lead.record import Record, RecordState

log = logging.getLogger(__name__)


def report(attempt: Attempt, waiting_since: Micros | None, row: Record | None, now: Micros) -> None:
    """An attempt that is written down; `row` is the lead as it is now, None if its lease had run out."""
    outcome, operation = attempt.outcome, attempt.operation
    fields = fields_of(operation)
    facts: dict[str, object] = {
        "lead": operation.record_id,
        "ids": sorted({event.partition("-")[0] for event in operation.event_ids}),
        "status": outcome.status,
        "fields": len(fields),
        "ms": round(attempt.duration / 1000),
    }
    if outcome.kind == "done":
        if waiting_since is not None and fields:
            metrics.LAG_SECONDS.observe((now - waiting_since) / MICROS_PER_SECOND)
        _report_done(operation, facts)
        return
    cause = (row.cause if row is not None else None) or outcome.cause or Cause("unknown", "", "")
    facts |= {"cause": cause.code, "cure": cause.cure}
    if row is not None and row.state is RecordState.DEAD:
        metrics.DEAD.labels(cause.code).inc()
        log_action(log, "lead.dead", cause.detail, logging.ERROR, **facts)
    elif outcome.pauses_all:
        log_action(log, "delivery.paused", cause.detail, logging.ERROR, **facts)
    else:
        log_action(log, "lead.retry", cause.detail, logging.WARNING, **facts)


def _report_done(operation: Operation, facts: Mapping[str, object]) -> None:
    if isinstance(operation, Find):
        log_action(log, "lead.found", "HubSpot knows the lead", **facts)
    else:
        log_action(log, "lead.delivered", "Delivered", **facts)


def report_unsent(row: Record, cause: Cause) -> None:
    """A lead for which nothing can be sent now."""
    facts = {"lead": row.id, "cause": cause.code, "cure": cause.cure}
    if row.state is RecordState.DEAD:
        metrics.DEAD.labels(cause.code).inc()
        log_action(log, "lead.dead", cause.detail, logging.ERROR, **facts)
    else:
        log_action(log, "lead.retry", cause.detail, logging.WARNING, **facts)
