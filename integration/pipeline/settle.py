"""Settle: what came of requests to HubSpot is written down, those that end together in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from sqlalchemy import Connection

from integration.core.errors import LeadwireError
from integration.core.logs import log_action
from integration.core.values import MICROS_PER_SECOND, Attempt, Cause, Find, Micros, Outcome, Write
from integration.lead.record import Record, after_attempt, looked_up_again
from integration.pipeline.claim import Delivery, Job
from integration.pipeline.knowing import take_found
from integration.pipeline.pausing import ended, next_pause
from integration.pipeline.reporting import report
from integration.store import attempts, budget, identifiers, records
from integration.store.budget import Slot
from integration.store.group_commit import GroupCommit
from integration.store.isolation import lies_in_data, stored_or_set_aside

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Settled:
    """A request that came back: the slots that it took, and the attempts that ended with it."""

    slots: tuple[Slot, ...]
    attempts: tuple[Attempt, ...]


class Settler:
    """Writes down what came of the requests of one worker."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._together: GroupCommit[_Settled, Mapping[str, Record]] = GroupCommit(
            delivery.store, self._settle_in, name="settle"
        )

    def settle(self, job: Job, made: Sequence[Attempt]) -> None:
        """Write down these attempts of a job and give its slots back. Without a store nothing is written:
        the leases run out and the bundles are sent again.
        """
        self._write_down(job, self._with_links(made))

    def close(self) -> None:
        """Write down what is in hand."""
        self._together.close()

    def _with_links(self, made: Sequence[Attempt]) -> list[Attempt]:
        """The attempts, after what HubSpot said of who the leads are is remembered."""
        found = {
            attempt.operation.record_id: attempt.outcome.found for attempt in made if attempt.outcome.found
        }
        if not found:
            return list(made)
        contradictions = take_found(
            self._delivery.store, self._delivery.account, found, self._delivery.clock()
        )
        return [
            replace(attempt, outcome=Outcome("set_aside", attempt.outcome.status, cause))
            if (cause := contradictions.get(attempt.operation.record_id))
            else attempt
            for attempt in made
        ]

    def _write_down(self, job: Job, made: Sequence[Attempt]) -> None:
        try:
            rows = self._together.submit(_Settled(job.slots, tuple(made)))
        except LeadwireError as error:
            # The leases run out and the bundles are sent again: twice is harmless, never is not.
            for attempt in made:
                log_action(log, "lead.unsettled", str(error), logging.ERROR, lead=attempt.operation.record_id)
            return
        except Exception as error:
            if not lies_in_data(error):
                raise
            rows, made = self._settle_isolated(job.slots, made)
        waiting_since = {row.id: row.waiting_since for row in job.rows}
        for attempt in made:
            id = attempt.operation.record_id
            report(attempt, waiting_since[id], rows.get(id), self._delivery.clock())

    def _settle_isolated(
        self, slots: tuple[Slot, ...], made: Sequence[Attempt]
    ) -> tuple[dict[str, Record], list[Attempt]]:
        """Settle a request one of whose attempts cannot be stored: that lead alone is a dead letter."""
        self._settle_now(slots, ())
        rows: dict[str, Record] = {}
        stored: list[Attempt] = []
        for part in stored_or_set_aside(made, lambda some: self._settle_now((), some), _as_dead):
            rows |= part.result
            stored += part.items
        return rows, stored

    def _settle_now(self, slots: tuple[Slot, ...], made: Sequence[Attempt]) -> Mapping[str, Record]:
        with self._delivery.store.write() as connection:
            return self._settle_in(connection, [_Settled(slots, tuple(made))])[0]

    def _settle_in(self, connection: Connection, done: Sequence[_Settled]) -> list[Mapping[str, Record]]:
        """The leads as they are after these attempts, without those whose lease ran out meanwhile."""
        now = self._delivery.clock()
        made = [attempt for item in done for attempt in item.attempts]
        held = records.still_leased(
            connection, self._delivery.worker, [attempt.operation.record_id for attempt in made]
        )
        rows = {
            id: after_attempt(held[id], attempt, now, self._delivery.chance())
            for attempt in made
            if (id := attempt.operation.record_id) in held
        }
        rows |= self._not_where_hubspot_said(connection, made, rows, now)
        records.save(connection, list(rows.values()), now)
        attempts.add_attempts(connection, self._delivery.account, made)
        self._delivery.slots.settle(connection, chain.from_iterable(item.slots for item in done), now)
        if made:
            self._pause_or_resume(connection, made, now)
        return [
            {id: rows[id] for attempt in item.attempts if (id := attempt.operation.record_id) in rows}
            for item in done
        ]

    def _not_where_hubspot_said(
        self, connection: Connection, made: Sequence[Attempt], rows: Mapping[str, Record], now: Micros
    ) -> dict[str, Record]:
        """Leads that are no longer there by an id that HubSpot gave: forgotten, they are looked up again."""
        missing = [
            attempt.operation.record_id
            for attempt in made
            if attempt.outcome.kind == "not_found" and not isinstance(attempt.operation, Find)
        ]
        if not missing:
            return {}
        forgotten = identifiers.unlink_found(connection, missing, self._delivery.destination.id_kind)
        return {id: looked_up_again(rows[id], now) for id in forgotten if id in rows}

    def _pause_or_resume(self, connection: Connection, done: Sequence[Attempt], now: Micros) -> None:
        before = budget.current_pause(connection, self._delivery.account)
        stopping = next((attempt.outcome for attempt in done if attempt.outcome.pauses_all), None)
        if stopping is not None and before.until <= now:
            budget.pause(connection, self._delivery.account, next_pause(before.pauses, stopping, now))
        elif stopping is None and ended(before, done):
            budget.resume(connection, self._delivery.account)
        used_up_for = max(attempt.outcome.used_up_for or 0.0 for attempt in done)
        if used_up_for:
            until = now + int(used_up_for * MICROS_PER_SECOND)
            budget.pause(
                connection,
                self._delivery.account,
                budget.Pause(until, 0, "HubSpot says that its limit is used up"),
            )


def _as_dead(attempt: Attempt, cause: Cause) -> Attempt:
    """The attempt as one that makes its lead a dead letter, and tells nothing else."""
    nothing = Write(attempt.operation.record_id, {}, {}, attempt.operation.event_ids)
    return replace(attempt, operation=nothing, outcome=Outcome("set_aside", attempt.outcome.status, cause))
