"""Pauses of what is not HubSpot, as rows that all workers see: of the API of a source, for now.

After a failure nobody asks before the pause is over. Then one worker takes the probe, alone among all, and
what comes of it ends the pause or begins a longer one. A worker that dies with the probe holds it until its
lease is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from integration.core.values import Micros
from integration.store.tables import pauses

_SOURCE = "source:"


@dataclass(frozen=True, slots=True)
class SourcePause:
    """Nobody asks this API before `until`; `pauses` counts those in a row.

    Until `probe_until` one worker asks, alone among all.
    """

    until: Micros
    pauses: int
    reason: str
    probe_until: Micros

    def is_over(self, now: Micros) -> bool:
        """Whether the next probe may be taken."""
        return self.until <= now and self.probe_until <= now


def source_pauses(connection: Connection, account: str) -> Mapping[str, SourcePause]:
    """The pauses of sources' APIs, by source."""
    query = select(pauses).where(pauses.c.account == account, pauses.c.subject.startswith(_SOURCE))
    return {
        row.subject.removeprefix(_SOURCE): SourcePause(
            row.paused_until, row.pauses, row.reason, row.probe_until
        )
        for row in connection.execute(query.order_by(pauses.c.subject))
    }


def take_probe(connection: Connection, account: str, source: str, now: Micros, until: Micros) -> bool:
    """Take the right to ask once, when the pause is over. False if another worker has it."""
    free = update(pauses).where(
        *_is(account, source), pauses.c.paused_until <= now, pauses.c.probe_until <= now
    )
    return connection.execute(free.values(probe_until=until)).rowcount == 1


def give_probe_back(connection: Connection, account: str, source: str) -> None:
    """There was nothing to ask for: the next worker may."""
    connection.execute(update(pauses).where(*_is(account, source)).values(probe_until=0))


def pause_source(
    connection: Connection, account: str, source: str, until: Micros, *, before: int, reason: str
) -> bool:
    """Begin a pause after `before` pauses in a row. False if another worker began one meanwhile."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    row = {"account": account, "subject": _SOURCE + source, "pauses": 0, "reason": ""}
    connection.execute(dialect.insert(pauses).on_conflict_do_nothing(), [row])
    same = update(pauses).where(*_is(account, source), pauses.c.pauses == before)
    values = {"paused_until": until, "pauses": before + 1, "reason": reason, "probe_until": 0}
    return connection.execute(same.values(**values)).rowcount == 1


def resume_source(connection: Connection, account: str, source: str, started_at: Micros) -> bool:
    """What began at `started_at` worked: a pause that began before that is over. Whether there was one."""
    ended = delete(pauses).where(*_is(account, source), pauses.c.paused_until <= started_at)
    return connection.execute(ended).rowcount == 1


def _is(account: str, source: str) -> tuple[ColumnElement[bool], ...]:
    return pauses.c.account == account, pauses.c.subject == _SOURCE + source
