"""How long the oldest thing waits that should be done by now. What waits on purpose does not count."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, or_, select

from integration.core.values import MICROS_PER_SECOND, Micros
from integration.lead.record import Priority
from integration.store.tables import events, in_state, leads, requests


@dataclass(frozen=True, slots=True)
class Ages:
    """`untranslated_since` is when the oldest untranslated event arrived, `due_since` when the lead was due
    that is due longest; None where there is none.
    """

    untranslated_since: Micros | None
    due_since: Micros | None


def read_ages(connection: Connection, account: str, now: Micros) -> Ages:
    """The account's ages at `now`: one step into an index for each.

    An event that was postponed, a lead that is due later, and one that a replay changed (it comes after all
    live ones) wait on purpose.
    """
    postponed_until = events.c.leased_until  # of an event that nobody has
    oldest_event = (
        select(events.c.request_id)
        .where(
            in_state(events, "received"),
            func.coalesce(events.c.account, "") == account,  # the walk is along the index of ids
            or_(events.c.leased_by.is_not(None), postponed_until <= now),
        )
        .order_by(events.c.id)
        .limit(1)
    )  # fmt: skip
    oldest_lead = (
        select(leads.c.due_at)
        .where(
            in_state(leads, "due"), leads.c.account == account, leads.c.priority == Priority.LIVE.value,
            leads.c.due_at <= now,
        )
        .order_by(leads.c.due_at)
        .limit(1)
    )  # fmt: skip
    arrived = select(requests.c.received_at).where(requests.c.id == oldest_event.scalar_subquery())
    return Ages(connection.execute(arrived).scalar(), connection.execute(oldest_lead).scalar())


def seconds_since(since: Micros | None, now: Micros) -> float:
    """The age in seconds; 0 where nothing waits."""
    return 0.0 if since is None else max(0, now - since) / MICROS_PER_SECOND
