"""Faults that other systems of this kind are known for, end to end over a real store."""

from __future__ import annotations

from typing import Any

import pytest

from integration.core.values import Cause, Operation, Outcome
from integration.pipeline import replay
from integration.store.views.event_views import list_events
from tests.engine import EVERYTHING, SECOND, Engine, guid_of

DOWN = Outcome("again", 500, Cause("hubspot_error", "HubSpot answered 500", ""))
SENT: list[tuple[dict[str, Any], dict[str, object]]] = [
    ({"city": "NO"}, {"city": "NO"}),
    ({"city": 'Anna "Ann" O\'Neil'}, {"city": 'Anna "Ann" O\'Neil'}),
    ({"city": "\N{PARTY POPPER} Zo\u00eb"}, {"city": "\N{PARTY POPPER} Zo\u00eb"}),
    ({"city": ""}, {}),
    ({"city": None}, {}),
    ({}, {}),
]


@pytest.mark.parametrize(("given", "sent"), SENT)
def test_a_text_arrives_as_it_is_and_what_is_blank_changes_nothing(
    engine: Engine, given: dict[str, Any], sent: dict[str, object]
) -> None:
    engine.post({"id": "a", "guid": "ann", **given})
    assert engine.work() == ([("ann", sent)] if sent else [])


@pytest.mark.parametrize(("value", "kept"), [(0, 0), (10**15, 10**15)])
def test_zero_and_large_numbers_are_values(engine: Engine, value: int, kept: int) -> None:
    engine.post({"id": "a", "guid": "ann", "score": value})
    engine.work()
    assert engine.values("ann") == {"score": kept}


@pytest.mark.parametrize(
    ("value", "words"),
    [(False, "sets score to False"), ("many", "sets score to 'many'"), (10**400, "more than 64 bit")],
)
def test_a_value_that_is_no_number_of_the_field_is_a_dead_letter_and_no_hole(
    engine: Engine, value: object, words: str
) -> None:
    engine.post({"id": "a", "guid": "ann", "score": value, "city": "Rome"})
    assert engine.work() == []
    with engine.store.read() as connection:
        (event,) = list_events(connection, limit=2, source="shop", before=None, state=None)
    assert event.state == "dead"
    assert event.cause is not None
    assert "score" in event.cause.detail
    assert words in event.cause.detail


def test_a_lead_that_fails_for_an_hour_delays_no_other_and_ends_with_its_newest_value(engine: Engine) -> None:
    answers = engine.hubspot.send

    def send(operations: list[Operation]) -> list[Outcome]:
        return [DOWN] if guid_of(operations[0]) == "ann" else answers(operations)

    engine.hubspot.send = send  # type: ignore[method-assign,assignment]
    for number in range(60):
        engine.post({"id": f"a{number}", "guid": "ann", "city": f"city {number}"})
        engine.post({"id": f"b{number}", "guid": "bob", "city": f"city {number}"})
        engine.now += 58 * SECOND
        assert engine.work() == [("bob", {"city": f"city {number}"})]
    engine.hubspot.send = answers  # type: ignore[method-assign]
    engine.now += 3600 * SECOND
    assert engine.work() == [("ann", {"city": "city 59"})]


def test_a_replay_tells_its_true_count_however_many_batches_it_takes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "BATCH", 7)
    for number in range(50):
        engine.post({"id": f"a{number}", "guid": f"lead {number % 5}", "city": f"city {number}"})
    engine.work()
    assert engine.engine.count(EVERYTHING) == 50
    assert (engine.replay().events, engine.replay().changed) == (50, 0)
    assert engine.work() == []


def test_a_copy_without_its_id_is_still_one_event(engine: Engine) -> None:
    at = engine.now // SECOND
    first = engine.post({"at": at, "guid": "ann", "score": 5})
    copy = engine.post({"at": at, "guid": "ann", "score": 5})
    assert copy == first
    assert engine.work() == [("ann", {"score": 5})]
