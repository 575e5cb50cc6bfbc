"""Claim: due leads are leased and put into calls to HubSpot, as many as the budget has slots for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from sqlalchemy import Connection

from integration.core.clock import Clock
from integration.core.durations import DELIVERY_LEASE_SECONDS
from integration.core.values import MICROS_PER_SECOND, Cause, Link, Micros, Operation
from integration.hubspot import Destination
from integration.hubspot.family import Family
from integration.lead.next_write import Reach, next_write
from integration.lead.record import Record, RecordState, at_rest_or_due, not_addressable, set_aside
from integration.pipeline.reporting import report_unsent
from integration.pipeline.slots import Slots
from integration.store import budget, identifiers, records
from integration.store.budget import Slot
from integration.store.engine import Store
from integration.store.isolation import cause_of

LEADS_PER_CLAIM = 1000


@dataclass(frozen=True, slots=True)
class Delivery:
    """What all parts of one worker's delivery work with: whose leads go where, by what clock and budgets.

    `chance` gives a number from 0 up to 1, which spreads attempts in time.
    """

    store: Store
    account: str
    destination: Destination
    clock: Clock
    slots: Slots
    worker: str
    chance: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Job:
    """Leased leads whose operations go in one call, and the slots of the budget that the call takes."""

    rows: tuple[Record, ...]
    operations: tuple[Operation, ...]
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """What one look at the store found. `wait_until` is when it is worth looking again at the latest."""

    jobs: tuple[Job, ...]
    wait_until: Micros | None


@dataclass(frozen=True, slots=True)
class _Failed:
    """What is next for a lead could not be found out: it is a dead letter."""

    cause: Cause


class Claimer:
    """Claims the due leads of an account for one worker. Any number may, in any process."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def claim(self, limit: int) -> Claim:
        """Lease due leads for up to `limit` requests within the budget.

        Those with nothing to send, or that cannot be addressed yet, are settled at once.
        """
        with self._delivery.store.read() as connection:
            now = self._delivery.clock()
            due_at = records.next_due_at(connection, self._delivery.account)
            if due_at is None or due_at > now:
                return Claim((), due_at)
            pause = budget.current_pause(connection, self._delivery.account)
        if pause.until > now:
            return Claim((), pause.until)
        with self._delivery.store.write() as connection:
            return self._claim_in(connection, 1 if pause.pauses else limit)

    def _claim_in(self, connection: Connection, limit: int) -> Claim:
        now = self._delivery.clock()
        slots = self._delivery.slots.free(
            connection, budget.REQUESTS, now, limit + self._delivery.destination.most_cost - 1
        )
        if not slots:
            return Claim((), self._delivery.slots.next_free_at(connection, budget.REQUESTS))
        most = min(min(len(slots), limit) * self._delivery.destination.max_batch, max(LEADS_PER_CLAIM, limit))
        until = now + DELIVERY_LEASE_SECONDS * MICROS_PER_SECOND
        rows = records.claim_due(
            connection, self._delivery.account, self._delivery.worker, now, until, limit=most
        )
        links = identifiers.links_of(connection, [row.id for row in rows])
        reach = self._reach()
        planned = [(row, self._planned(row, links[row.id], reach, now)) for row in rows]
        records.save(connection, [self._without_request(row, plan, now) for row, plan in planned
                                if not isinstance(plan, Operation)], now)  # fmt: skip
        to_send = [(row, plan) for row, plan in planned if isinstance(plan, Operation)]
        jobs, left_over = self._jobs(connection, to_send, slots, limit)
        records.save(connection, left_over, now)
        self._delivery.slots.take(connection, chain.from_iterable(job.slots for job in jobs), now)
        return Claim(tuple(jobs), now if rows else None)

    def _planned(
        self, row: Record, links: Sequence[Link], reach: Reach, now: Micros
    ) -> Operation | Cause | _Failed | None:
        """What goes to HubSpot for this lead; an unexpected error costs this lead only."""
        try:
            return next_write(row, links, reach, now)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other leads of the claim go on
            return _Failed(cause_of(error))

    def _without_request(self, row: Record, plan: Cause | _Failed | None, now: Micros) -> Record:
        """A lead with nothing to send, or one that cannot be addressed yet and waits until it can."""
        if plan is None:
            return at_rest_or_due(row, now)
        if isinstance(plan, _Failed):
            cause, waiting = plan.cause, set_aside(row, plan.cause, now)
        else:
            cause, waiting = plan, not_addressable(row, plan, now, self._delivery.chance())
        report_unsent(waiting, cause)
        return waiting

    def _jobs(
        self,
        connection: Connection,
        to_send: Sequence[tuple[Record, Operation]],
        slots: Sequence[Slot],
        limit: int,
    ) -> tuple[list[Job], list[Record]]:
        """The calls that the slots suffice for, and the leads that are due again for want of a slot."""
        now = self._delivery.clock()
        jobs: list[Job] = []
        left_over: list[Record] = []
        free, searches = (
            iter(slots),
            iter(self._delivery.slots.free(connection, budget.SEARCH, now, len(slots))),
        )
        for family, group in self._calls(to_send):
            rows, operations = unzipped(group)
            search = next(searches, None) if family.is_search else ()
            taken = tuple(islice(free, family.cost)) if search is not None and len(jobs) < limit else ()
            if len(taken) == family.cost and search is not None:
                jobs.append(Job(rows, operations, (*taken, search) if search else taken))
                continue
            name = budget.SEARCH if search is None else budget.REQUESTS
            due_at = max(now, self._delivery.slots.next_free_at(connection, name) or now)
            left_over += [replace(row, state=RecordState.DUE, due_at=due_at) for row in rows]
        return jobs, left_over

    def _calls(
        self, to_send: Sequence[tuple[Record, Operation]]
    ) -> Iterator[tuple[Family, list[tuple[Record, Operation]]]]:
        """Operations of one family together, as many as one call carries."""
        families: dict[Family, list[tuple[Record, Operation]]] = {}
        for row, operation in to_send:
            families.setdefault(self._delivery.destination.family(operation), []).append((row, operation))
        size = self._delivery.destination.max_batch
        for family, group in families.items():
            for start in range(0, len(group), size):
                yield family, group[start : start + size]

    def _reach(self) -> Reach:
        """What the destination can do now: the kinds that it finds by may change with fields.yaml."""
        return Reach(
            self._delivery.destination.id_kind,
            self._delivery.destination.finds_by,
            self._delivery.destination.can_create,
        )


def unzipped(
    pairs: Sequence[tuple[Record, Operation]],
) -> tuple[tuple[Record, ...], tuple[Operation, ...]]:
    """The leads, and their operations."""
    return tuple(row for row, _ in pairs), tuple(operation for _, operation in pairs)
