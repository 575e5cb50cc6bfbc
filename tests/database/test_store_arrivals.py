"""Storing a group of arrivals: each event once, whoever brings it, and however often."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier

import pytest
from sqlalchemy import func, select

from integration.core.values import MAIN_ACCOUNT, IncomingEvent, RawRequest
from integration.store.engine import Store
from integration.store.inbox import REJECTED_BODY_BYTES, Arrival, Receipt, store_arrivals
from integration.store.tables import events, requests

AT = 1_790_000_000_000_000


def arrival(*keys: str, source: str = "stripe", body: bytes = b"{}", reason: str | None = None) -> Arrival:
    request = RawRequest(MAIN_ACCOUNT,
        source=source, method="POST", url=f"http://here/hooks/{source}", query="",
        headers={"content-type": "application/json"}, body=body, received_at=AT, client="192.0.2.1",
    )  # fmt: skip
    found = tuple(IncomingEvent(position, key, "paid", AT) for position, key in enumerate(keys))
    return Arrival(request, found, reason=reason)


def stored(store: Store, *arrivals: Arrival) -> list[Receipt]:
    with store.write() as connection:
        return store_arrivals(connection, arrivals)


def keys_in(store: Store) -> list[str]:
    with store.read() as connection:
        return sorted(connection.execute(select(events.c.dedup_key)).scalars())


def owner_of(store: Store, key: str) -> str:
    with store.read() as connection:
        return str(
            connection.execute(select(events.c.request_id).where(events.c.dedup_key == key)).scalar_one()
        )


def count_requests(store: Store) -> int:
    with store.read() as connection:
        return connection.execute(select(func.count()).select_from(requests)).scalar_one()


class TestOneArrival:
    def test_it_is_stored_as_it_came(self, store: Store) -> None:
        body = bytes(range(256))

        [receipt] = stored(store, arrival("a", "b", body=body))

        with store.read() as connection:
            request = connection.execute(select(requests)).one()
            rows = connection.execute(select(events).order_by(events.c.id)).all()
        assert not receipt.duplicate
        assert (request.id, request.body, request.body_size) == (receipt.id, body, 256)
        assert (request.headers, request.received_at) == ('{"content-type": "application/json"}', AT)
        assert [(row.id, row.dedup_key, row.state) for row in rows] == [
            (f"{receipt.id}-0", "a", "received"),
            (f"{receipt.id}-1", "b", "received"),
        ]

    def test_a_rejected_one_is_stored_with_its_reason_and_no_event(self, store: Store) -> None:
        stored(store, arrival(reason="signature_mismatch", body=b"evil"))

        with store.read() as connection:
            request = connection.execute(select(requests)).one()
        assert (request.reason, request.body, keys_in(store)) == ("signature_mismatch", b"evil", [])

    def test_the_body_of_a_large_rejected_one_is_not_kept_but_its_size_is(self, store: Store) -> None:
        stored(store, arrival(reason="signature_mismatch", body=b"x" * (REJECTED_BODY_BYTES + 1)))

        with store.read() as connection:
            request = connection.execute(select(requests)).one()
        assert (request.body, request.body_size) == (None, REJECTED_BODY_BYTES + 1)

    def test_a_request_may_carry_more_events_than_one_statement_takes(self, store: Store) -> None:
        keys = [f"{number:05}" for number in range(1201)]

        stored(store, arrival(*keys))

        assert keys_in(store) == keys


class TestDuplicates:
    def test_a_copy_is_a_duplicate_of_the_first_and_leaves_nothing_behind(self, store: Store) -> None:
        [first] = stored(store, arrival("a"))
        [copy] = stored(store, arrival("a"))

        assert copy == Receipt(first.id, duplicate=True)
        assert (keys_in(store), count_requests(store)) == (["a"], 1)

    def test_a_copy_of_a_request_with_very_many_events_is_one_too(self, store: Store) -> None:
        keys = [f"{number:05}" for number in range(40_000)]
        [first] = stored(store, arrival(*keys))
        [copy] = stored(store, arrival(*keys))

        assert copy == Receipt(first.id, duplicate=True)

    def test_copies_within_a_group_are_told_from_the_first(self, store: Store) -> None:
        receipts = stored(store, arrival("a"), arrival("b"), arrival("a"), arrival("a"))

        kept = [receipt for receipt in receipts if not receipt.duplicate]
        assert [receipt.duplicate for receipt in receipts].count(True) == 2
        assert {receipt.id for receipt in kept} == {owner_of(store, "a"), owner_of(store, "b")}
        assert {receipts[0].id, receipts[2].id, receipts[3].id} == {owner_of(store, "a")}
        assert count_requests(store) == 2

    def test_a_request_with_something_new_is_kept_and_only_the_new_is_stored(self, store: Store) -> None:
        [first] = stored(store, arrival("a", "b"))
        [second] = stored(store, arrival("b", "c"))

        assert not second.duplicate
        assert (owner_of(store, "b"), owner_of(store, "c")) == (first.id, second.id)
        assert (keys_in(store), count_requests(store)) == (["a", "b", "c"], 2)

    def test_an_event_that_a_request_carries_twice_is_stored_once(self, store: Store) -> None:
        [receipt] = stored(store, arrival("a", "a"))

        assert (receipt.duplicate, keys_in(store)) == (False, ["a"])

    def test_the_same_key_of_another_source_is_another_event(self, store: Store) -> None:
        receipts = stored(store, arrival("a"), arrival("a", source="chargebee"))

        assert [receipt.duplicate for receipt in receipts] == [False, False]
        assert keys_in(store) == ["a", "a"]

    def test_rejected_ones_are_never_duplicates(self, store: Store) -> None:
        receipts = stored(store, arrival("a"), arrival("a"), arrival(reason="bad"), arrival(reason="bad"))

        assert [receipt.duplicate for receipt in receipts[2:]] == [False, False]
        assert count_requests(store) == 3


def test_nothing_of_a_group_stays_when_its_transaction_fails(store: Store) -> None:
    def fail_at_the_end() -> None:
        with store.write() as connection:
            store_arrivals(connection, [arrival("a")])
            raise RuntimeError("after")

    with pytest.raises(RuntimeError, match="after"):
        fail_at_the_end()

    assert (keys_in(store), count_requests(store)) == ([], 0)


ROUNDS = 25
KEYS = [f"{number:02}" for number in range(12)]


def _store_in_a_process(url: str, keys: Sequence[str], barrier: Barrier, results: object) -> None:
    store = Store(url)
    fresh = 0
    for number in range(ROUNDS):
        barrier.wait(30)
        group = [arrival(f"{number}-{key}", f"{number}-{key}-more") for key in keys]
        fresh += sum(not receipt.duplicate for receipt in stored(store, *group))
    store.dispose()
    results.put(fresh)  # type: ignore[attr-defined]


def test_two_processes_with_the_same_events_at_the_same_instant_store_each_once(store: Store) -> None:
    """They come in opposite orders: without an order of our own, PostgreSQL would see deadlocks."""
    url = store.url.render_as_string(hide_password=False)
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=_store_in_a_process, args=(url, keys, barrier, results))
        for keys in (KEYS, KEYS[::-1])
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0]
    assert results.get(timeout=5) + results.get(timeout=5) == ROUNDS * len(KEYS)
    assert len(keys_in(store)) == len(set(keys_in(store))) == 2 * ROUNDS * len(KEYS)
    assert count_requests(store) == ROUNDS * len(KEYS)
