"""The settings of the worker, each by what a running worker then does. Its clock stands still."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from integration import worker as worker_module
from integration.core.settings import Settings
from integration.core.values import Operation, Outcome
from integration.worker import Worker
from tests.engine import DAY, SECOND, START, Engine, guid_of
from tests.standin import standing_in

FETCHING = """\
version: 1
source: shop
title: A shop
verify: {scheme: token, header: X-Token, secrets: [SHOP_TOKEN]}
event: {id: id, type: type, time: {from: at, as: unix_seconds}}
fetch: {base: {setting: SHOP_API_URL}, path: "/payments/{id}", auth: {bearer: SHOP_API_KEY}}
lead: {guid: fetched.guid}
rules:
  - {name: paid, events: [paid], set: {city: fetched.city}}
"""


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IDLE_SECONDS", "PRUNING_INTERVAL_SECONDS", "LEASE_RENEWAL_SECONDS"):
        monkeypatch.setattr(worker_module, name, 0.02)


@contextmanager
def working(engine: Engine, **settings: str) -> Iterator[None]:
    read = Settings.read({"BUNDLE_WINDOW": "0", **settings})
    worker = Worker(engine.store, engine.sources, engine.hubspot, read, lambda: engine.now)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def column(engine: Engine, query: str) -> list[Any]:
    with engine.store.read() as connection:
        return list(connection.execute(text(query)).scalars())


def post_and_wait(engine: Engine, number: int) -> None:
    engine.post({"id": f"e{number}", "guid": "ann", "city": f"city {number}"})
    settled = "SELECT count(*) FROM events WHERE state <> 'received'"
    until(lambda: column(engine, settled) == [number], "it is translated")


def test_bundle_window_and_bundle_max_wait_are_when_a_lead_is_due(engine: Engine) -> None:
    with working(engine, BUNDLE_WINDOW="5", BUNDLE_MAX_WAIT="7"):
        post_and_wait(engine, 1)
        assert engine.lead("ann").due_at == START + 6 * SECOND, "five seconds after the first change"
        post_and_wait(engine, 2)
        assert engine.lead("ann").due_at == START + 7 * SECOND, "five seconds after the second"
        for number in (3, 4):
            post_and_wait(engine, number)
        assert engine.lead("ann").due_at == START + 8 * SECOND, "seven seconds after the first, at the latest"


def test_hubspot_rate_limit_is_how_much_goes_in_its_time(engine: Engine) -> None:
    for number in range(8):
        engine.post({"id": f"e{number}", "guid": f"guid-{number}", "city": "Rome"})
    free_at = engine.now + 20 * SECOND
    waits = f"SELECT count(*) FROM budget_slots WHERE account = 'hubspot' AND free_at = {free_at}"
    with working(engine, HUBSPOT_RATE_LIMIT="3/20"):
        until(lambda: column(engine, waits) == [3], "three requests, and their slots wait for 20 seconds")
    assert len(engine.hubspot.requests) == 3
    assert column(engine, "SELECT count(*) FROM budget_slots WHERE account = 'hubspot'") == [3]


def test_worker_concurrency_is_how_many_requests_are_on_their_way(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        engine.post({"id": f"e{number}", "guid": f"guid-{number}", "city": "Rome"})
    on_their_way, most, may_end = set[str](), [0], threading.Event()

    def send(operations: Sequence[Operation]) -> list[Outcome]:
        guid = guid_of(operations[0])
        on_their_way.add(guid)
        most[0] = max(most[0], len(on_their_way))
        may_end.wait(30)
        on_their_way.discard(guid)
        return [Outcome("done", 200)] * len(operations)

    monkeypatch.setattr(engine.hubspot, "send", send)
    leased = "SELECT count(*) FROM leads WHERE state = 'leased'"
    with working(engine, WORKER_CONCURRENCY="2"):
        until(lambda: column(engine, leased) == [6], "all are claimed")
        seen = [0] * 10
        while len(on_their_way) < 2 or set(seen[-10:]) != {len(on_their_way)}:  # until no more come
            seen.append(len(on_their_way))
            time.sleep(0.02)
        may_end.set()
        until(lambda: column(engine, leased) == [0], "all are delivered")
    assert most == [2]


@pytest.mark.parametrize(("days", "kept"), [("2", 1), ("4", 2)])
def test_retention_days_is_how_long_requests_are_kept(engine: Engine, days: str, kept: int) -> None:
    for age in (5, 3, 1):
        engine.now = START + (10 - age) * DAY
        engine.post({"id": f"{age} days old", "guid": "ann", "city": f"city {age}"})
        engine.work()
    engine.now = START + 10 * DAY + 60 * SECOND
    with working(engine, RETENTION_DAYS=days):
        until(lambda: column(engine, "SELECT count(*) FROM requests") == [kept], f"{kept} are kept")


@pytest.mark.parametrize(("allowed", "asked"), [("true", 1), ("false", 0)])
def test_fetch_allow_private_is_whether_private_addresses_are_called(
    engine: Engine, allowed: str, asked: int
) -> None:
    engine.write_mapping(FETCHING)
    with standing_in() as api:
        api.body = b'{"guid": "ann", "city": "Rome"}'
        engine.environ |= {"SHOP_API_URL": api.url, "SHOP_API_KEY": "key"}
        engine.post({"id": "e1"})
        with working(engine, FETCH_ALLOW_PRIVATE=allowed):
            ended = "SELECT count(*) FROM fetches WHERE fetched_at IS NOT NULL OR detail IS NOT NULL"
            dead = "SELECT count(*) FROM events WHERE state = 'dead'"
            until(lambda: column(engine, ended) == [1] or column(engine, dead) == [1], "it was tried")
        assert len(api.asked) == asked
