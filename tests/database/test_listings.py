"""Listings: pages of events and requests, newest first, by what people ask for, on both databases."""

from __future__ import annotations

from typing import Unpack

from sqlalchemy import text

from integration.core.values import (
    Attempt,
    Cause,
    EventEnd,
    EventState,
    FieldChange,
    IncomingEvent,
    Outcome,
    RawRequest,
    Update,
    Write,
)
from integration.lead.record import Record
from integration.store import identifiers, inbox, records, updates
from integration.store.attempts import add_attempts
from integration.store.engine import Store
from integration.store.inbox import Arrival
from integration.store.views.event_views import (
    EventFilter,
    events_of_request,
    find_event,
    list_events,
)
from integration.store.views.request_views import find_request, list_rejected

START = 1_764_000_000_000_000
SECOND = 1_000_000


def arrival(number: int, source: str = "stripe", *, events: int = 1, reason: str | None = None) -> Arrival:
    request = RawRequest(
        source=source, method="POST", url=f"https://hooks.example.com/hooks/{source}", query="",
        headers={"content-type": "application/json"}, body=b"{}", received_at=START + number * SECOND,
        client="203.0.113.9",
    )  # fmt: skip
    if reason:
        return Arrival(request, reason=reason, detail=f"Why it was rejected: {reason}.")
    found = tuple(IncomingEvent(i, f"evt_{number}_{i}", "invoice.paid", START) for i in range(events))
    return Arrival(request, found)


def arrive(store: Store, *arrivals: Arrival) -> list[str]:
    """Store arrivals; returns the ids of their requests."""
    with store.write() as connection:
        return [receipt.id for receipt in inbox.store_arrivals(connection, arrivals)]


def settle(store: Store, event_id: str, state: str, lead_id: str | None = None) -> None:
    cause = None if state == "translated" else Cause(f"{state}_code", f"{state} detail", f"{state} cure")
    with store.write() as connection:
        event = EventEnd(event_id, EventState(state), "invoice.paid", START, lead_id, cause, "v1")
        inbox.end_events(connection, [event], START)


def test_events_come_newest_first_a_page_at_a_time(store: Store) -> None:
    ids = arrive(store, *(arrival(number) for number in range(5)))
    with store.read() as connection:
        first = list_events(connection, limit=2)
        second = list_events(connection, limit=2, before=first[-1].id)
        third = list_events(connection, limit=2, before=second[-1].id)
    assert [line.id for line in (*first, *second, *third)] == [f"{id}-0" for id in reversed(ids)]
    newest = first[0]
    assert (newest.source, newest.type, newest.state) == ("stripe", "invoice.paid", "received")
    assert (newest.received_at, newest.occurred_at) == (START + 4 * SECOND, START)
    assert (newest.dedup_key, newest.lead, newest.cause) == ("evt_4_0", {}, None)


def test_events_of_one_source_or_state_only(store: Store) -> None:
    dead, ignored, waiting = arrive(store, arrival(1), arrival(2, "chargebee"), arrival(3))
    settle(store, f"{dead}-0", "dead")
    settle(store, f"{ignored}-0", "ignored")
    with store.read() as connection:
        by_source = list_events(connection, limit=9, source="stripe")
        by_state = {
            state: [line.id for line in list_events(connection, limit=9, state=state)] for state in EventState
        }
        (line,) = list_events(connection, limit=9, state=EventState.DEAD, source="stripe")
    assert [line.id for line in by_source] == [f"{waiting}-0", f"{dead}-0"]
    assert by_state == {
        "received": [f"{waiting}-0"],
        "translated": [],
        "ignored": [f"{ignored}-0"],
        "dead": [f"{dead}-0"],
        "fetching": [],
    }
    assert line.cause == Cause("dead_code", "dead detail", "dead cure")


def test_events_of_a_lead_a_type_a_time_and_all_of_it_together(store: Store) -> None:
    first, second, other, last = arrive(store, arrival(1), arrival(2), arrival(3, "chargebee"), arrival(4))
    for id in (first, other, last):
        settle(store, f"{id}-0", "translated", "01LEAD")
    settle(store, f"{second}-0", "dead", "01OTHER")
    with store.write() as connection:
        connection.execute(text("UPDATE events SET type = 'refund' WHERE id = :id"), {"id": f"{last}-0"})

    def found(**wanted: Unpack[EventFilter]) -> list[str]:
        with store.read() as connection:
            return [line.id.removesuffix("-0") for line in list_events(connection, limit=9, **wanted)]

    assert found(lead_id="01LEAD") == [last, other, first]
    assert found(lead_id="01LEAD", source="stripe", type="invoice.paid", state=EventState.TRANSLATED) == [
        first
    ]
    assert found(lead_id="01OTHER", state=EventState.TRANSLATED) == []
    assert found(type="refund") == [last]
    assert found(type="invoice.paid", source="stripe") == [second, first]
    assert found(state=EventState.DEAD, source="stripe", type="invoice.paid") == [second]
    assert found(state=EventState.DEAD, cause="dead_code") == [second]
    assert found(state=EventState.DEAD, cause="another") == []
    assert found(since=START + 2 * SECOND, until=START + 4 * SECOND) == [other, second]
    assert found(lead_id=None, type=None, state=None) == [last, other, second, first]


def test_rejected_requests_with_their_reasons(store: Store) -> None:
    arrive(
        store,
        arrival(1, reason="signature_mismatch"),
        arrival(2),
        arrival(3, "chargebee", reason="missing_header"),
    )
    with store.read() as connection:
        lines = list_rejected(connection, limit=9)
        next_page = list_rejected(connection, limit=9, before=lines[0].id)
        of_source = list_rejected(connection, limit=9, source="chargebee")
        of_reason = list_rejected(connection, limit=9, reason="signature_mismatch")
        early = list_rejected(connection, limit=9, since=START, until=START + 2 * SECOND)
    assert [(line.source, line.reason) for line in lines] == [
        ("chargebee", "missing_header"),
        ("stripe", "signature_mismatch"),
    ]
    assert (lines[0].detail, lines[0].client) == ("Why it was rejected: missing_header.", "203.0.113.9")
    assert next_page == lines[1:]
    assert of_source == lines[:1]
    assert of_reason == early == lines[1:]


def test_an_event_whole_with_what_it_asked_for_and_the_attempts_that_carried_it(store: Store) -> None:
    (request_id,) = arrive(store, arrival(1))
    event_id, lead_id = f"{request_id}-0", "01LEAD"
    change = FieldChange("plan", "Pro", "latest", "mappings/stripe/mapping.yaml:9", "the plan")
    settle(store, event_id, "translated", lead_id)
    with store.write() as connection:
        records.add(connection, [Record(lead_id)], START)
        identifiers.link(connection, {("guid", "8a41"): lead_id, ("email", "jane@example.com"): lead_id})
        updates.put(connection, [(lead_id, Update(event_id, (START, "stripe/evt"), (change,), "v1"))])
        carried = Write(lead_id, {"guid": "8a41"}, {"plan": "Pro"}, [event_id])
        other = Write(lead_id, {"guid": "8a41"}, {"plan": "Basic"}, [f"{request_id}-01"])
        failed = Outcome("again", 500, Cause("server_error", "HubSpot answered 500", ""))
        attempts = [(carried, failed), (other, Outcome("done", 200)), (carried, Outcome("done", 200))]
        add_attempts(
            connection,
            [
                Attempt(operation, outcome, START + number * SECOND, 1500)
                for number, (operation, outcome) in enumerate(attempts)
            ],
        )
    with store.read() as connection:
        found = find_event(connection, event_id)
    assert found is not None
    assert found.line.lead == {"guid": "8a41", "email": "jane@example.com"}
    assert (found.mapping_version, found.lead_state, found.changes) == ("v1", "clean", (change,))
    assert [(attempt.status, attempt.outcome, attempt.detail) for attempt in found.attempts] == [
        (500, "again", "HubSpot answered 500"),
        (200, "done", None),
    ]
    assert found.attempts[0].fields == {"plan": "Pro"}
    assert found.attempts[0].duration == 1500


def test_a_request_whole_and_its_events_in_order(store: Store) -> None:
    batch, neighbour = arrive(store, arrival(1, events=11), arrival(2))
    with store.read() as connection:
        request = find_request(connection, batch)
        lines = events_of_request(connection, batch)
        missing = find_request(connection, "01NOTHING"), find_event(connection, "01NOTHING-0")
    assert request is not None
    assert (request.body, request.body_size, request.reason) == (b"{}", 2, None)
    assert request.headers == {"content-type": "application/json"}
    assert [line.id for line in lines] == [f"{batch}-{position}" for position in range(11)]
    assert missing == (None, None)
    assert neighbour not in {line.id.partition("-")[0] for line in lines}
