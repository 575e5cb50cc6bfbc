"""The state of the whole at one moment: what waits, what goes wrong, and what the budget leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from integration.core.clock import first_id_at
from integration.core.values import MAIN_ACCOUNT, MICROS_PER_SECOND, Micros
from integration.store.ages import Ages, read_ages
from integration.store.backlog import Backlog, read_backlog
from integration.store.budget import ACCOUNT, Pause, current_pause
from integration.store.pause_rows import SourcePause, source_pauses
from integration.store.tables import attempts, budget_slots

RECENT_MINUTES = 5


@dataclass(frozen=True, slots=True)
class Status:
    """`ages` tells since when the oldest things wait that should be done by now. `slots` is how many requests
    the rate limit allows in its window, 0 before the first worker ran, `slots_free` how many could be made at
    once. `recent_requests` is how many were made in the last RECENT_MINUTES. `source_pauses` are those of
    sources' APIs.
    """

    at: Micros
    backlog: Backlog
    ages: Ages
    pause: Pause
    slots: int
    slots_free: int
    recent_requests: int
    source_pauses: Mapping[str, SourcePause]


def read_status(connection: Connection, now: Micros) -> Status:
    """The state at `now`. Counts only what waits, the slots of the budget, and the attempts of minutes."""
    slots = select(func.count()).where(budget_slots.c.account == ACCOUNT)
    since = first_id_at(now - RECENT_MINUTES * 60 * MICROS_PER_SECOND)
    recent = select(func.count()).where(attempts.c.id >= since)
    return Status(
        at=now,
        backlog=read_backlog(connection),
        ages=read_ages(connection, now),
        pause=current_pause(connection),
        slots=connection.execute(slots).scalar_one(),
        slots_free=connection.execute(slots.where(budget_slots.c.free_at <= now)).scalar_one(),
        recent_requests=connection.execute(recent).scalar_one(),
        source_pauses=source_pauses(connection, MAIN_ACCOUNT),
    )
