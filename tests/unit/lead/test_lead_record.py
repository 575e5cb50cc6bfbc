"""The policy of delivery: what an outcome makes of a lead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from integration.core.values import (
    MICROS_PER_SECOND,
    Attempt,
    Cause,
    FieldChange,
    Link,
    Outcome,
    OutcomeKind,
    Update,
    Wire,
    Write,
)
from integration.lead.merge import merge
from integration.lead.next_write import Reach, next_write
from integration.lead.record import Record, RecordState, after_attempt
from integration.pipeline.pausing import ended, next_pause
from integration.store.budget import Pause

NOW = 1_800_000_000 * MICROS_PER_SECOND
SECOND = MICROS_PER_SECOND


def change(field: str, value: Wire) -> FieldChange:
    return FieldChange(field, value, "latest", "mappings/stripe/mapping.yaml:7", "rule")


def update(event: str, at: int, **fields: Wire) -> Update:
    return Update(
        event, (at, f"stripe/{event}"), tuple(change(name, value) for name, value in fields.items())
    )


def leased(*updates: Update) -> Record:
    return Record("lead-1", RecordState.LEASED, merge({}, updates), due_at=NOW, waiting_since=NOW)


def attempt(
    fields: Mapping[str, Wire | None], kind: OutcomeKind, status: int | None = None, **more: float
) -> Attempt:
    cause = None if kind == "done" else Cause("some_cause", "what happened", "what to do")
    outcome = Outcome(kind, status, cause, more.get("retry_after"))
    return Attempt(Write("lead-1", {"guid": "g"}, fields), outcome, NOW, 1000)


def test_a_delivered_lead_is_clean_and_has_nothing_left_to_send() -> None:
    row = replace(leased(update("e1", 10, city="Berlin")), attempts=3, failing_since=NOW)

    after = after_attempt(row, attempt({"city": "Berlin"}, "done", 200), NOW, 0.5)

    assert (after.state, after.due_at, after.attempts, after.failing_since) == ("clean", None, 0, None)
    assert after.unsent == {}


def test_a_change_that_came_while_the_request_was_on_its_way_is_due_again() -> None:
    row = leased(update("e1", 10, city="Berlin"), update("e2", 20, city="Paris"))

    after = after_attempt(row, attempt({"city": "Berlin"}, "done", 200), NOW, 0.5)

    assert (after.state, after.due_at) == ("due", NOW)
    assert after.unsent == {"city": "Paris"}


def test_a_failed_attempt_is_tried_again_later_and_keeps_its_changes() -> None:
    row = leased(update("e1", 10, city="Berlin"))

    after = after_attempt(row, attempt({"city": "Berlin"}, "again", 500), NOW, 1.0)

    assert (after.state, after.due_at, after.attempts) == ("due", NOW + SECOND, 1)
    assert (after.failing_since, after.cause) == (NOW, Cause("some_cause", "what happened", "what to do"))
    assert after.unsent == {"city": "Berlin"}


def test_after_three_days_of_failures_it_is_set_aside_with_the_last_cause() -> None:
    row = replace(leased(update("e1", 10, city="B")), failing_since=NOW - 3 * 86_400 * SECOND - SECOND)

    after = after_attempt(row, attempt({"city": "B"}, "again", 503), NOW, 0.5)

    assert after.state == "dead"
    assert after.cause == Cause(
        "gave_up",
        "HubSpot could not be reached for this lead in 3 days. Last: what happened",
        "When HubSpot works again, run `leadwire dead retry --cause gave_up`.",
    )


def test_a_refused_lead_is_set_aside_with_its_cause() -> None:
    after = after_attempt(
        leased(update("e1", 10, city="B")), attempt({"city": "B"}, "set_aside", 400), NOW, 0.5
    )

    assert (after.state, after.due_at, after.cause) == (
        "dead",
        None,
        Cause("some_cause", "what happened", "what to do"),
    )


@pytest.mark.parametrize(("kind", "status"), [("stop", 401), ("again", 429)])
def test_what_concerns_the_account_costs_the_lead_nothing(kind: OutcomeKind, status: int) -> None:
    row = replace(leased(update("e1", 10, city="B")), attempts=2)

    after = after_attempt(row, attempt({"city": "B"}, kind, status), NOW, 0.5)

    assert (after.state, after.due_at, after.attempts) == ("due", NOW, 2)


def test_a_lead_that_is_not_there_yet_is_looked_for_slowly_for_a_day_and_then_set_aside() -> None:
    row, missing = leased(update("e1", 10, city="B")), attempt({"city": "B"}, "not_found", 404)

    first = after_attempt(row, missing, NOW, 1.0)
    later = after_attempt(replace(first, attempts=20), missing, NOW + 3600 * SECOND, 1.0)
    last = after_attempt(first, missing, NOW + 25 * 3600 * SECOND, 1.0)

    assert (first.state, first.due_at, first.cause) == ("due", NOW + 60 * SECOND, missing.outcome.cause)
    assert later.due_at == NOW + 7200 * SECOND
    assert (last.state, last.cause) == ("dead", missing.outcome.cause)


def test_pauses_grow_and_follow_retry_after() -> None:
    stop = attempt({}, "stop", 401).outcome
    asked = attempt({}, "again", 429, retry_after=77.0).outcome

    assert [(next_pause(n, stop, NOW).until - NOW) / SECOND for n in (0, 1, 2, 20)] == [5, 10, 20, 300]
    assert next_pause(0, asked, NOW).until == NOW + 77 * SECOND
    assert next_pause(3, stop, NOW).pauses == 4


def test_a_bundle_holds_only_what_hubspot_does_not_have_and_names_its_events() -> None:
    row = after_attempt(
        leased(update("01A-0", 10, city="Berlin", plan="Pro")),
        attempt({"city": "Berlin", "plan": "Pro"}, "done", 200),
        NOW,
        0.5,
    )
    row = replace(
        row,
        fields=merge(row.fields, [update("01B-0", 20, city="Berlin", plan="Max")]),
    )

    reach = Reach("guid", frozenset(), can_create=False)
    operation = next_write(row, [Link("guid", "8a41")], reach, NOW)

    assert operation == Write("lead-1", {"guid": "8a41"}, {"plan": "Max"}, ["01B-0"])


def test_only_an_attempt_that_began_after_a_pause_ends_it() -> None:
    pause = Pause(NOW + SECOND, 1, "token refused")
    before, after = attempt({}, "done", 200), replace(attempt({}, "done", 200), started_at=NOW + SECOND)

    assert ended(pause, [before]) is False
    assert ended(pause, [before, after]) is True
