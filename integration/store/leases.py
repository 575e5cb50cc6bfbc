"""Leases: rows that one worker takes for a while, with others taking theirs beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, select, update

from integration.core.values import Micros


def lease(
    connection: Connection,
    key: Column[str],
    free: Sequence[ColumnElement[bool]],
    order: Column[Any],
    *,
    worker: str,
    until: Micros,
    limit: int,
) -> list[str]:
    """Take up to `limit` rows for which all of `free` holds, in this order; returns their keys.

    The table of `key` has `leased_by` and `leased_until`. Rows that another worker is taking at this moment
    are passed over.
    """
    table = key.table
    chosen = select(key).where(*free).order_by(order).limit(limit).with_for_update(skip_locked=True)
    taken = update(table).where(key.in_(chosen.scalar_subquery()))
    leased = taken.values(leased_by=worker, leased_until=until).returning(key)
    return list(connection.execute(leased).scalars())
