"""Ids: they sort by time, and those of one instant in the order in which they are made."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from integration.core.clock import first_id_at, ids_at, new_id

TIMES = st.integers(0, 4_000_000_000_000_000)


@given(TIMES)
def test_ids_of_one_instant_sort_as_they_are_made(at: int) -> None:
    make = ids_at(at)
    made = [make() for _ in range(50)]
    assert made == sorted(set(made))
    assert {len(id) for id in made} == {26}


@given(TIMES, TIMES)
def test_ids_sort_by_time(one: int, other: int) -> None:
    early, late = sorted((one, other))
    if late // 1000 > early // 1000:
        assert ids_at(early)() < first_id_at(late) <= ids_at(late)()
        assert new_id(early) < new_id(late)
