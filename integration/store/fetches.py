"""What is fetched from the sources' APIs: which events wait for it, and the answers, kept with the events.

An event that waits is `fetching`, and its row in `fetches` is due at some time. When the answer is there, the
event is `received` again and its row holds the answer; when it will not come, the event is dead. All by the
partial index `fetches_due_of_account`, which holds only what is waited for, and by primary keys.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Update, delete, func, select, update

from integration.core.bounds import storable
from integration.core.values import Cause, Micros
from integration.store.inbox import EVENT_COLUMNS, ClaimedEvent, Fetched, with_requests
from integration.store.leases import lease
from integration.store.many import one_of
from integration.store.tables import events, fetches

_WAITING = fetches.c.due_at.is_not(None)


@dataclass(frozen=True, slots=True)
class FetchJob:
    """A leased fetch: its event, and how it went so far (failed `attempts`, the first at `failing_since`)."""

    event: ClaimedEvent
    attempts: int
    failing_since: Micros | None


@dataclass(frozen=True, slots=True)
class FetchLine:
    """How far the fetch for an event is, for people. `due_at` None: it is not waited for any more; `answer`
    None: it is not there. `detail` says why the last attempt failed.
    """

    due_at: Micros | None
    attempts: int
    detail: str | None
    address: str | None
    fetched_at: Micros | None
    answer: Fetched | None


def of_event(connection: Connection, event_id: str) -> FetchLine | None:
    """The fetch for this event; None if nothing was ever to be fetched for it."""
    row = connection.execute(select(fetches).where(fetches.c.event_id == event_id)).first()
    if row is None:
        return None
    answer = None if row.answer is None else Fetched(json.loads(row.headers), row.answer)
    return FetchLine(row.due_at, row.attempts, row.detail, row.address, row.fetched_at, answer)


def enqueue(connection: Connection, account: str, items: Sequence[tuple[str, str]], now: Micros) -> None:
    """These events of the account (id, source) wait for what is fetched for them; an answer from before is
    forgotten.
    """
    if not items:
        return
    ids = [id for id, _ in items]
    waiting = update(events).where(one_of(events.c.id, ids))
    connection.execute(
        waiting.values(
            state="fetching", leased_by=None, leased_until=0, settled_at=None, lead_id=None,
            cause=None, detail=None, cure=None,
        )
    )  # fmt: skip
    connection.execute(delete(fetches).where(one_of(fetches.c.event_id, ids)))
    connection.execute(
        fetches.insert(),
        [{"event_id": id, "source": source, "due_at": now, "account": account} for id, source in items],
    )


def waiting_sources(connection: Connection, account: str) -> list[str]:
    """The account's sources that have events waiting: one step into `fetches_due_of_account` for each."""
    sources: list[str] = []
    while True:
        after = select(func.min(fetches.c.source)).where(_WAITING, fetches.c.account == account)
        if sources:
            after = after.where(fetches.c.source > sources[-1])
        found = connection.execute(after).scalar()
        if found is None:
            return sources
        sources.append(found)


def any_due(connection: Connection, account: str, source: str, now: Micros) -> bool:
    """Whether a fetch of this source of the account is due: cheap to ask before taking the right to write."""
    query = select(fetches.c.event_id).where(*_due(account, source, now)).limit(1)
    return connection.execute(query).first() is not None


def _due(account: str, source: str, now: Micros) -> tuple[ColumnElement[bool], ...]:
    mine = (fetches.c.account == account, fetches.c.source == source)
    return *mine, fetches.c.due_at <= now, fetches.c.leased_until <= now


def claim(
    connection: Connection, account: str, worker: str, source: str, *, now: Micros, until: Micros, limit: int
) -> list[FetchJob]:
    """Lease up to `limit` due fetches of this source of the account, those first that are due longest."""
    key, due = fetches.c.event_id, _due(account, source, now)
    ids = lease(connection, key, due, fetches.c.due_at, worker=worker, until=until, limit=limit)
    query = (
        select(*EVENT_COLUMNS, fetches.c.attempts, fetches.c.failing_since)
        .join(fetches, fetches.c.event_id == events.c.id)
        .where(one_of(events.c.id, ids))
        .order_by(events.c.id)
    )
    rows = {row.id: row for row in connection.execute(query)}
    return [
        FetchJob(event, rows[event.id].attempts, rows[event.id].failing_since)
        for event in with_requests(connection, list(rows.values()))
    ]


def keep(
    connection: Connection, worker: str, event_id: str, address: str, answer: Fetched, *, now: Micros
) -> bool:
    """Store an answer; its event waits for translation. False if the lease was lost meanwhile."""
    values = {
        "address": address, "headers": json.dumps(dict(answer.headers)), "answer": answer.body,
        "fetched_at": now, "detail": None, "failing_since": None,
    }  # fmt: skip
    return _leave(connection, worker, event_id, values, {"state": "received", "leased_until": 0})


def give_back(connection: Connection, worker: str, event_id: str) -> bool:
    """Nothing is to be fetched any more: the event waits for translation. False if the lease was lost."""
    return _leave(connection, worker, event_id, {}, {"state": "received", "leased_until": 0})


def give_up(connection: Connection, worker: str, event_id: str, cause: Cause, *, now: Micros) -> bool:
    """The event is dead. False if the lease was lost meanwhile."""
    dead = {
        "state": "dead", "settled_at": now, "cause": cause.code, "detail": cause.detail, "cure": cause.cure,
    }  # fmt: skip
    return _leave(connection, worker, event_id, {"detail": cause.detail}, dead)


def retry(
    connection: Connection, worker: str, job: FetchJob, due_at: Micros, detail: str, *, now: Micros
) -> None:
    """Try again at `due_at`; does nothing if the lease was lost meanwhile."""
    connection.execute(
        _mine(worker, job.event.id).values(
            due_at=due_at, leased_by=None, leased_until=0, attempts=job.attempts + 1,
            failing_since=now if job.failing_since is None else job.failing_since, detail=storable(detail),
        )
    )  # fmt: skip


def _leave(
    connection: Connection,
    worker: str,
    event_id: str,
    values: dict[str, Any],
    event_values: dict[str, Any],
) -> bool:
    done = _mine(worker, event_id).values(due_at=None, leased_by=None, leased_until=0, **values)
    if connection.execute(done).rowcount != 1:
        return False
    waits = update(events).where(events.c.id == event_id, events.c.state == "fetching")
    connection.execute(waits.values(**event_values))
    return True


def _mine(worker: str, event_id: str) -> Update:
    return update(fetches).where(fetches.c.event_id == event_id, fetches.c.leased_by == worker, _WAITING)
