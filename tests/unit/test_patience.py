"""Patience: growing pauses, one line in the log, and no patience with what waiting cannot cure."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from integration.core.errors import StoreUnavailableError
from integration.store.engine import StoreRefusedError
from integration.store.patience import Outage, patiently


class Pauses:
    """Keeps how long was waited, and says to stop after so many."""

    def __init__(self, stop_after: int = 1000) -> None:
        self.seconds: list[float] = []
        self._stop_after = stop_after

    def stopped(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return len(self.seconds) >= self._stop_after


def failing(times: int, error: Exception) -> Callable[[], str]:
    left = [error] * times

    def attempt() -> str:
        if left:
            raise left.pop()
        return "done"

    return attempt


def test_it_waits_with_growing_pauses_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    pauses = Pauses()

    assert patiently(failing(7, StoreUnavailableError("no route")), pauses.stopped) == "done"

    assert pauses.seconds == [0.25, 0.5, 1, 2, 4, 5, 5]
    assert caplog.messages == [
        "Waits, and goes on by itself: no route",
        "The store is there: going on",
    ]


def test_nothing_is_said_when_all_is_there(caplog: pytest.LogCaptureFixture) -> None:
    assert patiently(failing(0, ValueError()), Pauses().stopped) == "done"
    assert caplog.messages == []


def test_it_ends_when_it_is_told_to_stop() -> None:
    pauses = Pauses(stop_after=2)

    assert patiently(failing(9, StoreUnavailableError("no route")), pauses.stopped) is None
    assert len(pauses.seconds) == 2


@pytest.mark.parametrize("error", [StoreRefusedError("no such database"), ZeroDivisionError()])
def test_what_waiting_cannot_cure_is_raised_at_once(error: Exception) -> None:
    pauses = Pauses()

    with pytest.raises(type(error)):
        patiently(failing(1, error), pauses.stopped)
    assert pauses.seconds == []


def test_after_the_time_it_is_raised() -> None:
    with pytest.raises(StoreUnavailableError, match="no route"):
        patiently(failing(9, StoreUnavailableError("no route")), Pauses().stopped, seconds=0)


def test_an_outage_is_said_once_and_its_end_when_all_have_the_store_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    outage, error = Outage(), StoreUnavailableError("no route")

    outage.done("deliver")
    outage.missed("deliver", error)
    outage.missed("translate", error)
    outage.missed("deliver", error)
    assert caplog.messages == ["Waits, and goes on by itself: no route"]

    outage.done("deliver")
    outage.done("fetch")
    assert len(caplog.messages) == 1

    outage.done("translate")
    outage.done("translate")
    assert caplog.messages[1:] == ["The store is there: going on"]


def test_the_next_outage_is_said_again(caplog: pytest.LogCaptureFixture) -> None:
    outage, error = Outage(), StoreUnavailableError("no route")
    for _ in range(2):
        outage.missed("deliver", error)
        outage.done("deliver")
    assert caplog.messages == ["Waits, and goes on by itself: no route"] * 2
