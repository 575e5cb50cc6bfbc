"""Attempts: the calls to HubSpot, as people look at them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from integration.core.values import Micros
from integration.core.words import shown_value
from integration.store.tables import attempts
from integration.store.views.columns import Column, Fit, Kind, View

CARRIED_SHOWN = 50
_MILLISECOND = 1000


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One call to HubSpot. `duration` is in microseconds; `status` None when no answer came."""

    id: str
    started_at: Micros
    duration: int
    status: int | None
    outcome: str
    fields: Mapping[str, Any]
    detail: str | None
    account: str


ATTEMPTS: View[AttemptLine] = View(
    "attempts",
    (
        Column("id", "", lambda attempt: attempt.id),
        Column("started_at", "started", lambda attempt: attempt.started_at, kind=Kind.TIME, fit=Fit.ROW),
        Column(
            "status", "status", lambda attempt: attempt.status, lambda attempt: str(attempt.status or "none"),
            fit=Fit.ROW,
        ),
        Column("outcome", "outcome", lambda attempt: attempt.outcome, fit=Fit.ROW),
        Column(
            "milliseconds", "ms", lambda attempt: attempt.duration / _MILLISECOND,
            lambda attempt: f"{attempt.duration / _MILLISECOND:.0f}", fit=Fit.ROW,
        ),
        Column(
            "fields", "sent", lambda attempt: dict(attempt.fields),
            lambda attempt: shown_value(dict(attempt.fields)) if attempt.fields else "",
        ),
        Column("detail", "detail", lambda attempt: attempt.detail),
        Column("account", "", lambda attempt: attempt.account),
    ),
)  # fmt: skip


def last_attempts(connection: Connection, lead_id: str, limit: int) -> tuple[AttemptLine, ...]:
    """The last attempts of a lead, newest first. By `attempts_by_lead`."""
    last = select(attempts).where(attempts.c.lead_id == lead_id)
    rows = connection.execute(last.order_by(attempts.c.id.desc()).limit(limit))
    return tuple(_attempt_line(row) for row in rows)


def attempts_with(connection: Connection, lead_id: str, event_id: str) -> tuple[AttemptLine, ...]:
    """The first attempts of a lead that carried this event. By `attempts_by_lead`."""
    carried = attempts.c.event_ids.contains(json.dumps(event_id), autoescape=True)
    query = select(attempts).where(attempts.c.lead_id == lead_id, carried)
    rows = connection.execute(query.order_by(attempts.c.id).limit(CARRIED_SHOWN))
    return tuple(_attempt_line(row) for row in rows)


def _attempt_line(row: Row[Any]) -> AttemptLine:
    fields = json.loads(row.fields)
    return AttemptLine(
        row.id, row.started_at, row.duration, row.status, row.outcome, fields, row.detail, row.account
    )
