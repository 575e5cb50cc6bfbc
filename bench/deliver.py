"""A backlog's way to HubSpot: requests made and time against the optimum, and the rate without a limit.

(a) Events wait; a worker starts with a limit of 1,000 requests in 10 s against the sandbox, which enforces
the same limit. (b) The same backlog without a limit, against a stand-in that answers at once.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from common import ROOT, environment, free_port, on_both_databases, peak_memory
from sqlalchemy import text
from translate import bodies, drain, fill

from integration.config.sources import Source, Sources
from integration.core.clock import now
from integration.core.settings import MIB, RateLimit
from integration.core.values import MAIN_ACCOUNT
from integration.lead.record import BundleTiming
from integration.pipeline.translate import Translator
from integration.sandbox import run_sandbox
from integration.store.engine import Store
from integration.store.upgrade import upgrade

LIMIT = RateLimit(1000, 10)
NO_LIMIT = RateLimit(5_000, 1)


def prepare(url: str, events: int, leads: int) -> Store:
    """A store whose leads are all due."""
    sources = Sources(ROOT / "mappings", {"STRIPE_WEBHOOK_SECRET": "whsec_benchmark"})
    source = sources.get("stripe")
    assert isinstance(source, Source)
    store = Store(url)
    upgrade(store)
    fill(store, source, bodies(events, leads))
    drain(
        Translator(store, MAIN_ACCOUNT, sources, now, BundleTiming(0, 0), worker="bench", max_body_bytes=MIB)
    )
    return store


@contextmanager
def worker(
    folder: Path, url: str, hubspot: str, limit: RateLimit, **settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    env = environment(folder, url, 0, HUBSPOT_BASE_URL=hubspot, HUBSPOT_ACCESS_TOKEN="bench-token")
    env |= {"HUBSPOT_RATE_LIMIT": str(limit), **settings}
    process = subprocess.Popen(
        [sys.executable, "-m", "integration", "worker"], env=env, cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def remaining(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM leads WHERE state <> 'clean'")).scalar_one())


def wait_until_delivered(store: Store, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while remaining(store):
        if time.monotonic() > deadline:
            sys.exit(f"{remaining(store)} leads were not delivered within {seconds:g} s")
        time.sleep(0.1)


def limited(folder: Path, store: Store, events: int, leads: int) -> None:
    with run_sandbox(0, LIMIT) as sandbox:
        for number in range(leads):
            requests.put(f"{sandbox.url}/_sandbox/leads/{number:032x}", json={}, timeout=5).raise_for_status()
        with worker(folder, store.url.render_as_string(hide_password=False), sandbox.url, LIMIT):
            wait_until_delivered(store, 120)
        made = requests.get(f"{sandbox.url}/_sandbox/requests", timeout=30).json()
        stats = requests.get(f"{sandbox.url}/_sandbox/stats", timeout=5).json()
    taken = (made[-1]["time"] - made[0]["time"]) / 1e6
    windows = math.ceil(leads / LIMIT.requests) - 1
    print(
        f"  {events} events on {leads} leads under {LIMIT}: {len(made)} requests, {stats['refused']} refused"
    )
    print(f"  most requests in any window: {stats['most_in_a_window']}")
    print(f"  first to last request {taken:.2f} s; the limit alone asks for {windows * LIMIT.seconds:g} s")


def unlimited(folder: Path, store: Store, leads: int) -> None:
    port = free_port()
    standin = subprocess.Popen([sys.executable, "bench/fast_standin.py", str(port)], cwd=ROOT)
    try:
        time.sleep(0.5)
        url = store.url.render_as_string(hide_password=False)
        with worker(folder, url, f"http://127.0.0.1:{port}", NO_LIMIT) as process:
            wait_until_delivered(store, 120)
            memory = peak_memory(process.pid)
        with store.read() as connection:
            query = "SELECT min(started_at), max(started_at + duration) FROM attempts"
            first, last = connection.execute(text(query)).one()
    finally:
        standin.terminate()
        standin.wait(10)
    rate = leads / ((last - first) / 1e6)
    print(f"  without a limit: {rate:.0f} PUT/s by one worker, peak memory {memory:.0f} MB")


def run(url: str, folder: Path, events: int, leads: int) -> None:
    store = prepare(url, events, leads)
    print(store.url.get_backend_name())
    limited(folder, store, events, leads)
    with store.write() as connection:
        connection.execute(text("DELETE FROM attempts"))
        connection.execute(text("DELETE FROM budget_slots"))
        connection.execute(text("UPDATE leads SET document = replace(document, '\"sent\"', '\"was\"')"))
        connection.execute(text(f"UPDATE leads SET state = 'due', due_at = {now()}, waiting_since = {now()}"))
    unlimited(folder, store, leads)
    store.dispose()


if __name__ == "__main__":
    on_both_databases(__doc__, run, events=20_000, leads=2_000)
