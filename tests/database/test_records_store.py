"""Leads in the store: identifiers, claims and leases."""

from __future__ import annotations

from dataclasses import replace

from integration.core.values import MAIN_ACCOUNT, Cause
from integration.lead.merge import before
from integration.lead.record import Priority, Record, RecordState, Refusal
from integration.store import identifiers, records
from integration.store.engine import Store

NOW = 1_000_000_000


def add_due(store: Store, *due_at: int) -> list[str]:
    ids = [f"lead-{number}" for number in range(len(due_at))]
    with store.write() as connection:
        records.add(connection, [Record(MAIN_ACCOUNT, id) for id in ids], NOW)
        rows = records.lock(connection, ids)
        records.save(
            connection,
            [
                replace(rows[id], state=RecordState.DUE, due_at=at, waiting_since=at)
                for id, at in zip(ids, due_at, strict=True)
            ],
            NOW,
        )
    return ids


def claim(store: Store, worker: str, now: int = NOW, limit: int = 10, lease: int = 100) -> list[str]:
    with store.write() as connection:
        return sorted(
            row.id
            for row in records.claim_due(connection, MAIN_ACCOUNT, worker, now, now + lease, limit=limit)
        )


def held_by(store: Store, worker: str, ids: list[str]) -> set[str]:
    with store.write() as connection:
        return set(records.still_leased(connection, worker, ids))


def test_identifiers_find_their_lead(store: Store) -> None:
    with store.write() as connection:
        records.add(connection, [Record(MAIN_ACCOUNT, "a")], NOW)
        assert identifiers.link(
            connection, MAIN_ACCOUNT, {("guid", "g1"): "a", ("email", "ann@example.com"): "a"}
        )

        found = identifiers.find_by_identifiers(
            connection, MAIN_ACCOUNT, {("email", "ann@example.com"), ("email", "x"), ("guid", "g2")}
        )
        known_by = identifiers.identifiers_of(connection, ["a"])

    assert found == {("email", "ann@example.com"): "a"}
    assert known_by == {"a": {"guid": "g1", "email": "ann@example.com"}}


def test_linking_what_is_linked_already_says_so(store: Store) -> None:
    with store.write() as connection:
        assert identifiers.link(connection, MAIN_ACCOUNT, {("guid", "g1"): "a"})
        assert not identifiers.link(connection, MAIN_ACCOUNT, {("guid", "g1"): "b", ("guid", "g2"): "b"})


def test_a_claimed_lead_is_nobody_elses(store: Store) -> None:
    add_due(store, NOW - 2, NOW - 1, NOW + 5)

    assert claim(store, "one") == ["lead-0", "lead-1"]
    assert claim(store, "two") == []
    assert claim(store, "two", now=NOW + 5) == ["lead-2"]


def test_those_due_longest_come_first(store: Store) -> None:
    add_due(store, NOW - 1, NOW - 3, NOW - 2)

    assert claim(store, "one", limit=1) == ["lead-1"]
    assert claim(store, "one", limit=1) == ["lead-2"]


def test_the_leads_of_a_silent_worker_are_due_again(store: Store) -> None:
    ids = add_due(store, NOW)
    claim(store, "one", lease=100)

    with store.write() as connection:
        assert records.recover_expired(connection, MAIN_ACCOUNT, NOW + 100) == 0
        records.renew_leases(connection, "one", ids, NOW + 200)
        assert records.recover_expired(connection, MAIN_ACCOUNT, NOW + 200) == 0
        assert records.recover_expired(connection, MAIN_ACCOUNT, NOW + 201) == 1

    assert claim(store, "two", now=NOW + 201) == ids
    assert held_by(store, "one", ids) == set()
    assert held_by(store, "two", ids) == set(ids)


def test_a_worker_that_stops_gives_back_what_it_holds(store: Store) -> None:
    ids = add_due(store, NOW)
    claim(store, "one")

    with store.write() as connection:
        records.release(connection, MAIN_ACCOUNT, "one", NOW + 1)

    assert claim(store, "two", now=NOW + 1) == ids


def test_it_says_when_the_next_lead_is_due(store: Store) -> None:
    add_due(store, NOW + 7, NOW + 3)

    with store.read() as connection:
        assert records.next_due_at(connection, MAIN_ACCOUNT) == NOW + 3


def test_a_saved_lead_comes_back_as_it_was(store: Store) -> None:
    (id,) = add_due(store, NOW)
    row = Record(
        MAIN_ACCOUNT,
        id,
        RecordState.DUE,
        before({"city": "Berlin"}),
        before({"plan": "Pro"}),
        due_at=NOW + 1,
        waiting_since=NOW,
        attempts=3,
        failing_since=NOW - 9,
        cause=Cause("some_cause", "what", "cure"),
        priority=Priority.REPLAYED,
        creates=True,
        refused={"city": Refusal("Berlin", Cause("field_refused", "no such property", "create it"))},
    )
    with store.write() as connection:
        records.lock(connection, [id])
        records.save(connection, [row], NOW)
        assert records.lock(connection, [id]) == {id: row}
