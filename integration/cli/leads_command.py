"""`leadwire leads`: the leads that are known here, and one of them with every field's history."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from integration.cli.output import (
    console,
    counted,
    json_option,
    json_time,
    new_table,
    plain,
    print_json,
    shown_lead,
    shown_time,
    shown_value,
    state_text,
)
from integration.cli.show import attempt_as_json, print_attempts, print_facts, print_heading
from integration.cli.stored import cause_as_json, opened, reading
from integration.core.clock import now
from integration.core.settings import Settings
from integration.lead.identity import IdentifierKey
from integration.lead.merge import AtHubSpot, FieldState, Unknown
from integration.operate.linking import link, unlink
from integration.store.views.lead_views import KnownLead, LeadDetails, find_lead_id, lead_details, list_leads

ATTEMPTS_SHOWN = 10


def _identifier(text: str) -> IdentifierKey:
    kind, separator, value = text.partition("=")
    if not (kind and separator and value):
        raise click.BadParameter("expected KIND=VALUE, as email=ann@example.com or stripe_customer=cus_1")
    return kind, value


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@click.option("--before", metavar="ID", help="Only those older than this id: the next page.")
@json_option
@click.pass_context
def leads(context: click.Context, *, limit: int, before: str | None, as_json: bool) -> None:
    """The leads, newest first; `leads show ID` shows one with every field."""
    if context.invoked_subcommand:
        return
    with reading(Settings.read()) as connection:
        found = list_leads(connection, limit=limit, before=before)
    more = found[-1].record.id if len(found) == limit else None
    if as_json:
        print_json({"leads": [lead_as_json(lead) for lead in found], "next": more})
    elif found:
        _print_page(console(), found, more)
    else:
        click.echo("There are no such leads.")


@leads.command(name="show")
@click.argument("known_by", metavar="ID|GUID|EMAIL")
@json_option
def show_lead(*, known_by: str, as_json: bool) -> None:
    """One lead whole: each field, what HubSpot has, and the event and mapping line that set it.

    Besides its id, guid, contact id or email, any other identifier finds it: stripe_customer=cus_1.
    """
    with reading(Settings.read()) as connection:
        id = find_lead_id(connection, known_by)
        details = lead_details(connection, id, attempts_shown=ATTEMPTS_SHOWN) if id else None
    if details is None:
        raise click.BadParameter(f"there is no lead {known_by!r}; `leadwire leads` lists them")
    if as_json:
        print_json(_details_as_json(details))
    else:
        _print_details(console(), details)


@leads.command(name="link")
@click.argument("identifier", metavar="KIND=VALUE", type=_identifier)
@click.argument("known_by", metavar="ID|GUID|EMAIL")
@json_option
def link_lead(*, identifier: IdentifierKey, known_by: str, as_json: bool) -> None:
    """Say that an identifier means this lead: `leads link email=ann@example.com 8a41...`.

    If it meant another lead, the two become one; but if HubSpot knows these by different guids or contact
    ids, only the identifier moves. Events that contradicted what was known are tried again.
    """
    with opened(Settings.read()) as store:
        with store.read() as connection:
            id = find_lead_id(connection, known_by)
        if id is None:
            raise click.BadParameter(f"there is no lead {known_by!r}; `leadwire leads` lists them")
        linked = link(store, now, identifier, id)
    if as_json:
        print_json({"lead": id, "how": linked.how, "retried": linked.retried})
        return
    click.echo(f"{_HOW[linked.how]}{_retried(linked.retried)}")


@leads.command(name="unlink")
@click.argument("identifier", metavar="KIND=VALUE", type=_identifier)
@json_option
def unlink_lead(*, identifier: IdentifierKey, as_json: bool) -> None:
    """Forget which lead an identifier means: `leads unlink stripe_customer=cus_1`.

    The next event that carries it says anew. Events that contradicted what was known are tried again.
    """
    with opened(Settings.read()) as store:
        retried = unlink(store, now, identifier)
    if retried is None:
        raise click.BadParameter(f"no lead is known by {'='.join(identifier)}")
    if as_json:
        print_json({"unlinked": "=".join(identifier), "retried": retried})
        return
    click.echo(f"Forgotten.{_retried(retried)}")


_HOW = {
    "added": "Linked.",
    "already": "It was linked already.",
    "merged": "Linked: the lead that it meant before is one with this now.",
    "moved": "Linked: only the identifier moved, as HubSpot knows the two leads by different ids.",
}


def _retried(events: int) -> str:
    return f" {counted(events, 'event')} tried again." if events else ""


def lead_as_json(lead: KnownLead) -> dict[str, Any]:
    """A lead in a listing."""
    record = lead.record
    return {
        "id": record.id,
        "identifiers": dict(lead.identifiers),
        "state": record.state,
        "unsent": record.unsent,
        "waiting_since": json_time(record.waiting_since),
        "failing_since": json_time(record.failing_since),
        "cause": cause_as_json(record.cause),
    }


def shown_at_hubspot(value: AtHubSpot) -> str:
    """What HubSpot has, as far as is known."""
    return "not known" if isinstance(value, Unknown) else shown_value(value)


def at_hubspot_as_json(value: AtHubSpot) -> dict[str, Any]:
    """What HubSpot has; without a key where that is not known."""
    return {} if isinstance(value, Unknown) else {"hubspot_has": value}


def _print_page(out: Console, found: list[KnownLead], more: str | None) -> None:
    table = new_table("id", "lead", "state", "unsent fields", "waiting since (UTC)", "cause")
    for lead in found:
        record = lead.record
        table.add_row(
            plain(record.id),
            plain(shown_lead(lead.identifiers)),
            state_text(record.state),
            plain(", ".join(record.unsent)),
            plain(shown_time(record.waiting_since)),
            plain(record.cause.detail if record.cause else ""),
        )
    out.print(table)
    if more:
        out.print(plain(f"For the next page, add --before {more}"), style="dim", soft_wrap=True)


def _details_as_json(details: LeadDetails) -> dict[str, Any]:
    record = details.lead.record
    return {
        **lead_as_json(details.lead),
        "due_at": json_time(record.due_at),
        "failed_attempts": record.attempts,
        "updated_at": json_time(details.updated_at),
        "fields": {name: _field_as_json(field) for name, field in sorted(record.fields.items())},
        "attempts": [attempt_as_json(attempt) for attempt in details.attempts],
    }


def _field_as_json(field: FieldState) -> dict[str, Any]:
    return {
        "value": field.value,
        **at_hubspot_as_json(field.sent),
        "write": field.write,
        "occurred_at": json_time(field.clock[0]) if field.clock else None,
        "event": field.event_id or None,
        "place": field.place or None,
        "mapping_version": field.mapping_version or None,
    }


def _print_details(out: Console, details: LeadDetails) -> None:
    record = details.lead.record
    print_facts(out, f"Lead {record.id}", _facts(details))
    fields = sorted(record.fields.items())
    print_heading(out, "Fields")
    table = new_table(
        "field", "value", "HubSpot has", "write", "happened (UTC)", "event", "mapping", "version"
    )
    for name, field in fields:
        table.add_row(*(plain(cell) for cell in _cells(name, field)))
    out.print(table if fields else plain("None."))
    print_heading(out, f"Last attempts (at most {ATTEMPTS_SHOWN})")
    print_attempts(out, details.attempts)


def _cells(name: str, field: FieldState) -> tuple[str, ...]:
    happened = shown_time(field.clock[0]) if field.clock else "-"
    return (
        name, shown_value(field.value), shown_at_hubspot(field.sent), field.write or "-", happened,
        field.event_id or "-", field.place or "-", field.mapping_version or "-",
    )  # fmt: skip


def _facts(details: LeadDetails) -> dict[str, str]:
    record = details.lead.record
    facts = {
        **details.lead.identifiers,
        "state": record.state,
        "unsent": ", ".join(record.unsent),
        "due": f"{shown_time(record.due_at)} UTC" if record.due_at else "",
        "failing since": f"{shown_time(record.failing_since)} UTC" if record.failing_since else "",
        "failed attempts": str(record.attempts or ""),
        "cause": record.cause.detail if record.cause else "",
        "cure": record.cause.cure if record.cause else "",
        "updated": f"{shown_time(details.updated_at)} UTC",
    }
    return {name: value for name, value in facts.items() if value}
