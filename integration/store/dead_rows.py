"""Dead letters: counting events and leads that wait for a person, and taking them up again.

All by the partial indexes `events_dead_of_account` and `leads_dead_of_account` (account, cause, id), which
hold only what is dead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sqlalchemy import Connection, Table, func, select, update

from integration.core.values import Micros
from integration.store.tables import events, in_state, leads

Kind = Literal["event", "lead"]

_DEAD_EVENT = in_state(events, "dead")
_DEAD_LEAD = in_state(leads, "dead")


def count_dead_events(
    connection: Connection, account: str, *, cause: str | None, source: str | None
) -> dict[str, int]:
    """How many dead events the account has, by cause; of one source or cause if given."""
    return _count_by_cause(connection, events, account, {"cause": cause, "source": source})


def count_dead_leads(
    connection: Connection, account: str, *, cause: str | None, lead_id: str | None
) -> dict[str, int]:
    """How many dead leads the account has, by cause; of one cause, or only this lead, if given."""
    return _count_by_cause(connection, leads, account, {"cause": cause, "id": lead_id})


def retry_events(
    connection: Connection, account: str, cause: str, after_id: str, limit: int, *, source: str | None
) -> list[str]:
    """The next `limit` dead events of this cause wait for translation again; returns their ids, in order."""
    chosen = (
        select(events.c.id)
        .where(_DEAD_EVENT, events.c.account == account, events.c.cause == cause, events.c.id > after_id)
        .order_by(events.c.id)
        .limit(limit)
        .with_for_update()
    )
    if source is not None:
        chosen = chosen.where(events.c.source == source)
    again = (
        update(events)
        .where(events.c.id.in_(chosen.scalar_subquery()))
        .values(
            state="received", leased_by=None, leased_until=0, settled_at=None,
            cause=None, detail=None, cure=None,
        )
        .returning(events.c.id)
    )  # fmt: skip
    return sorted(connection.execute(again).scalars())


def retry_leads(
    connection: Connection,
    account: str,
    cause: str,
    after_id: str,
    limit: int,
    *,
    now: Micros,
    lead_id: str | None,
) -> list[str]:
    """The next `limit` dead leads of this cause are due now, as if none of their attempts had failed;
    returns their ids, in order.
    """
    chosen = (
        select(leads.c.id)
        .where(_DEAD_LEAD, leads.c.account == account, leads.c.cause == cause, leads.c.id > after_id)
        .order_by(leads.c.id)
        .limit(limit)
        .with_for_update()
    )
    if lead_id is not None:
        chosen = chosen.where(leads.c.id == lead_id)
    again = (
        update(leads)
        .where(leads.c.id.in_(chosen.scalar_subquery()))
        .values(
            state="due", due_at=now, waiting_since=func.coalesce(leads.c.waiting_since, now),
            leased_by=None, attempts=0, failing_since=None, cause=None, detail=None, cure=None,
            refused="{}", updated_at=now,
        )
        .returning(leads.c.id)
    )  # fmt: skip
    return sorted(connection.execute(again).scalars())


def _count_by_cause(
    connection: Connection, table: Table, account: str, chosen: Mapping[str, str | None]
) -> dict[str, int]:
    """How many dead rows of a table the account has; those with these values, where one is given."""
    wanted = [table.c[name] == value for name, value in chosen.items() if value is not None]
    query = (
        select(table.c.cause, func.count())
        .where(in_state(table, "dead"), table.c.account == account, *wanted)
        .group_by(table.c.cause)
    )
    return dict(connection.execute(query).all())
