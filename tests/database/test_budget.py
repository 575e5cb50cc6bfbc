"""The budget in the database: slots and pauses that all workers share."""

from __future__ import annotations

from integration.core.values import MAIN_ACCOUNT, MICROS_PER_SECOND
from integration.store import budget
from integration.store.budget import Pause, Slot
from integration.store.engine import Store

SECOND = MICROS_PER_SECOND


def prepared(store: Store, slots: int) -> Store:
    with store.write() as connection:
        budget.ensure_slots(connection, MAIN_ACCOUNT, budget.REQUESTS, slots)
    return store


def take(store: Store, now: int, limit: int, until: int) -> list[Slot]:
    with store.write() as connection:
        slots = budget.free_slots(connection, MAIN_ACCOUNT, budget.REQUESTS, now, limit)
        budget.occupy(connection, MAIN_ACCOUNT, dict.fromkeys(slots, until))
    return slots


def test_no_more_requests_than_slots_until_one_window_after_the_answer(store: Store) -> None:
    prepared(store, 3)

    first = take(store, 100 * SECOND, 5, until=110 * SECOND)
    second = take(store, 109 * SECOND, 5, until=119 * SECOND)
    third = take(store, 110 * SECOND, 5, until=120 * SECOND)

    assert (len(first), len(second), len(third)) == (3, 0, 3)


def test_it_says_when_the_next_slot_is_free(store: Store) -> None:
    prepared(store, 2)
    take(store, 100 * SECOND, 1, until=107 * SECOND)
    take(store, 100 * SECOND, 1, until=105 * SECOND)

    with store.read() as connection:
        assert budget.next_free_at(connection, MAIN_ACCOUNT, budget.REQUESTS) == 105 * SECOND


def test_two_workers_at_the_same_instant_never_take_the_same_slot(store: Store) -> None:
    prepared(store, 4)
    if store.is_sqlite:
        return  # writers follow one another there: `Store.write` is what the test above goes through
    with store.write() as one, store.write() as other:
        slots_of_one = budget.free_slots(one, MAIN_ACCOUNT, budget.REQUESTS, SECOND, 3)
        slots_of_other = budget.free_slots(other, MAIN_ACCOUNT, budget.REQUESTS, SECOND, 3)

    assert len(slots_of_one) == 3
    assert len(slots_of_other) == 1
    assert not set(slots_of_one) & set(slots_of_other)


def test_a_changed_limit_changes_the_number_of_slots_and_keeps_what_is_occupied(store: Store) -> None:
    prepared(store, 5)
    take(store, 100 * SECOND, 1, until=110 * SECOND)

    prepared(store, 7)
    assert len(take(store, 101 * SECOND, 100, until=111 * SECOND)) == 6

    prepared(store, 2)
    assert len(take(store, 200 * SECOND, 100, until=210 * SECOND)) == 2


def test_a_pause_is_never_shortened_and_ends_with_success(store: Store) -> None:
    prepared(store, 1)
    with store.write() as connection:
        budget.pause(connection, MAIN_ACCOUNT, Pause(50 * SECOND, 2, "token refused"))
        budget.pause(connection, MAIN_ACCOUNT, Pause(40 * SECOND, 1, "other"))
        assert budget.current_pause(connection, MAIN_ACCOUNT) == Pause(50 * SECOND, 2, "token refused")

        budget.resume(connection, MAIN_ACCOUNT)
        assert budget.current_pause(connection, MAIN_ACCOUNT) == Pause(0, 0, None)
