"""The worker: translates what came in and delivers what is due, until it is told to stop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from integration.config.sources import Sources
from integration.core.clock import Clock, new_id, now
from integration.core.errors import StoreUnavailableError
from integration.core.logs import log_action
from integration.core.memory import spare_the_collector
from integration.core.settings import Settings
from integration.core.values import MAIN_ACCOUNT, MICROS_PER_SECOND
from integration.core.world import world
from integration.hubspot import Destination
from integration.lead.record import BundleTiming
from integration.operate.account_check import PortalWatch
from integration.operate.alert_webhook import AlertWebhook
from integration.operate.alerts import Alerts
from integration.operate.mapping_alerts import MappingAlerts
from integration.operate.retention import Retention
from integration.pipeline.deliver import Deliverer
from integration.pipeline.fetch import Fetcher
from integration.pipeline.held import HeldRequests
from integration.pipeline.keeper import Keeper
from integration.pipeline.rebuild import rebuild_once
from integration.pipeline.translate import Translator
from integration.store.engine import Store
from integration.store.patience import Outage
from integration.store.wakeup import Changes

log = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
LEASE_RENEWAL_SECONDS = 3.0
PAUSE_AFTER_ERROR_SECONDS = 1.0
PRUNING_INTERVAL_SECONDS = 600.0
ALERT_INTERVAL_SECONDS = 30.0
PORTAL_LOOK_SECONDS = 60.0
CONFIGURATION_LOOK_SECONDS = 1.0
PAUSE_WHILE_PRUNING_SECONDS = 0.2  # accepting and delivering come first


class Worker:
    """One worker process. Any number may share a PostgreSQL database, or one machine's SQLite file."""

    def __init__(
        self,
        store: Store,
        sources: Sources,
        destination: Destination,
        settings: Settings,
        clock: Clock = now,
        *,
        portal: PortalWatch | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self._portal = portal
        self._keeper = keeper
        self._held = HeldRequests(store, MAIN_ACCOUNT, sources, max_body_bytes=settings.max_body_bytes)
        self._mapping_alerts = MappingAlerts(sources)
        name = f"{world().process_name()}-{new_id(clock())[-6:]}"
        timing = BundleTiming.from_seconds(settings.bundle_window, settings.bundle_max_wait)
        self._store = store
        self._clock = clock
        self._capacity = 4 * settings.worker_concurrency  # a claim costs a transaction, so it takes several
        self._translator = Translator(
            store, MAIN_ACCOUNT, sources, clock, timing, worker=name, max_body_bytes=settings.max_body_bytes
        )
        self._deliverer = Deliverer(
            store, MAIN_ACCOUNT, destination, clock, settings.hubspot_rate_limit,
            worker=name, concurrency=settings.worker_concurrency,
        )  # fmt: skip
        self._fetcher = Fetcher(
            store, MAIN_ACCOUNT, sources, clock,
            worker=name, max_body_bytes=settings.max_body_bytes, allow_private=settings.fetch_allow_private,
        )  # fmt: skip
        self._retention = Retention(store, clock, settings.retention_days)
        url = settings.alert_webhook_url
        self._alerts = Alerts(store, MAIN_ACCOUNT, clock, AlertWebhook(url).post if url else None)
        self._outage = Outage()
        self._stop = world().event()
        self._received = world().event()
        self._due = world().event()
        self._fetchable = world().event()

    def stop(self) -> None:
        """Finish what is in hand, then return from `run`. Safe in a signal handler."""
        self._stop.set()
        self._received.set()
        self._due.set()
        self._fetchable.set()

    def run(self) -> None:
        """Work until `stop` is called."""
        spare_the_collector()
        log_action(log, "worker.started", "Worker started")
        threads = [
            world().thread(partial(self._repeat, step), name=step.__name__.strip("_"))
            for step in (
                self._watch,
                self._keep_configuration,
                self._take_held_apart,
                self._translate,
                self._fetch,
                self._deliver,
                self._keep_leases,
                self._prune,
                self._alert,
                self._watch_portal,
            )
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._deliverer.close()
        self._fetcher.close()
        log_action(log, "worker.stopped", "Worker stopped: what was in hand is finished")

    def _watch(self) -> None:
        with Changes(self._store) as changes:
            while not self._stop.is_set():
                if changes.wait(IDLE_SECONDS):
                    self._received.set()
                    self._due.set()
                self._outage.done(self._watch.__name__)

    def _repeat(self, step: Callable[[], None]) -> None:
        """Run `step` again and again. What fails is said and tried again: no error ends a worker. That the
        store is away is said once for all steps.
        """
        while not self._stop.is_set():
            try:
                step()
                self._outage.done(step.__name__)
            except StoreUnavailableError as error:
                self._outage.missed(step.__name__, error)
                self._stop.wait(PAUSE_AFTER_ERROR_SECONDS)
            except Exception:
                log.exception(
                    "Failed, and will try again", extra={"leadwire_fields": {"action": "worker.error"}}
                )
                self._stop.wait(PAUSE_AFTER_ERROR_SECONDS)

    def _keep_configuration(self) -> None:
        if self._keeper is not None:
            self._keeper.step()
        self._stop.wait(CONFIGURATION_LOOK_SECONDS)

    def _take_held_apart(self) -> None:
        if self._held.step():
            self._received.set()
        else:
            self._stop.wait(CONFIGURATION_LOOK_SECONDS)

    def _translate(self) -> None:
        if self._translator.run_once() or rebuild_once(self._store, MAIN_ACCOUNT, self._clock):
            self._due.set()
            self._fetchable.set()
        else:
            self._received.wait(IDLE_SECONDS)
            self._received.clear()

    def _fetch(self) -> None:
        if not self._fetcher.start(self._fetched):
            self._fetchable.wait(IDLE_SECONDS)
            self._fetchable.clear()

    def _fetched(self) -> None:
        self._fetchable.set()
        self._received.set()

    def _deliver(self) -> None:
        free = self._capacity - self._deliverer.in_hand
        if free < self._capacity // 2:
            self._wait_for_work(IDLE_SECONDS)
            return
        claim = self._deliverer.claim(free)
        for job in claim.jobs:
            self._deliverer.start(job, self._due.set)
        if not claim.jobs:
            self._wait_for_work(self._seconds_until(claim.wait_until))

    def _wait_for_work(self, seconds: float) -> None:
        self._due.wait(seconds)
        self._due.clear()

    def _seconds_until(self, time: int | None) -> float:
        if time is None:
            return IDLE_SECONDS
        return min(max((time - self._clock()) / MICROS_PER_SECOND, 0.001), IDLE_SECONDS)

    def _keep_leases(self) -> None:
        self._deliverer.keep_leases()
        self._stop.wait(LEASE_RENEWAL_SECONDS)

    def _prune(self) -> None:
        more = self._retention.step()
        self._stop.wait(PAUSE_WHILE_PRUNING_SECONDS if more else PRUNING_INTERVAL_SECONDS)

    def _watch_portal(self) -> None:
        if self._portal is not None:
            self._portal.step()
        self._stop.wait(PORTAL_LOOK_SECONDS)

    def _alert(self) -> None:
        self._alerts.step(self._stop.is_set)
        self._mapping_alerts.step(self._alerts, self._stop.is_set)
        self._stop.wait(ALERT_INTERVAL_SECONDS)
