"""`leadwire events show`: one event or request whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console

from integration.body import MalformedBody, decode
from integration.cli.output import (
    console,
    json_option,
    json_time,
    new_table,
    plain,
    print_json,
    printable,
    shown_time,
    shown_value,
)
from integration.cli.stored import change_as_json, line_as_json, reading
from integration.core.settings import Settings
from integration.store import fetches
from integration.store.fetches import FetchLine
from integration.store.views.event_views import (
    AttemptLine,
    EventDetails,
    EventLine,
    StoredRequest,
    events_of_request,
    find_event,
    find_request,
)

_MILLISECOND = 1000
_UNPACKED_BYTES = 10 * 1024 * 1024


@click.command()
@click.argument("id")
@json_option
def show(id: str, *, as_json: bool) -> None:
    """One event or request whole: headers, body, what it became, and the attempts that carried it."""
    settings = Settings.read()
    request_id = id.partition("-")[0]
    with reading(settings) as connection:
        request = find_request(connection, request_id)
        event = find_event(connection, id)
        fetch = fetches.of_event(connection, id)
        siblings = events_of_request(connection, request_id) if event is None else []
    if request is None or (event is None and id != request_id):
        raise click.BadParameter(f"there is no event or request {id!r}; `leadwire events` lists them")
    body = None if request.body is None else _readable(request.headers, request.body, settings.max_body_bytes)
    if as_json:
        print_json(
            {
                "request": _request_as_json(request, body),
                "event": _details_as_json(event, fetch) if event else None,
                "events": [line_as_json(line) for line in siblings],
            }
        )
        return
    _print_details(console(), request, body, event, siblings)
    if fetch:
        _print_fetch(console(), fetch)


def _readable(headers: Mapping[str, str], body: bytes, limit: int) -> object:
    """A body decoded, or as text where it cannot be."""
    try:
        return decode(headers, body, limit)
    except MalformedBody:
        return body.decode(errors="backslashreplace")


def _request_as_json(request: StoredRequest, body: object) -> dict[str, Any]:
    return {
        "id": request.id,
        "source": request.source,
        "received_at": json_time(request.received_at),
        "client": request.client,
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "body": body,
        "body_size": request.body_size,
        "rejected": {"reason": request.reason, "detail": request.detail} if request.reason else None,
    }


def _details_as_json(event: EventDetails, fetch: FetchLine | None) -> dict[str, Any]:
    return {
        **line_as_json(event.line),
        "mapping_version": event.mapping_version,
        "changes": [change_as_json(change) for change in event.changes],
        "lead_state": event.lead_state,
        "attempts": [attempt_as_json(attempt) for attempt in event.attempts],
        "fetch": _fetch_as_json(fetch) if fetch else None,
    }


def _fetch_as_json(fetch: FetchLine) -> dict[str, Any]:
    return {
        "address": fetch.address,
        "fetched_at": json_time(fetch.fetched_at),
        "answer": _answer(fetch),
        "next_attempt": json_time(fetch.due_at),
        "failed_attempts": fetch.attempts,
        "detail": fetch.detail,
    }


def _answer(fetch: FetchLine) -> object:
    found = fetch.answer
    return None if found is None else _readable(found.headers, found.body, len(found.body) + _UNPACKED_BYTES)


def _print_fetch(out: Console, fetch: FetchLine) -> None:
    if fetch.answer is None:
        due = f"{shown_time(fetch.due_at)} UTC" if fetch.due_at else "none"
        facts = {
            "next attempt": due,
            "failed attempts": str(fetch.attempts),
            "last failure": fetch.detail or "-",
        }
        print_facts(out, "What is fetched for it", facts)
        return
    facts = {"address": fetch.address or "-", "fetched": f"{shown_time(fetch.fetched_at)} UTC"}
    print_facts(out, "What was fetched for it", facts)
    out.print(plain(_body_text(_answer(fetch))), soft_wrap=True)


def attempt_as_json(attempt: AttemptLine) -> dict[str, Any]:
    """An attempt in a listing."""
    return {
        "id": attempt.id,
        "started_at": json_time(attempt.started_at),
        "milliseconds": attempt.duration / _MILLISECOND,
        "status": attempt.status,
        "outcome": attempt.outcome,
        "fields": dict(attempt.fields),
        "detail": attempt.detail,
    }


def _print_details(
    out: Console, request: StoredRequest, body: object, event: EventDetails | None, siblings: list[EventLine]
) -> None:
    print_facts(out, f"Request {request.id}", _request_facts(request))
    print_facts(out, "Headers", dict(request.headers))
    print_heading(out, f"Body ({request.body_size} bytes)")
    out.print(plain(_body_text(body)), soft_wrap=True)
    for line in siblings:
        print_facts(out, f"Event {line.id}", _event_facts(line))
    if event:
        print_facts(out, f"Event {event.line.id}", _event_facts(event.line))
        _print_changes(out, event)
        _print_attempts(out, event)


def _request_facts(request: StoredRequest) -> dict[str, str]:
    facts = {
        "source": request.source,
        "received": f"{shown_time(request.received_at)} UTC from {request.client or 'an unknown address'}",
        "request": f"{request.method} {request.url}",
    }
    if request.reason:
        facts["rejected"] = f"{request.reason}: {request.detail}"
    return facts


def _event_facts(line: EventLine) -> dict[str, str]:
    facts = {
        "type": line.type or "-",
        "happened": f"{shown_time(line.occurred_at)} UTC" if line.occurred_at else "-",
        "source's id": line.dedup_key,
        "state": line.state,
        "lead": ", ".join(f"{kind} {value}" for kind, value in line.lead.items()) or "-",
    }
    if line.cause:
        facts["cause"] = line.cause.detail
        facts["cure"] = line.cause.cure
    return {name: value for name, value in facts.items() if value}


def _print_changes(out: Console, event: EventDetails) -> None:
    if not event.changes:
        return
    print_heading(out, "What it asked for")
    table = new_table("field", "value", "write", "mapping")
    for change in event.changes:
        table.add_row(
            plain(change.field), plain(shown_value(change.value)), change.write, plain(change.place)
        )
    out.print(table)


def _print_attempts(out: Console, event: EventDetails) -> None:
    if event.lead_state is None:
        return
    print_heading(out, f"Attempts that carried it (the lead is {event.lead_state})")
    print_attempts(out, event.attempts)


def print_attempts(out: Console, attempts: Sequence[AttemptLine]) -> None:
    """Attempts as a table, or that there are none."""
    table = new_table("started (UTC)", "status", "outcome", "ms", "sent", "detail")
    for attempt in attempts:
        table.add_row(
            shown_time(attempt.started_at),
            str(attempt.status or "none"),
            attempt.outcome,
            f"{attempt.duration / _MILLISECOND:.0f}",
            plain(shown_value(dict(attempt.fields))),
            plain(attempt.detail or ""),
        )
    out.print(table if attempts else plain("None yet."))


def print_facts(out: Console, heading: str, facts: dict[str, str]) -> None:
    """A heading and what is known, one line each, names in a column."""
    print_heading(out, heading)
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        out.print(plain(f"{name:<{width}}  {value}"), soft_wrap=True)


def print_heading(out: Console, text: str) -> None:
    """An empty line and a heading."""
    out.print()
    out.print(plain(text), style="bold", soft_wrap=True)


def _body_text(body: object) -> str:
    if body is None:
        return "It is not kept."
    return printable(body) if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
