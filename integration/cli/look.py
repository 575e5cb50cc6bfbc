"""Commands that look at what is stored: sources, events, events show."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

import click
from rich.console import Console
from sqlalchemy import Connection

from integration.body import MalformedBody, decode
from integration.cli.output import (
    console,
    json_option,
    json_time,
    new_table,
    plain,
    print_json,
    printable,
    shown_lead,
    shown_time,
    shown_value,
    state_text,
)
from integration.pipeline.sources import BrokenSource, Source, load_configuration
from integration.records import Cause, FieldChange
from integration.settings import Settings
from integration.store.engine import Store
from integration.store.listings import (
    AttemptLine,
    EventDetails,
    EventLine,
    EventState,
    RejectedLine,
    SourceActivity,
    StoredRequest,
    events_of_request,
    find_event,
    find_request,
    list_events,
    list_rejected,
    source_activity,
)
from integration.store.schema import require_current

_MILLISECOND = 1000


@click.command()
@json_option
def sources(*, as_json: bool) -> None:
    """Each source: its URL, whether it can receive, and what it sent."""
    settings = Settings.read()
    configuration = load_configuration(settings.mappings_dir, os.environ)
    with _reading(settings) as connection:
        described = [
            _source_as_json(source, settings.public_url, source_activity(connection, source.name))
            for source in configuration.sources.values()
        ]
    if as_json:
        print_json({"sources": described})
        return
    if not described:
        click.echo(f"There are no sources in {settings.mappings_dir}: each is a folder with a mapping.yaml.")
        return
    table = new_table("source", "title", "URL", "state", "last event (UTC)", "rejected")
    for item in described:
        table.add_row(
            plain(item["source"]),
            plain(item["title"] or "-"),
            plain(item["url"] or f"/hooks/{item['source']} (set PUBLIC_URL)"),
            plain(item["state"]),
            plain(item["last_event"] or "-"),
            plain(item["rejected"]),
        )
    console().print(table)


def _source_as_json(
    source: Source | BrokenSource, public_url: str, activity: SourceActivity
) -> dict[str, Any]:
    return {
        "source": source.name,
        "title": source.mapping.title if isinstance(source, Source) else None,
        "url": f"{public_url}/hooks/{source.name}" if public_url else None,
        "state": _source_state(source),
        "last_event": json_time(activity.last_event_at),
        "last_event_type": activity.last_event_type,
        "rejected": activity.rejected,
    }


def _source_state(source: Source | BrokenSource) -> str:
    if isinstance(source, BrokenSource):
        return str(source.problems[0])
    if source.missing_secrets:
        return f"set {' or '.join(source.missing_secrets)}"
    return "ready"


@click.group(invoke_without_command=True)
@click.option("--source", help="Only events of this source.")
@click.option(
    "--state",
    type=click.Choice([*get_args(EventState), "rejected"]),
    help="Only events in this state; rejected: requests that were not accepted.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@click.option("--before", metavar="ID", help="Only those older than this id: the next page.")
@json_option
@click.pass_context
def events(
    context: click.Context,
    *,
    source: str | None,
    state: str | None,
    limit: int,
    before: str | None,
    as_json: bool,
) -> None:
    """What came in, newest first; `events show ID` shows one whole."""
    if context.invoked_subcommand:
        return
    page: dict[str, Any] = {"limit": limit, "source": source, "before": before}
    with _reading(Settings.read()) as connection:
        if state == "rejected":
            rejected = list_rejected(connection, **page)
            _print_page(rejected, "requests", limit, as_json=as_json)
        else:
            lines = list_events(connection, state=state, **page)  # type: ignore[arg-type]  # click checked it
            _print_page(lines, "events", limit, as_json=as_json)


def _print_page(lines: list[EventLine] | list[RejectedLine], name: str, limit: int, *, as_json: bool) -> None:
    more = lines[-1].id if len(lines) == limit else None
    if as_json:
        print_json({name: [_line_as_json(line) for line in lines], "next": more})
        return
    if not lines:
        click.echo(f"There are no such {name}.")
        return
    table = new_table("id", "received (UTC)", "source", *_headings(lines[0]))
    for line in lines:
        table.add_row(plain(line.id), plain(shown_time(line.received_at)), plain(line.source), *_cells(line))
    out = console()
    out.print(table)
    if more:
        out.print(plain(f"For the next page, add --before {more}"), style="dim", soft_wrap=True)


def _headings(line: EventLine | RejectedLine) -> tuple[str, ...]:
    if isinstance(line, EventLine):
        return ("type", "state", "lead", "cause")
    return ("client", "reason", "detail")


def _cells(line: EventLine | RejectedLine) -> tuple[Any, ...]:
    if isinstance(line, RejectedLine):
        return (plain(line.client), plain(line.reason), plain(line.detail))
    cause = line.cause.detail if line.cause else ""
    return (plain(line.type or "-"), state_text(line.state), plain(shown_lead(line.lead)), plain(cause))


def _line_as_json(line: EventLine | RejectedLine) -> dict[str, Any]:
    common = {"id": line.id, "source": line.source, "received_at": json_time(line.received_at)}
    if isinstance(line, RejectedLine):
        return {**common, "client": line.client, "reason": line.reason, "detail": line.detail}
    return {
        **common,
        "occurred_at": json_time(line.occurred_at),
        "type": line.type,
        "state": line.state,
        "source_event_id": line.dedup_key,
        "lead": dict(line.lead),
        "cause": _cause_as_json(line.cause),
    }


def _cause_as_json(cause: Cause | None) -> dict[str, str] | None:
    return {"code": cause.code, "detail": cause.detail, "cure": cause.cure} if cause else None


@events.command(name="show")
@click.argument("id")
@json_option
def show(id: str, *, as_json: bool) -> None:
    """One event or request whole: headers, body, what it became, and the attempts that carried it."""
    settings = Settings.read()
    request_id = id.partition("-")[0]
    with _reading(settings) as connection:
        request = find_request(connection, request_id)
        event = find_event(connection, id)
        siblings = events_of_request(connection, request_id) if event is None else []
    if request is None or (event is None and id != request_id):
        raise click.BadParameter(f"there is no event or request {id!r}; `leadwire events` lists them")
    body = _readable_body(request, settings.max_body_bytes)
    if as_json:
        print_json(
            {
                "request": _request_as_json(request, body),
                "event": _details_as_json(event) if event else None,
                "events": [_line_as_json(line) for line in siblings],
            }
        )
        return
    _print_details(console(), request, body, event, siblings)


def _readable_body(request: StoredRequest, limit: int) -> object:
    """The body decoded, or as text where it cannot be; None where it is not kept."""
    if request.body is None:
        return None
    try:
        return decode(request.headers, request.body, limit)
    except MalformedBody:
        return request.body.decode(errors="backslashreplace")


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


def _details_as_json(event: EventDetails) -> dict[str, Any]:
    return {
        **_line_as_json(event.line),
        "mapping_version": event.mapping_version,
        "changes": [_change_as_json(change) for change in event.changes],
        "lead_state": event.lead_state,
        "attempts": [_attempt_as_json(attempt) for attempt in event.attempts],
    }


def _change_as_json(change: FieldChange) -> dict[str, Any]:
    return {
        "field": change.field,
        "value": change.value,
        "write": change.write,
        "place": change.place,
        "rule": change.rule,
    }


def _attempt_as_json(attempt: AttemptLine) -> dict[str, Any]:
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
    _print_facts(out, f"Request {request.id}", _request_facts(request))
    _print_facts(out, "Headers", dict(request.headers))
    _print_heading(out, f"Body ({request.body_size} bytes)")
    out.print(plain(_body_text(body)), soft_wrap=True)
    for line in siblings:
        _print_facts(out, f"Event {line.id}", _event_facts(line))
    if event:
        _print_facts(out, f"Event {event.line.id}", _event_facts(event.line))
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
    _print_heading(out, "What it asked for")
    table = new_table("field", "value", "write", "mapping")
    for change in event.changes:
        table.add_row(
            plain(change.field), plain(shown_value(change.value)), change.write, plain(change.place)
        )
    out.print(table)


def _print_attempts(out: Console, event: EventDetails) -> None:
    if event.lead_state is None:
        return
    _print_heading(out, f"Attempts that carried it (the lead is {event.lead_state})")
    table = new_table("started (UTC)", "status", "outcome", "ms", "sent", "detail")
    for attempt in event.attempts:
        table.add_row(
            shown_time(attempt.started_at),
            str(attempt.status or "none"),
            attempt.outcome,
            f"{attempt.duration / _MILLISECOND:.0f}",
            plain(shown_value(dict(attempt.fields))),
            plain(attempt.detail or ""),
        )
    out.print(table if event.attempts else plain("None yet."))


def _print_facts(out: Console, heading: str, facts: dict[str, str]) -> None:
    _print_heading(out, heading)
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        out.print(plain(f"{name:<{width}}  {value}"), soft_wrap=True)


def _print_heading(out: Console, text: str) -> None:
    out.print()
    out.print(plain(text), style="bold", soft_wrap=True)


def _body_text(body: object) -> str:
    if body is None:
        return "It is not kept."
    return printable(body) if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)


@contextmanager
def _reading(settings: Settings) -> Iterator[Connection]:
    store = Store(settings.database_url)
    try:
        require_current(store)
        with store.read() as connection:
            yield connection
    finally:
        store.dispose()
