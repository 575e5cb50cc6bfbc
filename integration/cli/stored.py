"""What the commands that look share: a connection to read with, and stored things as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from integration.cli.output import json_time
from integration.core.settings import Settings
from integration.core.values import Cause, FieldChange
from integration.store.engine import Store
from integration.store.schema import require_current
from integration.store.views.event_views import EventLine, RejectedLine


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """The store. Raises SchemaBehindError, StoreUnavailableError."""
    store = Store(settings.database_url)
    try:
        require_current(store)
        yield store
    finally:
        store.dispose()


@contextmanager
def reading(settings: Settings) -> Iterator[Connection]:
    """A connection to read with. Raises SchemaBehindError, StoreUnavailableError."""
    with opened(settings) as store, store.read() as connection:
        yield connection


def line_as_json(line: EventLine | RejectedLine) -> dict[str, Any]:
    """A line of a listing."""
    common = {"id": line.id, "source": line.source, "received_at": json_time(line.received_at)}
    if isinstance(line, RejectedLine):
        return {**common, "client": line.client, "reason": line.reason, "detail": line.detail}
    return {
        **common,
        "occurred_at": json_time(line.occurred_at),
        "type": line.type,
        "state": line.state,
        "source_event_id": line.dedup_key,
        "lead": dict(line.lead),
        "cause": cause_as_json(line.cause),
    }


def cause_as_json(cause: Cause | None) -> dict[str, str] | None:
    """Why something was set aside."""
    return {"code": cause.code, "detail": cause.detail, "cure": cause.cure} if cause else None


def change_as_json(change: FieldChange) -> dict[str, Any]:
    """A field that an event asks to change."""
    return {
        "field": change.field,
        "value": change.value,
        "write": change.write,
        "place": change.place,
        "rule": change.rule,
    }
