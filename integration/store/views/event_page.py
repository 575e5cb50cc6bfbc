"""One event or request whole: the request as it came, what it became, and the attempts that carried it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from integration.store import fetches
from integration.store.fetches import FetchLine
from integration.store.views.attempt_views import ATTEMPTS
from integration.store.views.columns import Block, Column, Facts, Kind, Page, Rows, Section, View
from integration.store.views.event_views import (
    CHANGES,
    EVENT,
    EVENTS,
    EventDetails,
    events_of_request,
    find_event,
)
from integration.store.views.request_views import (
    body_text,
    find_request,
    readable,
    request_as_json,
    request_sections,
)

_UNPACKED_BYTES = 10 * 1024 * 1024

_FETCH: View[FetchLine] = View(
    "fetch",
    (
        Column("address", "address", lambda fetch: fetch.address),
        Column("fetched_at", "fetched", lambda fetch: fetch.fetched_at, kind=Kind.TIME),
        Column("next_attempt", "next attempt", lambda fetch: fetch.due_at, kind=Kind.TIME),
        Column(
            "failed_attempts", "failed attempts", lambda fetch: fetch.attempts,
            lambda fetch: str(fetch.attempts or ""),
        ),
        Column("detail", "last failure", lambda fetch: fetch.detail),
    ),
)  # fmt: skip


def event_page(connection: Connection, account: str, id: str, *, most_body_bytes: int) -> Page | None:
    """The page of the account's event or request with this id; None if it has neither."""
    request_id = id.partition("-")[0]
    request, event = find_request(connection, account, request_id), find_event(connection, account, id)
    if request is None or (event is None and id != request_id):
        return None
    body = readable(request.headers, request.body, most_body_bytes)
    siblings = events_of_request(connection, account, request_id) if event is None else []
    fetch = fetches.of_event(connection, id)
    sections = (
        *request_sections(request, body),
        *(Facts(f"Event {line.id}", EVENT, line) for line in siblings),
        *(_event_sections(event) if event else ()),
        *(_fetch_sections(fetch) if fetch else ()),
    )
    content = {
        "request": request_as_json(request, body),
        "event": _event_as_json(event, fetch) if event else None,
        "events": [EVENTS.as_json(line) for line in siblings],
    }
    return Page(sections, content)


def _event_sections(event: EventDetails) -> Iterator[Section]:
    yield Facts(f"Event {event.line.id}", EVENT, event.line)
    if event.changes:
        yield Rows("What it asked for", CHANGES, event.changes)
    if event.lead_state is not None:
        heading = f"Attempts that carried it (the lead is {event.lead_state})"
        yield Rows(heading, ATTEMPTS, event.attempts, "None yet.")


def _event_as_json(event: EventDetails, fetch: FetchLine | None) -> dict[str, Any]:
    return {
        **EVENTS.as_json(event.line),
        "mapping_version": event.mapping_version,
        "changes": [CHANGES.as_json(change) for change in event.changes],
        "lead_state": event.lead_state,
        "attempts": [ATTEMPTS.as_json(attempt) for attempt in event.attempts],
        "fetch": {**_FETCH.as_json(fetch), "answer": _answer(fetch)} if fetch else None,
    }


def _fetch_sections(fetch: FetchLine) -> Iterator[Section]:
    yield Facts("What was fetched for it" if fetch.answer else "What is fetched for it", _FETCH, fetch)
    if fetch.answer:
        yield Block("The answer", body_text(_answer(fetch)))


def _answer(fetch: FetchLine) -> object:
    found = fetch.answer
    return None if found is None else readable(found.headers, found.body, len(found.body) + _UNPACKED_BYTES)
