"""Attempts: one row for each HTTP call to HubSpot and its answer."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection, insert

from integration.core.clock import new_id
from integration.core.values import Attempt, fields_of
from integration.store.tables import attempts


def add_attempts(connection: Connection, done: Sequence[Attempt]) -> None:
    """Write attempts down."""
    if done:
        connection.execute(insert(attempts), [_row(attempt) for attempt in done])


def _row(attempt: Attempt) -> dict[str, object]:
    outcome, operation = attempt.outcome, attempt.operation
    return {
        "id": new_id(attempt.started_at),
        "lead_id": operation.record_id,
        "started_at": attempt.started_at,
        "duration": attempt.duration,
        "status": outcome.status,
        "outcome": outcome.kind,
        "fields": json.dumps(dict(fields_of(operation))),
        "event_ids": json.dumps(list(operation.event_ids)),
        "cause": outcome.cause.code if outcome.cause else None,
        "detail": outcome.cause.detail if outcome.cause else None,
    }
