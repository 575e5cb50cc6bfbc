"""Deliver: due bundles are claimed within the budget, sent to HubSpot, and settled by how that went."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import Connection

from integration import metrics
from integration.clock import Clock
from integration.errors import LeadwireError
from integration.hubspot import Destination
from integration.logs import log_action
from integration.pipeline.settling import bundle_of, clean, ended, next_pause, pauses_all, settled_row
from integration.records import MICROS_PER_SECOND, Bundle, Cause, Micros
from integration.settings import RateLimit
from integration.store import attempts, budget, leads
from integration.store.attempts import Attempt
from integration.store.engine import Store
from integration.store.group_commit import GroupCommit
from integration.store.leads import LeadRow

log = logging.getLogger(__name__)

LEASE_SECONDS = 10
LONGEST_REQUEST_SECONDS = 60


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
        self._settle: GroupCommit[tuple[Job, Attempt], LeadRow | None] = GroupCommit(
            store, self._settle_in, name="settle"
        )
        self._in_hand: set[str] = set()  # each operation on it is atomic: no lock is needed
        with store.write() as connection:
            budget.ensure_slots(connection, rate_limit.requests)

    @property
    def in_hand(self) -> int:
        """How many leads are claimed and not settled yet."""
        return len(self._in_hand)

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
            claim = self._claim_in(connection, 1 if pause.pauses else limit)
        self._in_hand.update({job.row.id for job in claim.jobs})
        return claim

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
            # Only what is in hand: a lead whose outcome could not be written down must not be kept for ever.
            leads.renew_leases(
                connection, self._worker, self._in_hand.copy(), now + LEASE_SECONDS * MICROS_PER_SECOND
            )
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
        leads.save(
            connection, [clean(row) for row, bundle in bundles if not (bundle.fields or bundle.reads)], now
        )
        to_send = [(row, bundle) for row, bundle in bundles if bundle.fields or bundle.reads]
        jobs = tuple(Job(row, bundle, slot) for (row, bundle), slot in zip(to_send, slots, strict=False))
        budget.occupy(connection, [job.slot for job in jobs], [self._free_after_crash(now)] * len(jobs))
        return Claim(jobs, None)

    def _free_after_crash(self, now: Micros) -> Micros:
        return now + int((LONGEST_REQUEST_SECONDS + self._rate_limit.seconds) * MICROS_PER_SECOND)

    def _deliver(self, job: Job) -> None:
        try:
            self._send_and_settle(job)
        finally:
            self._in_hand.discard(job.row.id)

    def _send_and_settle(self, job: Job) -> None:
        started_at, ticks = self._clock(), time.perf_counter()
        (outcome,) = self._destination.send([job.bundle])
        duration = time.perf_counter() - ticks
        metrics.ATTEMPTS.labels(str(outcome.status or "none")).inc()
        metrics.ATTEMPT_SECONDS.observe(duration)
        attempt = Attempt(job.bundle, outcome, started_at, int(duration * MICROS_PER_SECOND))
        try:
            row = self._settle.submit((job, attempt))
        except LeadwireError as error:
            # The lease runs out and the bundle is sent again: twice is harmless, never is not.
            log_action(log, "lead.unsettled", str(error), logging.ERROR, lead=job.row.id)
        else:
            _report(job, attempt, row, self._clock())

    def _settle_in(self, connection: Connection, done: Sequence[tuple[Job, Attempt]]) -> list[LeadRow | None]:
        """The leads as they are after these attempts; None for one whose lease ran out meanwhile."""
        now = self._clock()
        held = leads.still_leased(connection, self._worker, [job.row.id for job, _ in done])
        rows = {
            job.row.id: settled_row(held[job.row.id], attempt, now, self._jitter.random())
            for job, attempt in done
            if job.row.id in held
        }
        leads.save(connection, list(rows.values()), now)
        attempts.add_attempts(connection, [attempt for _, attempt in done])
        free_at = now + int(self._rate_limit.seconds * MICROS_PER_SECOND)
        budget.occupy(connection, [job.slot for job, _ in done], [free_at] * len(done))
        self._pause_or_resume(connection, [attempt for _, attempt in done], now)
        return [rows.get(job.row.id) for job, _ in done]

    def _pause_or_resume(self, connection: Connection, done: Sequence[Attempt], now: Micros) -> None:
        before = budget.current_pause(connection)
        stopping = next((attempt.outcome for attempt in done if pauses_all(attempt.outcome)), None)
        if stopping is not None and before.until <= now:
            budget.pause(connection, next_pause(before.pauses, stopping, now))
        elif stopping is None and ended(before, done):
            budget.resume(connection)
        used_up_for = max(attempt.outcome.used_up_for or 0.0 for attempt in done)
        if used_up_for:
            until = now + int(used_up_for * MICROS_PER_SECOND)
            budget.pause(connection, budget.Pause(until, 0, "HubSpot says that its limit is used up"))


def _report(job: Job, attempt: Attempt, row: LeadRow | None, now: Micros) -> None:
    outcome = attempt.outcome
    facts: dict[str, object] = {
        "lead": job.row.id,
        "ids": sorted({event.partition("-")[0] for event in job.bundle.event_ids}),
        "status": outcome.status,
        "fields": len(job.bundle.fields),
        "ms": round(attempt.duration / 1000),
    }
    if outcome.kind == "done":
        if job.row.waiting_since is not None:
            metrics.LAG_SECONDS.observe((now - job.row.waiting_since) / MICROS_PER_SECOND)
        log_action(log, "lead.delivered", "Delivered", **facts)
        return
    cause = (row.cause if row is not None else None) or outcome.cause or Cause("unknown", "", "")
    facts |= {"cause": cause.code, "cure": cause.cure}
    if row is not None and row.state == "dead":
        metrics.DEAD.labels(cause.code).inc()
        log_action(log, "lead.dead", cause.detail, logging.ERROR, **facts)
    elif pauses_all(outcome):
        log_action(log, "delivery.paused", cause.detail, logging.ERROR, **facts)
    else:
        log_action(log, "lead.retry", cause.detail, logging.WARNING, **facts)
