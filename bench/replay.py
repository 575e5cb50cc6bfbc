"""A replay of stored events: what it costs when nothing differs, as a preview, and when every lead differs.

Events are translated and delivered first. Then (a) a replay by the same mapping must make no request;
(b) `--dry-run` by a mapping that sets one more field; (c) the same without it, and its delivery. Each tells
its progress, whose last count must be the number of events.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from common import ROOT, STRIPE_SECRET, on_both_databases
from translate import bodies, drain, fill

from integration.config.sources import Source, Sources
from integration.core.clock import now
from integration.core.settings import MIB, RateLimit
from integration.core.values import Operation, Outcome
from integration.hubspot.family import Family, Verb
from integration.lead.record import BundleTiming
from integration.pipeline.deliver import Deliverer
from integration.pipeline.replay import Counts, Plan, Replay
from integration.pipeline.translate import Translator
from integration.pipeline.verification import Verifier, published
from integration.store.engine import Store
from integration.store.history import Selection
from integration.store.upgrade import upgrade

EVERYTHING = Selection()
BEFORE = "lastPaymentCurrency: {from: data.object.currency, clean: [upper]}"
AFTER = f"{BEFORE}\n      industry: {{value: bench}}"


class Counting:
    """A destination that takes everything at once, and counts."""

    name, id_kind, can_create, max_batch, most_cost = "counting", "guid", False, 1, 1
    finds_by: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.requests = 0

    def family(self, operation: Operation) -> Family:
        return Family(Verb(type(operation).__name__.lower()))

    def send(self, operations: Sequence[Operation]) -> list[Outcome]:
        self.requests += 1
        return [Outcome("done", 200) for _ in operations]


def measure(url: str, folder: Path, events: int, leads: int) -> None:
    mappings = folder / "mappings"
    shutil.copytree(ROOT / "mappings", mappings)
    sources = Sources(mappings, {"STRIPE_WEBHOOK_SECRET": STRIPE_SECRET})
    source = sources.get("stripe")
    assert isinstance(source, Source)
    store = Store(url)
    upgrade(store)
    fill(store, source, bodies(events, leads))
    drain(Translator(store, sources, now, BundleTiming(0, 0), worker="bench", max_body_bytes=MIB))
    hubspot = Counting()
    delivering = Deliverer(store, hubspot, now, RateLimit(100_000, 0.001), worker="bench", concurrency=8)
    deliver(delivering)
    print(
        f"{store.url.get_backend_name()}: {events:,} events on {leads:,} leads, {hubspot.requests:,} requests"
    )

    replayed(store, sources, "the same mapping")
    print(f"    requests: {delivered(delivering, hubspot):,}")
    file = mappings / "stripe/mapping.yaml"
    assert BEFORE in file.read_text()
    file.write_text(file.read_text().replace(BEFORE, AFTER, 1))
    sources = Sources(mappings, {"STRIPE_WEBHOOK_SECRET": STRIPE_SECRET})
    replayed(store, sources, "one more field, --dry-run", dry_run=True)
    replayed(store, sources, "one more field")
    print(f"    requests: {delivered(delivering, hubspot):,}")
    delivering.close()
    store.dispose()


def deliver(delivering: Deliverer) -> None:
    while delivering.run_once():
        pass


def delivered(delivering: Deliverer, hubspot: Counting) -> int:
    before = hubspot.requests
    deliver(delivering)
    return hubspot.requests - before


def replayed(store: Store, sources: Sources, title: str, *, dry_run: bool = False) -> None:
    replay = Replay(store, sources, now, Verifier(published(store, allow_private=False)), max_body_bytes=MIB)
    told: list[Counts] = []
    work: Callable[..., Counts | Plan] = replay.plan if dry_run else replay.run
    counting = time.perf_counter()
    total = replay.count(EVERYTHING)
    started = time.perf_counter()
    counts = work(EVERYTHING, None, told.append)
    seconds = time.perf_counter() - started
    if isinstance(counts, Plan):
        counts = counts.counts
    assert counts.events == total == max(one.events for one in told)
    print(
        f"  {title}: {seconds:.1f} s, {total / seconds:,.0f} events/s, {counts.changed:,} changed, "
        f"{counts.leads:,} leads; counted in {started - counting:.2f} s, progress told {len(told):,} times"
    )


if __name__ == "__main__":
    on_both_databases(__doc__, measure, events=100_000, leads=10_000)
