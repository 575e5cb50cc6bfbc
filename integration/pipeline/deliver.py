"""Deliver: due bundles are claimed within the budget, sent to HubSpot, and settled by how that went."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from integration import metrics
from integration.clock import Clock
from integration.errors import LeadwireError
from integration.hubspot import Destination
from integration.lead.merge import LeadState, confirm, from_json, pending, to_json
from integration.logs import log_action
from integration.records import MICROS_PER_SECOND, Bundle, Cause, Micros, Outcome
from integration.settings import RateLimit
from integration.store import attempts, budget, leads
from integration.store.attempts import Attempt
from integration.store.engine import Store
from integration.store.group_commit import GroupCommit
from integration.store.leads import LeadRow

log = logging.getLogger(__name__)

LEASE_SECONDS = 10
LONGEST_REQUEST_SECONDS = 60
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 3600.0
GIVE_UP_SECONDS = 3 * 24 * 3600
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Job:
    """A leased lead with something to send, and the slot of the budget that its request takes."""

    row: LeadRow
    bundle: Bundle
    slot: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What one look at the store found. `wait_until` is when it is worth looking again at the latest."""

    jobs: tuple[Job, ...]
    wait_until: Micros | None


class Deliverer:
    """Sends due bundles. Any number may run at once, in any process: leases and the budget are shared."""

    def __init__(
        self,
        store: Store,
        destination: Destination,
        clock: Clock,
        rate_limit: RateLimit,
        *,
        worker: str,
        concurrency: int,
        jitter: random.Random | None = None,
    ) -> None:
        self._store = store
        self._destination = destination
        self._clock = clock
        self._rate_limit = rate_limit
        self._worker = worker
        self._concurrency = concurrency
        self._jitter = jitter or random.Random()  # noqa: S311 - spreads retries, keeps no secret
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="deliver")
        self._settle: GroupCommit[tuple[Job, Attempt], None] = GroupCommit(
            store, self._settle_in, name="settle"
        )
        with store.write() as connection:
            budget.ensure_slots(connection, rate_limit.requests)

    def claim(self, limit: int) -> Claim:
        """Lease up to `limit` due leads within the budget; those with nothing to send are settled at once."""
        with self._store.read() as connection:
            now = self._clock()
            if not leads.anything_due(connection, now):
                return Claim((), leads.next_due_at(connection))
            pause = budget.current_pause(connection)
        if pause.until > now:
            return Claim((), pause.until)
        with self._store.write() as connection:
            return self._claim_in(connection, 1 if pause.pauses else limit)

    def start(self, job: Job, when_done: Callable[[], None]) -> None:
        """Send a job in a thread of its own; `when_done` is called after it is settled."""
        future = self._threads.submit(self._deliver, job)
        future.add_done_callback(lambda _: when_done())

    def run_once(self) -> int:
        """Claim and deliver what is due now, and wait for it; returns how many requests were made."""
        claim = self.claim(self._concurrency)
        for future in [self._threads.submit(self._deliver, job) for job in claim.jobs]:
            future.result()
        return len(claim.jobs)

    def keep_leases(self) -> None:
        """To be called every few seconds; also recovers the leads of workers that went silent."""
        with self._store.write() as connection:
            now = self._clock()
            leads.renew_leases(connection, self._worker, now + LEASE_SECONDS * MICROS_PER_SECOND)
            recovered = leads.recover_expired(connection, now)
        if recovered:
            log_action(
                log, "lead.recovered", "Took over leads of a worker that went silent", logging.WARNING,
                leads=recovered,
            )  # fmt: skip

    def close(self) -> None:
        """Finish the attempts in hand and give back what was claimed but not begun."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._settle.close()
        with self._store.write() as connection:
            leads.release(connection, self._worker, self._clock())

    def _claim_in(self, connection: Connection, limit: int) -> Claim:
        now = self._clock()
        slots = budget.free_slots(connection, now, limit)
        if not slots:
            return Claim((), budget.next_free_at(connection))
        rows = leads.claim_due(
            connection, self._worker, now, now + LEASE_SECONDS * MICROS_PER_SECOND, len(slots)
        )
        known = leads.identifiers_of(connection, [row.id for row in rows])
        bundles = [(row, bundle_of(row, known[row.id])) for row in rows]
        leads.save(connection, [_clean(row) for row, bundle in bundles if not bundle.fields], now)
        to_send = [(row, bundle) for row, bundle in bundles if bundle.fields]
        jobs = tuple(Job(row, bundle, slot) for (row, bundle), slot in zip(to_send, slots, strict=False))
        budget.occupy(connection, [job.slot for job in jobs], [self._free_after_crash(now)] * len(jobs))
        return Claim(jobs, None)

    def _free_after_crash(self, now: Micros) -> Micros:
        return now + int((LONGEST_REQUEST_SECONDS + self._rate_limit.seconds) * MICROS_PER_SECOND)

    def _deliver(self, job: Job) -> None:
        started_at, ticks = self._clock(), time.perf_counter()
        (outcome,) = self._destination.send([job.bundle])
        duration = time.perf_counter() - ticks
        metrics.ATTEMPTS.labels(str(outcome.status or "none")).inc()
        metrics.ATTEMPT_SECONDS.observe(duration)
        attempt = Attempt(job.bundle, outcome, started_at, int(duration * MICROS_PER_SECOND))
        try:
            self._settle.submit((job, attempt))
        except LeadwireError as error:
            # The lease runs out and the bundle is sent again: twice is harmless, never is not.
            log_action(log, "lead.unsettled", str(error), logging.ERROR, lead=job.row.id)
        _report(job, outcome, duration, self._clock())

    def _settle_in(self, connection: Connection, done: Sequence[tuple[Job, Attempt]]) -> list[None]:
        now = self._clock()
        held = leads.still_leased(connection, self._worker, [job.row.id for job, _ in done])
        rows = [
            settled_row(held[job.row.id], attempt, now, self._jitter.random())
            for job, attempt in done
            if job.row.id in held
        ]
        leads.save(connection, rows, now)
        attempts.add_attempts(connection, [attempt for _, attempt in done])
        free_at = now + int(self._rate_limit.seconds * MICROS_PER_SECOND)
        budget.occupy(connection, [job.slot for job, _ in done], [free_at] * len(done))
        self._pause_or_resume(connection, [attempt.outcome for _, attempt in done], now)
        return [None] * len(done)

    def _pause_or_resume(self, connection: Connection, outcomes: Sequence[Outcome], now: Micros) -> None:
        stopping = next((outcome for outcome in outcomes if pauses_all(outcome)), None)
        if stopping is None:
            if any(outcome.kind == "done" for outcome in outcomes):
                budget.resume(connection)
            return
        before = budget.current_pause(connection)
        if before.until <= now:
            budget.pause(connection, next_pause(before.pauses, stopping, now))


def bundle_of(row: LeadRow, identifiers: dict[str, str]) -> Bundle:
    """All that HubSpot does not have yet of this lead."""
    state = from_json(row.document)
    fields = pending(state)
    return Bundle(row.id, identifiers, fields, sorted({state[name].event_id for name in fields}))


def settled_row(row: LeadRow, attempt: Attempt, now: Micros, jitter: float) -> LeadRow:
    """The lead after an attempt: clean, due later, or dead. `jitter` is a random number from 0 to 1.

    `row` is as it is now: changes that came while the request was on its way are in it, and stay unsent.
    """
    outcome = attempt.outcome
    if outcome.kind == "done":
        return _delivered(row, confirm(from_json(row.document), attempt.bundle.fields), now)
    failing_since = row.failing_since or now
    if outcome.kind == "again" and now - failing_since > GIVE_UP_SECONDS * MICROS_PER_SECOND:
        outcome = replace(outcome, kind="set_aside", cause=_gave_up(outcome))
    if outcome.kind == "set_aside":
        return replace(row, state="dead", due_at=None, failing_since=failing_since, cause=outcome.cause)
    if pauses_all(outcome):
        return replace(row, state="due", due_at=now)  # no fault of this lead: it keeps its place
    delay = retry_delay(row.attempts, outcome.retry_after, jitter)
    return replace(
        row, state="due", due_at=now + delay, attempts=row.attempts + 1, failing_since=failing_since,
        cause=outcome.cause,
    )  # fmt: skip


def pauses_all(outcome: Outcome) -> bool:
    """Whether this says that no request can work now, whichever lead it is for."""
    return outcome.kind == "stop" or outcome.status == 429


def next_pause(pauses: int, outcome: Outcome, now: Micros) -> budget.Pause:
    """The pause that follows `pauses` pauses in a row."""
    seconds = outcome.retry_after
    if seconds is None:
        seconds = min(FIRST_PAUSE_SECONDS * 2**pauses, LONGEST_PAUSE_SECONDS)
    detail = outcome.cause.detail if outcome.cause else ""
    return budget.Pause(now + int(seconds * MICROS_PER_SECOND), pauses + 1, detail)


def retry_delay(attempts_before: int, retry_after: float | None, jitter: float) -> Micros:
    """Exponential with full jitter on the upper half, never sooner than HubSpot asks for."""
    longest = min(FIRST_RETRY_SECONDS * 2.0 ** min(attempts_before, 30), LONGEST_RETRY_SECONDS)
    seconds = max(longest * (0.5 + jitter / 2), retry_after or 0.0)
    return int(seconds * MICROS_PER_SECOND)


def _delivered(row: LeadRow, state: LeadState, now: Micros) -> LeadRow:
    clean = _clean(replace(row, document=to_json(state)))
    if not pending(state):
        return clean
    return replace(clean, state="due", due_at=now, waiting_since=now)


def _clean(row: LeadRow) -> LeadRow:
    return replace(
        row, state="clean", due_at=None, waiting_since=None, attempts=0, failing_since=None, cause=None
    )  # fmt: skip


def _gave_up(outcome: Outcome) -> Cause:
    last = outcome.cause.detail if outcome.cause else "no answer"
    return Cause(
        "gave_up",
        f"HubSpot could not be reached for this lead in {GIVE_UP_SECONDS // 86400} days. Last: {last}",
        "When HubSpot works again, run `leadwire dead retry --cause gave_up`.",
    )


def _report(job: Job, outcome: Outcome, duration: float, now: Micros) -> None:
    facts: dict[str, object] = {
        "lead": job.row.id,
        "ids": sorted({event.partition("-")[0] for event in job.bundle.event_ids}),
        "status": outcome.status,
        "fields": len(job.bundle.fields),
        "ms": round(duration * 1000),
    }
    cause = outcome.cause or Cause("", "", "")
    if outcome.kind == "done":
        if job.row.waiting_since is not None:
            metrics.LAG_SECONDS.observe((now - job.row.waiting_since) / MICROS_PER_SECOND)
        log_action(log, "lead.delivered", "Delivered", **facts)
    elif outcome.kind == "again":
        log_action(log, "lead.retry", cause.detail, logging.WARNING, cause=cause.code, **facts)
    elif outcome.kind == "stop":
        log_action(
            log,
            "delivery.paused",
            cause.detail,
            logging.ERROR,
            cause=cause.code,
            cure=cause.cure,
            **facts,
        )
    else:
        metrics.DEAD.labels(cause.code).inc()
        log_action(log, "lead.dead", cause.detail, logging.ERROR, cause=cause.code, cure=cause.cure, **facts)
