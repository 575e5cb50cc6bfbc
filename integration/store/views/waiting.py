"""Leads with unsent changes: what each of them waits for, and how many wait for what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import Connection, func, select

from integration.lead.record import NOT_FOUND_CAUSES, RecordState
from integration.store.tables import in_state, leads

# A state and a cause: the leads of both are in the order of ids in one index.
Strand = tuple[RecordState, str | None]


class WaitsFor(Enum):
    """What a lead that is due waits for."""

    IDENTITY = "identity"  # HubSpot has nobody by what it is known by, or cannot be asked by that
    HUBSPOT = "hubspot"  # its last request failed, and is made again
    PAUSE = "pause"  # all deliveries are paused
    TURN = "turn"  # its bundle's end, and a place in the budget

    @property
    def words(self) -> str:
        """`to be found at HubSpot`."""
        return _WORDS[self]


_WORDS = {
    WaitsFor.IDENTITY: "to be found at HubSpot",
    WaitsFor.HUBSPOT: "for HubSpot, which failed",
    WaitsFor.PAUSE: "for the end of the pause",
    WaitsFor.TURN: "for its turn",
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """So many leads wait for this; `causes` has how many by the cause of their last failure."""

    what: WaitsFor
    count: int
    causes: Mapping[str, int]


def waits_for(state: RecordState, cause: str | None, *, paused: bool) -> WaitsFor | None:
    """What a lead in this state, with this cause of its last failure, waits for; None if for nothing."""
    if state is not RecordState.DUE:
        return None
    if cause is not None:
        return WaitsFor.IDENTITY if cause in NOT_FOUND_CAUSES else WaitsFor.HUBSPOT
    return WaitsFor.PAUSE if paused else WaitsFor.TURN


def count_waiting(connection: Connection, *, paused: bool) -> list[Waiting]:
    """How many leads wait for what, in the order of `WaitsFor`; nothing for what nobody waits for.

    By `leads_due_by_cause`, which holds only leads that are due.
    """
    query = (
        select(leads.c.cause, func.count()).where(in_state(leads, RecordState.DUE)).group_by(leads.c.cause)
    )
    counts: dict[str | None, int] = dict(connection.execute(query).all())
    return [found for what in WaitsFor if (found := _waiting(what, counts, paused=paused)).count]


def strands_of(
    connection: Connection,
    *,
    state: RecordState | None,
    cause: str | None,
    what: WaitsFor | None,
    paused: bool,
) -> list[Strand]:
    """The strands that hold the leads of this state and cause that wait for this, where given."""
    due_or_dead = [RecordState.DUE, RecordState.DEAD]
    states = [RecordState.DUE] if what is not None else [state] if state else due_or_dead
    return [
        (one, code)
        for one in states
        for code in ([cause] if cause is not None else [*_causes(connection, one), None])
        if what is None or waits_for(one, code, paused=paused) is what
    ]


def _waiting(what: WaitsFor, counts: Mapping[str | None, int], *, paused: bool) -> Waiting:
    mine = {
        code: count
        for code, count in counts.items()
        if waits_for(RecordState.DUE, code, paused=paused) is what
    }
    return Waiting(what, sum(mine.values()), _named(mine.items()))


def _named(counts: Iterable[tuple[str | None, int]]) -> dict[str, int]:
    return {code: count for code, count in sorted(counts, key=str) if code is not None}


def _causes(connection: Connection, state: RecordState) -> Iterator[str]:
    """The causes that leads of this state have: one step into the index for each."""
    code: str | None = ""
    while code is not None:
        after = select(func.min(leads.c.cause)).where(in_state(leads, state), leads.c.cause > code)
        code = connection.execute(after).scalar()
        if code is not None:
            yield code
