"""What accepting, translating, claiming and listing cost with ever more settled events in the store.

Each cost is the median of many repetitions; beside it stands its ratio to that with the fewest events.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import ROOT, postgresql_server
from sqlalchemy import insert, text
from translate import HEADERS, bodies

from integration.config.sources import Source, Sources
from integration.core.clock import new_id, now
from integration.core.memory import spare_the_collector
from integration.core.settings import MIB, RateLimit
from integration.core.values import MAIN_ACCOUNT, IncomingEvent, RawRequest
from integration.http.oauth import StaticToken
from integration.hubspot.caller import Caller
from integration.hubspot.leads_v1 import LeadsV1
from integration.lead.record import BundleTiming
from integration.pipeline.deliver import Deliverer
from integration.pipeline.translate import Translator
from integration.store import records, tables
from integration.store.backlog import read_backlog
from integration.store.engine import Store
from integration.store.inbox import Arrival, store_arrivals
from integration.store.upgrade import upgrade
from integration.store.views.event_views import list_events
from integration.store.views.request_views import list_rejected

GROUP = 50
CHUNK = 5_000
EVENTS_PER_LEAD = 10


class Filled:
    """A store that is filled with settled events, step by step, and the things to measure in it."""

    def __init__(self, url: str) -> None:
        self.store = Store(url)
        upgrade(self.store)
        sources = Sources(ROOT / "mappings", {"STRIPE_WEBHOOK_SECRET": "whsec_benchmark"})
        source = sources.get("stripe")
        assert isinstance(source, Source)
        self._settled = 0
        self._accepted = 0
        self._bodies = bodies(GROUP, GROUP)
        self.translator = Translator(
            self.store, MAIN_ACCOUNT, sources, now, BundleTiming(0, 0), worker="bench", max_body_bytes=MIB
        )
        destination = LeadsV1(Caller("http://127.0.0.1:9"), StaticToken("bench-token"))
        limit = RateLimit(5_000, 1)
        self._deliverer = Deliverer(
            self.store, MAIN_ACCOUNT, destination, now, limit, worker="bench", concurrency=1
        )

    def fill(self, events: int) -> None:
        while self._settled < events:
            count = min(CHUNK, events - self._settled)
            with self.store.write() as connection:
                self._fill(connection, count)
            self._settled += count
        with self.store.write() as connection:
            connection.execute(text("ANALYZE"))

    def _fill(self, connection: object, count: int) -> None:
        at = now()
        ids = [new_id(at) for _ in range(count)]
        lead_ids = [new_id(at) for _ in range(count // EVENTS_PER_LEAD)]
        body = self._bodies[0]
        common = {"source": "stripe", "position": 0, "type": "invoice.paid", "occurred_at": at}
        request = {"received_at": at, "client": "127.0.0.1", "method": "POST", "headers": "{}"}
        request |= {"url": "http://localhost/hooks/stripe", "body": body, "body_size": len(body)}
        rows = {
            tables.requests: [
                {"id": id, "source": "stripe", **request}
                for id in ids
            ],
            tables.events: [
                {"id": f"{id}-0", "request_id": id, "dedup_key": f"evt_{os.urandom(12).hex()}", **common,
                 "state": "translated", "settled_at": at, "lead_id": lead_ids[number % len(lead_ids)]}
                for number, id in enumerate(ids)
            ],
            tables.leads: [
                {"id": id, "state": "clean", "document": "{}", "updated_at": at} for id in lead_ids
            ],
            tables.identifiers: [{"kind": "guid", "value": f"f{id}", "lead_id": id} for id in lead_ids],
            tables.updates: [
                {"event_id": f"{id}-0", "lead_id": lead_ids[number % len(lead_ids)], "occurred_at": at,
                 "clock_key": f"stripe/{id}", "changes": "[]", "mapping_version": "v"}
                for number, id in enumerate(ids)
            ],
        }  # fmt: skip
        for table, values in rows.items():
            connection.execute(insert(table), values)  # type: ignore[attr-defined]

    def accept(self) -> None:
        arrivals = [self._arrival(body) for body in self._bodies]
        with self.store.write() as connection:
            store_arrivals(connection, arrivals)

    def _arrival(self, body: bytes) -> Arrival:
        self._accepted += 1
        at = now()
        request = RawRequest(
            MAIN_ACCOUNT,
            "stripe",
            "POST",
            "http://localhost/hooks/stripe",
            "",
            HEADERS,
            body,
            at,
            redacted=True,
        )
        key = f"evt_{os.urandom(12).hex()}"
        return Arrival(request, (IncomingEvent(0, key, "invoice.paid", at),))

    def translate(self) -> None:
        assert self.translator.run_once() == GROUP

    def claim(self) -> None:
        assert self._deliverer.claim(8).jobs

    def release(self) -> None:
        with self.store.write() as connection:
            records.release(connection, MAIN_ACCOUNT, "bench", now())

    def list_events(self) -> None:
        with self.store.read() as connection:
            assert len(list_events(connection, MAIN_ACCOUNT, limit=50, source="stripe")) == 50

    def list_rejected(self) -> None:
        with self.store.read() as connection:
            list_rejected(connection, MAIN_ACCOUNT, limit=50)

    def backlog(self) -> None:
        with self.store.read() as connection:
            read_backlog(connection, MAIN_ACCOUNT)


def median(work: Callable[[], None], repetitions: int) -> float:
    """Milliseconds."""
    values = []
    for _ in range(repetitions):
        started = time.perf_counter()
        work()
        values.append((time.perf_counter() - started) * 1000)
    return statistics.median(values)


def measure(filled: Filled) -> dict[str, float]:
    for work in (filled.accept, filled.translate, filled.claim, filled.release):
        work()  # a first time, so that statements are prepared and pages are read
    accepting = median(filled.accept, 30)
    while filled.translator.run_once():
        pass
    return {
        f"accept {GROUP} events": accepting,
        f"translate {GROUP} events": median_of_pairs(filled.translate, filled.accept, 30),
        "claim 8 leads": median_of_pairs(filled.claim, filled.release, 30),
        "list 50 events": median(filled.list_events, 60),
        "list 50 rejected": median(filled.list_rejected, 60),
        "count the backlog": median(filled.backlog, 60),
    }


def median_of_pairs(work: Callable[[], None], prepare: Callable[[], None], repetitions: int) -> float:
    """Milliseconds of `work`, each time after `prepare`."""
    values = []
    for _ in range(repetitions):
        prepare()
        values.append(median(work, 1))
    return statistics.median(values)


def run(url: str, sizes: list[int]) -> None:
    filled = Filled(url)
    print(f"\n{filled.store.url.get_backend_name()}, milliseconds (ratio to {sizes[0]:,} events)")
    first: dict[str, float] = {}
    for size in sizes:
        filled.fill(size)
        costs = measure(filled)
        first = first or costs
        cells = [f"{name} {cost:.2f} ({cost / first[name]:.2f})" for name, cost in costs.items()]
        print(f"  {size:>9,} events: " + ", ".join(cells), flush=True)
    filled.store.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,100000,1000000")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    spare_the_collector()
    with tempfile.TemporaryDirectory() as folder:
        run(f"sqlite:///{Path(folder) / 'bench.db'}", sizes)
    with postgresql_server() as url:
        run(url, sizes)


if __name__ == "__main__":
    main()
