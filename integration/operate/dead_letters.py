"""Retry: dead letters are taken up again, in small steps, once a person has fixed their cause."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from integration.core.clock import Clock
from integration.core.logs import log_action
from integration.store import dead_rows
from integration.store.engine import Store
from integration.store.wakeup import announce

log = logging.getLogger(__name__)

BATCH = 500


@dataclass(frozen=True, slots=True)
class Letters:
    """Which dead letters: of this cause, source, or lead, where given.

    A source has events only, a lead is a lead only: with either, the other kind is left alone.
    """

    cause: str | None = None
    source: str | None = None
    lead_id: str | None = None


@dataclass(frozen=True, slots=True)
class Retried:
    """How many events wait for translation again, and how many leads are due again."""

    events: int = 0
    leads: int = 0


_Step = Callable[[Connection, str], list[str]]


def count_dead(store: Store, account: str, letters: Letters) -> Retried:
    """How many dead letters `retry_dead` will take up."""
    with store.read() as connection:
        events, leads = _by_cause(connection, account, letters)
    return Retried(sum(events.values()), sum(leads.values()))


def retry_dead(
    store: Store, account: str, clock: Clock, letters: Letters, progress: Callable[[Retried], None]
) -> Retried:
    """Dead events wait for translation, by the mapping as it is then; dead leads are due, with a new term."""
    with store.read() as connection:
        events, leads = _by_cause(connection, account, letters)
    done = Retried()
    for cause in events:
        for count in _batches(store, _event_step(account, cause, letters)):
            done = replace(done, events=done.events + count)
            progress(done)
    for cause in leads:
        for count in _batches(store, _lead_step(account, cause, letters, clock)):
            done = replace(done, leads=done.leads + count)
            progress(done)
    log_action(log, "dead.retried", "Dead letters are tried again", events=done.events, leads=done.leads)
    return done


def _by_cause(
    connection: Connection, account: str, letters: Letters
) -> tuple[dict[str, int], dict[str, int]]:
    events: dict[str, int] = {}
    leads: dict[str, int] = {}
    if letters.lead_id is None:
        events = dead_rows.count_dead_events(connection, account, cause=letters.cause, source=letters.source)
    if letters.source is None:
        leads = dead_rows.count_dead_leads(connection, account, cause=letters.cause, lead_id=letters.lead_id)
    return events, leads


def _event_step(account: str, cause: str, letters: Letters) -> _Step:
    return lambda connection, after_id: dead_rows.retry_events(
        connection, account, cause, after_id, BATCH, source=letters.source
    )


def _lead_step(account: str, cause: str, letters: Letters, clock: Clock) -> _Step:
    return lambda connection, after_id: dead_rows.retry_leads(
        connection, account, cause, after_id, BATCH, now=clock(), lead_id=letters.lead_id
    )


def _batches(store: Store, step: _Step) -> Iterator[int]:
    """Take up batch after batch, each in a transaction of its own; gives the size of each."""
    after_id = ""
    while True:
        with store.write() as connection:
            ids = step(connection, after_id)
            announce(connection)
        if not ids:
            return
        after_id = ids[-1]
        yield len(ids)
