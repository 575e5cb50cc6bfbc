"""The budgets of an account: HubSpot's rate limits as rows that all workers share, and pauses that hold for
all of them.

A request takes a slot before it is sent; the slot is free again one window after its answer came (a
crashed worker's slot frees itself after the longest that a request can take). HubSpot saw the request
somewhere between the two, so no window of time ever holds more requests than there are slots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from integration.core.values import Micros
from integration.store.account_keys import key_in
from integration.store.tables import accounts, budget_slots

REQUESTS = "hubspot"
SEARCH = "hubspot-search"  # searches have a smaller limit of their own, beside that of all requests

Slot = tuple[str, int]  # the budget of an account that it belongs to, and its number


@dataclass(frozen=True, slots=True)
class Pause:
    """Nobody sends before `until`; `pauses` counts those in a row, `reason` says why."""

    until: Micros
    pauses: int
    reason: str | None


def ensure_slots(connection: Connection, account: str, budget: str, count: int) -> None:
    """Make the number of slots that of the rate limit. Slots beyond it go; new ones are free at once."""
    name = key_in(account, budget)
    connection.execute(
        delete(budget_slots).where(budget_slots.c.account == name, budget_slots.c.slot >= count)
    )
    have = connection.execute(select(func.count()).where(budget_slots.c.account == name)).scalar_one()
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    if have < count:
        rows = [{"account": name, "slot": slot, "free_at": 0} for slot in range(count)]
        connection.execute(dialect.insert(budget_slots).on_conflict_do_nothing(), rows)
    connection.execute(dialect.insert(accounts).on_conflict_do_nothing(), [{"account": name}])


def free_slots(connection: Connection, account: str, budget: str, now: Micros, limit: int) -> list[Slot]:
    """Up to `limit` slots that are free now, held for this transaction."""
    query = (
        select(budget_slots.c.slot)
        .where(budget_slots.c.account == key_in(account, budget), budget_slots.c.free_at <= now)
        .order_by(budget_slots.c.free_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(budget, slot) for slot in connection.execute(query).scalars()]


_SET_FREE_AT = (
    update(budget_slots)
    .where(budget_slots.c.account == bindparam("of_budget"), budget_slots.c.slot == bindparam("taken"))
    .values(free_at=bindparam("until"))
)


def occupy(connection: Connection, account: str, until: Mapping[Slot, Micros]) -> None:
    """Nobody else uses each slot before its time."""
    if until:
        rows = [
            {"of_budget": key_in(account, budget), "taken": slot, "until": time}
            for (budget, slot), time in until.items()
        ]
        connection.execute(_SET_FREE_AT, rows)


def next_free_at(connection: Connection, account: str, budget: str) -> Micros | None:
    """When the next slot is free; None if there are none at all."""
    mine = budget_slots.c.account == key_in(account, budget)
    return connection.execute(select(func.min(budget_slots.c.free_at)).where(mine)).scalar()


def count_slots(connection: Connection, account: str, budget: str, now: Micros) -> tuple[int, int]:
    """How many slots there are, and how many of them are free now."""
    slots = select(func.count()).where(budget_slots.c.account == key_in(account, budget))
    free = slots.where(budget_slots.c.free_at <= now)
    return connection.execute(slots).scalar_one(), connection.execute(free).scalar_one()


def current_pause(connection: Connection, account: str) -> Pause:
    """The pause of the account's deliveries that is in force, or the last one."""
    row = connection.execute(select(accounts).where(_deliveries_of(account))).one_or_none()
    return Pause(row.paused_until, row.pauses, row.reason) if row else Pause(0, 0, None)


def pause(connection: Connection, account: str, pause: Pause) -> None:
    """Put a pause in force for all workers. A pause already in force is never shortened."""
    connection.execute(
        update(accounts)
        .where(_deliveries_of(account), accounts.c.paused_until < pause.until)
        .values(paused_until=pause.until, pauses=pause.pauses, reason=pause.reason)
    )


def resume(connection: Connection, account: str) -> None:
    """Deliveries work again: forget the pauses."""
    connection.execute(
        update(accounts).where(_deliveries_of(account), accounts.c.pauses > 0)
        .values(paused_until=0, pauses=0, reason=None)
    )  # fmt: skip


def _deliveries_of(account: str) -> ColumnElement[bool]:
    return accounts.c.account == key_in(account, REQUESTS)
