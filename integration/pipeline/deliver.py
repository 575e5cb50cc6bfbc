"""Deliver: due bundles are claimed within the budget, sent to HubSpot, and settled by how that went.

One call carries one operation or many: whatever the API takes. A call that is refused for one operation
that the answer does not name is sent again in halves, until that one stands alone.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from sqlalchemy import Connection

from integration.core import metrics
from integration.core.clock import Clock, elapsed
from integration.core.durations import DELIVERY_LEASE_SECONDS
from integration.core.errors import LeadwireError, SettingError
from integration.core.logs import log_action
from integration.core.settings import RateLimit
from integration.core.values import (
    MICROS_PER_SECOND,
    Attempt,
    Cause,
    Find,
    Link,
    Micros,
    Operation,
    Outcome,
    Write,
    fields_of,
)
from integration.core.world import Future, world
from integration.hubspot import Destination
from integration.hubspot.family import Family
from integration.lead.next_write import Reach, next_write
from integration.lead.record import (
    Record,
    RecordState,
    after_attempt,
    at_rest_or_due,
    looked_up_again,
    not_addressable,
    set_aside,
)
from integration.pipeline.knowing import take_found
from integration.pipeline.pausing import ended, next_pause
from integration.store import attempts, budget, identifiers, records
from integration.store.budget import Slot
from integration.store.engine import Store
from integration.store.group_commit import GroupCommit
from integration.store.isolation import cause_of, lies_in_data, stored_or_set_aside

log = logging.getLogger(__name__)

LONGEST_REQUEST_SECONDS = 120  # three in a row, where one call makes three
LEADS_PER_CLAIM = 1000
# https://developers.hubspot.com/docs/api-reference/search/guide (2026-11-23) allows five a second to an
# account; one is left to others.
SEARCH_LIMIT = RateLimit(4, 1)
LONGEST_WAIT_FOR_SLOT_SECONDS = 1.0


class _StoppingError(LeadwireError):
    """The worker stops: what is not sent yet is given back."""


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
class _Settled:
    """A request that came back: the slots that it took, and the attempts that ended with it."""

    slots: tuple[Slot, ...]
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class _Failed:
    """What is next for a lead could not be found out: it is a dead letter."""

    cause: Cause


class Deliverer:
    """Sends the due bundles of an account. Any number may run at once, in any process: leases and the budget
    are shared.

    Raises SettingError if the rate limit leaves no room for what one call of the destination's can cost, and
    StoreUnavailableError.
    """

    def __init__(
        self,
        store: Store,
        account: str,
        destination: Destination,
        clock: Clock,
        rate_limit: RateLimit,
        *,
        worker: str,
        concurrency: int,
        chance: Callable[[], float] | None = None,
    ) -> None:
        if rate_limit.requests < destination.most_cost:
            raise _too_narrow(rate_limit, destination)
        self._store = store
        self._account = account
        self._destination = destination
        self._clock = clock
        self._windows = {budget.REQUESTS: rate_limit, budget.SEARCH: SEARCH_LIMIT}
        self._worker = worker
        self._concurrency = concurrency
        self._chance = chance or world().chance
        with store.write() as connection:  # before any thread begins: without a store, this is tried again
            for name, limit in self._windows.items():
                budget.ensure_slots(connection, account, name, limit.requests)
        self._threads = world().pool(concurrency, name="deliver")
        self._settle: GroupCommit[_Settled, Mapping[str, Record]] = GroupCommit(
            store, self._settle_in, name="settle"
        )
        self._stopping = world().event()
        self._requests_in_hand = 0
        # By lead, in how many calls: the first half of a split call may be settled, and its leads claimed
        # again, while the second is still on its way.
        self._in_hand: Counter[str] = Counter()
        self._counting = world().lock()

    @property
    def _reach(self) -> Reach:
        """What the destination can do now: the kinds that it finds by may change with fields.yaml."""
        return Reach(self._destination.id_kind, self._destination.finds_by, self._destination.can_create)

    @property
    def in_hand(self) -> int:
        """How many requests are claimed and not settled yet."""
        return self._requests_in_hand

    def claim(self, limit: int) -> Claim:
        """Lease due leads for up to `limit` requests within the budget.

        Those with nothing to send, or that cannot be addressed yet, are settled at once.
        """
        with self._store.read() as connection:
            now = self._clock()
            due_at = records.next_due_at(connection, self._account)
            if due_at is None or due_at > now:
                return Claim((), due_at)
            pause = budget.current_pause(connection, self._account)
        if pause.until > now:
            return Claim((), pause.until)
        with self._store.write() as connection:
            claim = self._claim_in(connection, 1 if pause.pauses else limit)
        with self._counting:
            self._in_hand.update(row.id for job in claim.jobs for row in job.rows)
            self._requests_in_hand += len(claim.jobs)
        return claim

    def start(self, job: Job, when_done: Callable[[], None]) -> None:
        """Send a job in a thread of its own; `when_done` is called after it is settled."""
        future = self._threads.submit(self._deliver, job)
        future.add_done_callback(lambda _: when_done())

    def run_once(self) -> int:
        """Claim and deliver what is due now, and wait for it; returns how many requests that took, but for
        those of split ones.
        """
        claim = self.claim(self._concurrency)
        futures: list[Future[None]] = [self._threads.submit(self._deliver, job) for job in claim.jobs]
        for future in futures:
            future.result()
        return len(claim.jobs)

    def keep_leases(self) -> None:
        """To be called every few seconds; also recovers the leads of workers that went silent."""
        with self._store.write() as connection:
            now = self._clock()
            # Only what is in hand: a lead whose outcome could not be written down must not be kept for ever.
            records.renew_leases(
                connection, self._worker, self._held(), now + DELIVERY_LEASE_SECONDS * MICROS_PER_SECOND
            )
            recovered = records.recover_expired(connection, self._account, now)
        if recovered:
            log_action(
                log, "lead.recovered", "Took over leads of a worker that went silent", logging.WARNING,
                leads=recovered,
            )  # fmt: skip

    def close(self) -> None:
        """Finish the attempts in hand and give back what was claimed but not begun."""
        self._stopping.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._settle.close()
        with self._store.write() as connection:
            records.release(connection, self._account, self._worker, self._clock())

    # claim

    def _claim_in(self, connection: Connection, limit: int) -> Claim:
        now = self._clock()
        slots = self._free_slots(connection, budget.REQUESTS, now, limit + self._destination.most_cost - 1)
        if not slots:
            return Claim((), self._next_free_at(connection, budget.REQUESTS))
        most = min(min(len(slots), limit) * self._destination.max_batch, max(LEADS_PER_CLAIM, limit))
        until = now + DELIVERY_LEASE_SECONDS * MICROS_PER_SECOND
        rows = records.claim_due(connection, self._account, self._worker, now, until, limit=most)
        links = identifiers.links_of(connection, [row.id for row in rows])
        reach = self._reach
        planned = [(row, self._planned(row, links[row.id], reach, now)) for row in rows]
        records.save(connection, [self._without_request(row, plan, now) for row, plan in planned
                                if not isinstance(plan, Operation)], now)  # fmt: skip
        to_send = [(row, plan) for row, plan in planned if isinstance(plan, Operation)]
        jobs, left_over = self._jobs(connection, to_send, slots, limit)
        records.save(connection, left_over, now)
        free_at = self._free_after_crash(now)
        budget.occupy(
            connection, self._account, {slot: free_at[slot[0]] for job in jobs for slot in job.slots}
        )
        return Claim(tuple(jobs), None)

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
            cause, waiting = plan, not_addressable(row, plan, now, self._chance())
        _report_unsent(waiting, cause)
        return waiting

    def _jobs(
        self,
        connection: Connection,
        to_send: Sequence[tuple[Record, Operation]],
        slots: Sequence[Slot],
        limit: int,
    ) -> tuple[list[Job], list[Record]]:
        """The calls that the slots suffice for, and the leads that are due again for want of a slot."""
        now = self._clock()
        jobs: list[Job] = []
        left_over: list[Record] = []
        free, searches = iter(slots), iter(self._free_slots(connection, budget.SEARCH, now, len(slots)))
        for family, group in self._calls(to_send):
            rows, operations = _unzipped(group)
            search = next(searches, None) if family.is_search else ()
            taken = tuple(islice(free, family.cost)) if search is not None and len(jobs) < limit else ()
            if len(taken) == family.cost and search is not None:
                jobs.append(Job(rows, operations, (*taken, search) if search else taken))
                continue
            name = budget.SEARCH if search is None else budget.REQUESTS
            due_at = max(now, self._next_free_at(connection, name) or now)
            left_over += [replace(row, state=RecordState.DUE, due_at=due_at) for row in rows]
        return jobs, left_over

    def _calls(
        self, to_send: Sequence[tuple[Record, Operation]]
    ) -> Iterator[tuple[Family, list[tuple[Record, Operation]]]]:
        """Operations of one family together, as many as one call carries."""
        families: dict[Family, list[tuple[Record, Operation]]] = {}
        for row, operation in to_send:
            families.setdefault(self._destination.family(operation), []).append((row, operation))
        size = self._destination.max_batch
        for family, group in families.items():
            for start in range(0, len(group), size):
                yield family, group[start : start + size]

    def _free_slots(self, connection: Connection, name: str, now: Micros, limit: int) -> list[Slot]:
        return budget.free_slots(connection, self._account, name, now, limit)

    def _next_free_at(self, connection: Connection, name: str) -> Micros | None:
        return budget.next_free_at(connection, self._account, name)

    def _free_after_crash(self, now: Micros) -> dict[str, Micros]:
        return {
            name: now + int((LONGEST_REQUEST_SECONDS + limit.seconds) * MICROS_PER_SECOND)
            for name, limit in self._windows.items()
        }

    # send

    def _deliver(self, job: Job) -> None:
        try:
            self._send_and_settle(job)
        except _StoppingError:
            pass  # `close` gives the leads back
        except Exception:
            # The leases run out and the bundles are sent again.
            log.exception("A delivery failed", extra={"leadwire_fields": {"action": "worker.error"}})
        finally:
            with self._counting:
                self._in_hand -= Counter(row.id for row in job.rows)
                self._requests_in_hand -= 1

    def _held(self) -> set[str]:
        with self._counting:
            return set(self._in_hand)

    def _send_and_settle(self, job: Job) -> None:
        made = self._send(job)
        whole = [attempt for attempt in made if attempt.outcome.kind != "split"]
        refused = [attempt.operation.record_id for attempt in made if attempt.outcome.kind == "split"]
        self._write_down(job, self._with_links(whole))
        if refused:
            self._send_halves(job, refused)

    def _send(self, job: Job) -> list[Attempt]:
        started_at, ticks = self._clock(), elapsed()
        outcomes = self._destination.send(job.operations)
        duration = elapsed() - ticks
        metrics.ATTEMPTS.labels(str(outcomes[0].status or "none")).inc()
        metrics.ATTEMPT_SECONDS.observe(duration)
        micros = int(duration * MICROS_PER_SECOND)
        return [
            Attempt(operation, outcome, started_at, micros)
            for operation, outcome in zip(job.operations, outcomes, strict=True)
        ]

    def _send_halves(self, job: Job, lead_ids: Sequence[str]) -> None:
        log_action(log, "batch.split", "A batch was refused for one of its leads: it goes again in halves",
                   logging.WARNING, leads=len(lead_ids))  # fmt: skip
        chosen = [pair for pair in zip(job.rows, job.operations, strict=True) if pair[0].id in set(lead_ids)]
        middle = (len(chosen) + 1) // 2
        for half in filter(None, (chosen[:middle], chosen[middle:])):
            slots = self._take_slots([name for name, _ in job.slots])
            self._send_and_settle(Job(*_unzipped(half), slots))

    def _take_slots(self, names: Sequence[str]) -> tuple[Slot, ...]:
        """As many slots of these budgets, once they are free and delivery is not paused."""
        wanted = Counter(names)
        while not self._stopping.is_set():
            with self._store.write() as connection:
                now = self._clock()
                wait_until = budget.current_pause(connection, self._account).until
                found = {
                    name: self._free_slots(connection, name, now, number)
                    for name, number in (wanted.items() if wait_until <= now else ())
                }
                if all(len(found.get(name, ())) == number for name, number in wanted.items()):
                    taken = tuple(chain.from_iterable(found.values()))
                    free_at = self._free_after_crash(now)
                    budget.occupy(connection, self._account, {slot: free_at[slot[0]] for slot in taken})
                    return taken
                times = [self._next_free_at(connection, name) or now for name in names]
            seconds = (max(wait_until, *times) - now) / MICROS_PER_SECOND
            self._stopping.wait(min(max(seconds, 0.001), LONGEST_WAIT_FOR_SLOT_SECONDS))
        raise _StoppingError

    # settle

    def _with_links(self, made: Sequence[Attempt]) -> list[Attempt]:
        """The attempts, after what HubSpot said of who the leads are is remembered."""
        found = {
            attempt.operation.record_id: attempt.outcome.found for attempt in made if attempt.outcome.found
        }
        if not found:
            return list(made)
        contradictions = take_found(self._store, self._account, found, self._clock())
        return [
            replace(attempt, outcome=Outcome("set_aside", attempt.outcome.status, cause))
            if (cause := contradictions.get(attempt.operation.record_id))
            else attempt
            for attempt in made
        ]

    def _write_down(self, job: Job, made: Sequence[Attempt]) -> None:
        try:
            rows = self._settle.submit(_Settled(job.slots, tuple(made)))
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
            _report(attempt, waiting_since[id], rows.get(id), self._clock())

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
        with self._store.write() as connection:
            return self._settle_in(connection, [_Settled(slots, tuple(made))])[0]

    def _settle_in(self, connection: Connection, done: Sequence[_Settled]) -> list[Mapping[str, Record]]:
        """The leads as they are after these attempts, without those whose lease ran out meanwhile."""
        now = self._clock()
        made = [attempt for item in done for attempt in item.attempts]
        held = records.still_leased(
            connection, self._worker, [attempt.operation.record_id for attempt in made]
        )
        rows = {
            id: after_attempt(held[id], attempt, now, self._chance())
            for attempt in made
            if (id := attempt.operation.record_id) in held
        }
        rows |= self._not_where_hubspot_said(connection, made, rows, now)
        records.save(connection, list(rows.values()), now)
        attempts.add_attempts(connection, self._account, made)
        budget.occupy(
            connection,
            self._account,
            {slot: self._free_at(slot, now) for item in done for slot in item.slots},
        )
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
        forgotten = identifiers.unlink_found(connection, missing, self._reach.id_kind)
        return {id: looked_up_again(rows[id], now) for id in forgotten if id in rows}

    def _free_at(self, slot: Slot, now: Micros) -> Micros:
        return now + int(self._windows[slot[0]].seconds * MICROS_PER_SECOND)

    def _pause_or_resume(self, connection: Connection, done: Sequence[Attempt], now: Micros) -> None:
        before = budget.current_pause(connection, self._account)
        stopping = next((attempt.outcome for attempt in done if attempt.outcome.pauses_all), None)
        if stopping is not None and before.until <= now:
            budget.pause(connection, self._account, next_pause(before.pauses, stopping, now))
        elif stopping is None and ended(before, done):
            budget.resume(connection, self._account)
        used_up_for = max(attempt.outcome.used_up_for or 0.0 for attempt in done)
        if used_up_for:
            until = now + int(used_up_for * MICROS_PER_SECOND)
            budget.pause(
                connection, self._account, budget.Pause(until, 0, "HubSpot says that its limit is used up")
            )


def _unzipped(
    pairs: Sequence[tuple[Record, Operation]],
) -> tuple[tuple[Record, ...], tuple[Operation, ...]]:
    return tuple(row for row, _ in pairs), tuple(operation for _, operation in pairs)


def _as_dead(attempt: Attempt, cause: Cause) -> Attempt:
    """The attempt as one that makes its lead a dead letter, and tells nothing else."""
    nothing = Write(attempt.operation.record_id, {}, {}, attempt.operation.event_ids)
    return replace(attempt, operation=nothing, outcome=Outcome("set_aside", attempt.outcome.status, cause))


def _report(attempt: Attempt, waiting_since: Micros | None, row: Record | None, now: Micros) -> None:
    outcome, operation = attempt.outcome, attempt.operation
    fields = fields_of(operation)
    facts: dict[str, object] = {
        "lead": operation.record_id,
        "ids": sorted({event.partition("-")[0] for event in operation.event_ids}),
        "status": outcome.status,
        "fields": len(fields),
        "ms": round(attempt.duration / 1000),
    }
    if outcome.kind == "done":
        if waiting_since is not None and fields:
            metrics.LAG_SECONDS.observe((now - waiting_since) / MICROS_PER_SECOND)
        _report_done(operation, facts)
        return
    cause = (row.cause if row is not None else None) or outcome.cause or Cause("unknown", "", "")
    facts |= {"cause": cause.code, "cure": cause.cure}
    if row is not None and row.state is RecordState.DEAD:
        metrics.DEAD.labels(cause.code).inc()
        log_action(log, "lead.dead", cause.detail, logging.ERROR, **facts)
    elif outcome.pauses_all:
        log_action(log, "delivery.paused", cause.detail, logging.ERROR, **facts)
    else:
        log_action(log, "lead.retry", cause.detail, logging.WARNING, **facts)


def _report_done(operation: Operation, facts: Mapping[str, object]) -> None:
    if isinstance(operation, Find):
        log_action(log, "lead.found", "HubSpot knows the lead", **facts)
    else:
        log_action(log, "lead.delivered", "Delivered", **facts)


def _report_unsent(row: Record, cause: Cause) -> None:
    facts = {"lead": row.id, "cause": cause.code, "cure": cause.cure}
    if row.state is RecordState.DEAD:
        metrics.DEAD.labels(cause.code).inc()
        log_action(log, "lead.dead", cause.detail, logging.ERROR, **facts)
    else:
        log_action(log, "lead.retry", cause.detail, logging.WARNING, **facts)


def _too_narrow(limit: RateLimit, destination: Destination) -> SettingError:
    wider = RateLimit(destination.most_cost, limit.seconds / limit.requests * destination.most_cost)
    return SettingError(
        f"HUBSPOT_RATE_LIMIT: {limit} is too narrow for {destination.name}, where one update can take"
        f" {destination.most_cost} requests: write {wider}, which is the same rate over a longer time."
    )
