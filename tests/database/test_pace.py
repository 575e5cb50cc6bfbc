"""When changes go: together if they come together, in time if they never stop, slowly if a lead fails."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest

from integration.core.values import Cause, Outcome
from tests.engine import SECOND, START, Engine

ANN = {"guid": "ann"}
DOWN = Outcome("again", 500, Cause("hubspot_error", "HubSpot answered 500", "nothing to do"))


def seconds_of_requests(engine: Engine, payloads: list[Mapping[str, object]]) -> list[int]:
    """One event a second, each worked on at once: the seconds in which a request went out."""
    found = []
    for payload in payloads:
        engine.post(payload)
        engine.translate()
        before = len(engine.hubspot.requests)
        engine.deliver()
        found += [(engine.now - START) // SECOND] * (len(engine.hubspot.requests) - before)
    return found


def changing_each_second(seconds: int) -> list[Mapping[str, object]]:
    return [{"id": f"e{number}", **ANN, "city": f"city {number}"} for number in range(1, seconds + 1)]


def test_changes_that_come_within_the_window_go_in_one_request(engine: Engine) -> None:
    engine.bundle_for(window=2, max_wait=10)
    engine.post({"id": "a", **ANN, "city": "Rome"})
    assert engine.work() == [], "it waits for more"
    engine.post({"id": "b", **ANN, "score": 5})
    engine.translate()
    engine.now += 1 * SECOND
    assert engine.work() == [], "the window begins again with each change"
    engine.now += 1 * SECOND
    assert engine.work() == [("ann", {"city": "Rome", "score": 5})]


def test_a_lead_that_changes_all_the_time_is_sent_after_the_longest_wait(engine: Engine) -> None:
    engine.bundle_for(window=2, max_wait=10)
    assert seconds_of_requests(engine, changing_each_second(25)) == [11, 22]
    assert engine.hubspot.sent == [("ann", {"city": "city 11"}), ("ann", {"city": "city 22"})]


def test_a_longest_wait_that_is_shorter_than_the_window_does_not_shorten_it(engine: Engine) -> None:
    engine.bundle_for(window=5, max_wait=1)
    engine.post({"id": "a", **ANN, "city": "Rome"})
    engine.now += 4 * SECOND
    engine.translate()
    engine.now += 4 * SECOND
    assert engine.work() == []
    engine.now += 1 * SECOND
    assert engine.work() == [("ann", {"city": "Rome"})]


@pytest.mark.parametrize("seconds", [30, 120])
def test_a_failing_lead_keeps_its_pace_whatever_comes_in(engine: Engine, seconds: int) -> None:
    engine.hubspot.outcome = DOWN
    went = seconds_of_requests(engine, changing_each_second(seconds))
    # The wait doubles from one second on, of which chance takes at most half; tries at 0, 0.5, 1.5, 3.5 ...
    assert 4 <= len(went) <= seconds.bit_length() + 3, f"requests in the seconds {went}"
    waits = [after - before for before, after in pairwise(went)]
    assert waits[-1] >= 4, f"requests in the seconds {went}"


def test_a_failing_lead_is_sent_in_one_request_with_all_that_came_in_meanwhile(engine: Engine) -> None:
    engine.hubspot.outcome = DOWN
    seconds_of_requests(engine, changing_each_second(10))
    engine.hubspot.outcome = Outcome("done", 200)
    engine.now += 3600 * SECOND
    assert engine.work() == [("ann", {"city": "city 10"})]
