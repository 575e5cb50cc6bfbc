"""The budget: HubSpot's rate limit as rows that all workers share, and pauses that hold for all of them.

A request takes a slot before it is sent; the slot is free again one window after its answer came (a
crashed worker's slot frees itself after the longest that a request can take). HubSpot saw the request
somewhere between the two, so no window of time ever holds more requests than there are slots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from integration.core.values import Micros
from integration.store.tables import accounts, budget_slots

ACCOUNT = "hubspot"
SEARCH = "hubspot-search"  # searches have a smaller limit of their own, beside the account's

Slot = tuple[str, int]  # the budget that it belongs to, and its number


@dataclass(frozen=True, slots=True)
class Pause:
    """Nobody sends before `until`; `pauses` counts those in a row, `reason` says why."""

    until: Micros
    pauses: int
    reason: str | None


def ensure_slots(connection: Connection, count: int, account: str = ACCOUNT) -> None:
    """Make the number of slots that of the rate limit. Slots beyond it go; new ones are free at once."""
    connection.execute(
        delete(budget_slots).where(budget_slots.c.account == account, budget_slots.c.slot >= count)
    )
    have = connection.execute(select(func.count()).where(budget_slots.c.account == account)).scalar_one()
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    if have < count:
        rows = [{"account": account, "slot": slot, "free_at": 0} for slot in range(count)]
        connection.execute(dialect.insert(budget_slots).on_conflict_do_nothing(), rows)
    connection.execute(dialect.insert(accounts).on_conflict_do_nothing(), [{"account": account}])


def free_slots(connection: Connection, now: Micros, limit: int, account: str = ACCOUNT) -> list[Slot]:
    """Up to `limit` slots that are free now, held for this transaction."""
    query = (
        select(budget_slots.c.slot)
        .where(budget_slots.c.account == account, budget_slots.c.free_at <= now)
        .order_by(budget_slots.c.free_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(account, slot) for slot in connection.execute(query).scalars()]


_SET_FREE_AT = (
    update(budget_slots)
    .where(budget_slots.c.account == bindparam("of_account"), budget_slots.c.slot == bindparam("taken"))
    .values(free_at=bindparam("until"))
)


def occupy(connection: Connection, until: Mapping[Slot, Micros]) -> None:
    """Nobody else uses each slot before its time."""
    if until:
        rows = [
            {"of_account": account, "taken": slot, "until": time} for (account, slot), time in until.items()
        ]
        connection.execute(_SET_FREE_AT, rows)


def next_free_at(connection: Connection, account: str = ACCOUNT) -> Micros | None:
    """When the next slot is free; None if there are none at all."""
    return connection.execute(
        select(func.min(budget_slots.c.free_at)).where(budget_slots.c.account == account)
    ).scalar()


def current_pause(connection: Connection) -> Pause:
    """The pause that is in force, or the last one."""
    row = connection.execute(select(accounts).where(accounts.c.account == ACCOUNT)).one_or_none()
    return Pause(row.paused_until, row.pauses, row.reason) if row else Pause(0, 0, None)


def pause(connection: Connection, pause: Pause) -> None:
    """Put a pause in force for all workers. A pause already in force is never shortened."""
    connection.execute(
        update(accounts)
        .where(accounts.c.account == ACCOUNT, accounts.c.paused_until < pause.until)
        .values(paused_until=pause.until, pauses=pause.pauses, reason=pause.reason)
    )


def resume(connection: Connection) -> None:
    """Deliveries work again: forget the pauses."""
    connection.execute(
        update(accounts).where(accounts.c.account == ACCOUNT, accounts.c.pauses > 0)
        .values(paused_until=0, pauses=0, reason=None)
    )  # fmt: skip
