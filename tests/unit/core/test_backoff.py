"""Trying again: waits that double, what the other side asks for, and when it is over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.core import durations
from integration.core.backoff import MAX_RETRY_AFTER, Backoff, read_retry_after
from integration.core.values import MICROS_PER_SECOND

DAY = 24 * 3600 * MICROS_PER_SECOND
ALL = [value for value in vars(durations).values() if isinstance(value, Backoff)]


def test_waits_double_up_to_the_longest() -> None:
    assert [Backoff(1, 10).seconds(failures) for failures in (0, 1, 2, 3, 4, 10_000)] == [1, 2, 4, 8, 10, 10]


def test_chance_decides_the_part_of_a_wait_that_is_jitter() -> None:
    backoff = Backoff(8, 100, jitter=0.25)
    assert [backoff.seconds(0, chance=chance) for chance in (0.0, 0.5, 1.0)] == [6, 7, 8]
    assert Backoff(8, 100).seconds(0, chance=0.0) == 8


def test_a_wait_is_never_shorter_than_the_other_side_asks_for() -> None:
    assert Backoff(1, 10).micros(0, retry_after=77.5) == 77_500_000
    assert Backoff(1, 10).micros(3, retry_after=0.0) == 8_000_000


def test_it_gives_up_after_its_time_and_not_at_it() -> None:
    backoff = Backoff(1, 10, give_up=86_400)
    assert [backoff.gives_up(0, now) for now in (0, DAY, DAY + 1)] == [False, False, True]
    assert backoff.give_up_days == "1"


def test_without_a_time_to_give_up_it_never_does() -> None:
    assert not Backoff(1, 10).gives_up(0, 1000 * DAY)
    assert Backoff(1, 10).give_up_days == ""


@given(
    st.sampled_from(ALL),
    st.integers(0, 10**6),
    st.floats(0, 1),
    st.none() | st.floats(0, MAX_RETRY_AFTER),
)
def test_every_wait_is_bounded(backoff: Backoff, failures: int, chance: float, asked: float | None) -> None:
    wait = backoff.seconds(failures, retry_after=asked, chance=chance)
    assert 0 < wait <= max(backoff.longest, MAX_RETRY_AFTER)
    assert wait >= (asked or 0)
    assert wait >= backoff.first * (1 - backoff.jitter)


@given(st.text(), st.integers(0, 2**52))
def test_whatever_a_header_says_the_wait_is_bounded(value: str, at: int) -> None:
    wait = read_retry_after(value, at)
    assert wait is None or 0 <= wait <= MAX_RETRY_AFTER


@pytest.mark.parametrize("value", ["1.5", "Sun, 06 Nov 1994 08:49:38 GMT"])
def test_a_fraction_and_a_date_are_read(value: str) -> None:
    at = 784_111_777_000_000  # 1 s before that date
    assert read_retry_after(value, at) in (1.5, 1.0)
