"""Deliver: due bundles are claimed within the budget, sent to HubSpot, and settled by how that went.

One call carries one operation or many: whatever the API takes. A call that is refused for one operation
that the answer does not name is sent again in halves, until that one stands alone.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from integration.core import metrics
from integration.core.clock import Clock, elapsed
from integration.core.durations import DELIVERY_LEASE_SECONDS
from integration.core.logs import log_action
from integration.core.settings import RateLimit
from integration.core.values import MICROS_PER_SECOND, Attempt
from integration.core.world import Future, world
from integration.hubspot import Destination
from integration.pipeline.claim import Claim, Claimer, Delivery, Job, unzipped
from integration.pipeline.settle import Settler
from integration.pipeline.slots import Slots, StoppingError
from integration.store import records
from integration.store.engine import Store

log = logging.getLogger(__name__)


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
        # Before any thread begins: without a store, this is tried again.
        self._slots = Slots(store, account, destination, clock, rate_limit)
        delivery = Delivery(store, account, destination, clock, self._slots, worker, chance or world().chance)
        self._claimer = Claimer(delivery)
        self._settler = Settler(delivery)
        self._store = store
        self._account = account
        self._destination = destination
        self._clock = clock
        self._worker = worker
        self._concurrency = concurrency
        self._threads = world().pool(concurrency, name="deliver")
        self._stopping = world().event()
        self._requests_in_hand = 0
        # By lead, in how many calls: the first half of a split call may be settled, and its leads claimed
        # again, while the second is still on its way.
        self._in_hand: Counter[str] = Counter()
        self._counting = world().lock()

    @property
    def in_hand(self) -> int:
        """How many requests are claimed and not settled yet."""
        return self._requests_in_hand

    def claim(self, limit: int) -> Claim:
        """See `Claimer.claim`; the jobs are in hand from now on."""
        claim = self._claimer.claim(limit)
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
        while not claim.jobs and claim.wait_until is not None and claim.wait_until <= self._clock():
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
        self._settler.close()
        with self._store.write() as connection:
            records.release(connection, self._account, self._worker, self._clock())

    def _deliver(self, job: Job) -> None:
        try:
            self._send_and_settle(job)
        except StoppingError:
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
        self._settler.settle(job, whole)
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
            slots = self._slots.wait_for([name for name, _ in job.slots], self._stopping)
            self._send_and_settle(Job(*unzipped(half), slots))
