"""Events translated a second by one worker: from the inbox to settled, with each lead's document merged.

Two floors stand beside it in the same run: the pure translation, and decoding the bodies alone.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from common import ROOT, STRIPE_SECRET, postgresql_server

from integration.body import decode
from integration.config.sources import Source, Sources
from integration.core.clock import now
from integration.core.memory import spare_the_collector
from integration.core.settings import MIB
from integration.core.values import MAIN_ACCOUNT, RawRequest
from integration.lead.record import BundleTiming
from integration.pipeline.translate import Translator, translate_and_validate
from integration.store.engine import Store
from integration.store.inbox import Arrival, store_arrivals
from integration.store.upgrade import upgrade

HEADERS = {"content-type": "application/json"}


def bodies(count: int, leads: int) -> list[bytes]:
    payload = json.loads((ROOT / "mappings/stripe/examples/invoice.paid.json").read_text())
    result = []
    for number in range(count):
        payload["id"] = f"evt_{number:08}"
        payload["data"]["object"]["metadata"]["hubspot_lead_guid"] = f"{number % leads:032x}"
        payload["data"]["object"]["amount_paid"] = 1000 + number
        payload["data"]["object"]["customer"] = f"cus_{number % leads}"
        payload["data"]["object"]["customer_email"] = f"lead{number % leads}@example.com"
        result.append(json.dumps(payload).encode())
    return result


def fill(store: Store, source: Source, payloads: list[bytes]) -> None:
    for start in range(0, len(payloads), 500):
        arrivals = [arrival(source, body) for body in payloads[start : start + 500]]
        with store.write() as connection:
            store_arrivals(connection, arrivals)


def arrival(source: Source, body: bytes) -> Arrival:
    at = now()
    request = RawRequest(
        MAIN_ACCOUNT, "stripe", "POST", "http://localhost/hooks/stripe", "", HEADERS, body, at, redacted=True
    )
    return Arrival(request, source.mapping.incoming(decode(HEADERS, body, MIB), HEADERS, "", at))


def rate(count: int, work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def measure(url: str, events: int, leads: int) -> None:
    sources = Sources(ROOT / "mappings", {"STRIPE_WEBHOOK_SECRET": STRIPE_SECRET})
    source = sources.get("stripe")
    assert isinstance(source, Source)
    payloads = bodies(events, leads)
    decoding = rate(events, lambda: for_each(payloads, lambda body: decode(HEADERS, body, MIB)))
    context = source.mapping.context(decode(HEADERS, payloads[0], MIB), 0, HEADERS, "", now())
    pure = rate(
        events, lambda: for_each(payloads, lambda _: translate_and_validate(sources.current, source, context))
    )
    store = Store(url)
    upgrade(store)
    fill(store, source, payloads)
    translator = Translator(
        store,
        MAIN_ACCOUNT,
        sources,
        now,
        BundleTiming.from_seconds(2, 10),
        worker="bench",
        max_body_bytes=MIB,
    )
    whole = rate(events, lambda: drain(translator))
    print(f"{store.url.get_backend_name():11} {whole:8.0f} events/s")
    print(f"  of that decoding alone                {decoding:8.0f} events/s, ratio {whole / decoding:.2f}")
    print(f"  of that translating, validating alone {pure:8.0f} events/s, ratio {whole / pure:.2f}")
    store.dispose()


def for_each(items: Iterable[bytes], work: Callable[[bytes], object]) -> None:
    """Keep nothing: a pile of results would measure the garbage collector."""
    for item in items:
        work(item)


def drain(translator: Translator) -> None:
    while translator.run_once():
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--leads", type=int, default=2_000)
    options = parser.parse_args()
    spare_the_collector()  # as the worker does
    with tempfile.TemporaryDirectory() as folder:
        measure(f"sqlite:///{Path(folder) / 'bench.db'}", options.events, options.leads)
    with postgresql_server() as url:
        measure(url, options.events, options.leads)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    main()
