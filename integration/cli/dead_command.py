"""`leadwire dead`: what waits for a person, why, how to mend it, and how to take it up again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console

from integration.cli.leads_command import lead_as_json, show_lead
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
)
from integration.cli.progress import progress
from integration.cli.show import print_facts, show
from integration.cli.stored import line_as_json, opened, reading
from integration.core.clock import now
from integration.core.settings import Settings
from integration.core.values import Cause
from integration.operate.dead_letters import Letters, Retried, count_dead, retry_dead
from integration.store.dead_rows import DeadGroup, dead_groups
from integration.store.engine import Store
from integration.store.views.event_views import EventLine, find_event, list_dead_events
from integration.store.views.lead_views import KnownLead, find_lead_id, lead_details, list_dead_leads


@click.group(invoke_without_command=True)
@click.option("--cause", metavar="CODE", help="List the dead letters of this cause instead of all causes.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many; with --cause."
)
@click.option("--before", metavar="ID", help="Only those older than this id: the next page; with --cause.")
@json_option
@click.pass_context
def dead(context: click.Context, *, cause: str | None, limit: int, before: str | None, as_json: bool) -> None:
    """Dead letters by cause: how many, since when, an example, the cure.

    An event is dead when its mapping can make no valid update of it; a lead is dead when HubSpot refuses
    its changes, or was out of reach for days. Mend the cause, then run `leadwire dead retry`.
    """
    if context.invoked_subcommand:
        return
    with reading(Settings.read()) as connection:
        if cause is None:
            groups = dead_groups(connection)
        else:
            events = list_dead_events(connection, cause=cause, limit=limit, before=before)
            leads = list_dead_leads(connection, cause=cause, limit=limit, before=before)
    if cause is None:
        _print_groups(groups, as_json=as_json)
    else:
        _print_letters([*events, *leads], limit, as_json=as_json)


def _print_groups(groups: Sequence[DeadGroup], *, as_json: bool) -> None:
    if as_json:
        print_json({"dead": [_group_as_json(group) for group in groups]})
        return
    out = console()
    for group in groups:
        heading = f"{counted(group.count, group.kind)}: {group.cause.code}"
        print_facts(out, heading, _group_facts(group))
    if not groups:
        click.echo("There are no dead letters.")


def _group_facts(group: DeadGroup) -> dict[str, str]:
    since = "arrived" if group.kind == "event" else "failing since"
    return {
        "example": group.cause.detail,
        "cure": group.cause.cure,
        since: f"{shown_time(group.oldest)} UTC (oldest), {shown_time(group.newest)} UTC (newest)",
        "see it": f"leadwire dead show {group.example}",
        "retry": f"leadwire dead retry --cause {group.cause.code}",
    }


def _group_as_json(group: DeadGroup) -> dict[str, Any]:
    return {
        "kind": group.kind,
        "cause": group.cause.code,
        "count": group.count,
        "oldest": json_time(group.oldest),
        "newest": json_time(group.newest),
        "example": group.example,
        "detail": group.cause.detail,
        "cure": group.cause.cure,
    }


def _print_letters(found: Sequence[EventLine | KnownLead], limit: int, *, as_json: bool) -> None:
    """A page of both kinds; each was read a page deep, so the newest of both together are the page."""
    letters = sorted(found, key=_id, reverse=True)[:limit]
    more = _id(letters[-1]) if len(letters) == limit else None
    if as_json:
        print_json({"letters": [_letter_as_json(letter) for letter in letters], "next": more})
    elif letters:
        _print_table(console(), letters, more)
    else:
        click.echo("There are no dead letters of this cause.")


def _print_table(out: Console, letters: Sequence[EventLine | KnownLead], more: str | None) -> None:
    table = new_table("id", "what", "since (UTC)", "lead", "detail")
    for letter in letters:
        what, since, lead, cause = _in_words(letter)
        cells = (plain(_id(letter)), plain(what), since, plain(lead), plain(cause.detail if cause else ""))
        table.add_row(*cells)
    out.print(table)
    if more:
        out.print(plain(f"For the next page, add --before {more}"), style="dim", soft_wrap=True)


def _in_words(letter: EventLine | KnownLead) -> tuple[str, str, str, Cause | None]:
    """What it is, since when, of which lead, and why."""
    if isinstance(letter, EventLine):
        since = shown_time(letter.received_at)
        return f"{letter.source} event", since, shown_lead(letter.lead), letter.cause
    return (
        "lead",
        shown_time(letter.record.failing_since),
        shown_lead(letter.identifiers),
        letter.record.cause,
    )


def _id(letter: EventLine | KnownLead) -> str:
    return letter.id if isinstance(letter, EventLine) else letter.record.id


def _letter_as_json(letter: EventLine | KnownLead) -> dict[str, Any]:
    if isinstance(letter, EventLine):
        return {"kind": "event", **line_as_json(letter)}
    return {"kind": "lead", **lead_as_json(letter)}


@dead.command(name="show")
@click.argument("id")
@json_option
@click.pass_context
def show_dead(context: click.Context, *, id: str, as_json: bool) -> None:
    """One dead letter whole: an event by its id, or a lead by its id, guid or email."""
    with reading(Settings.read()) as connection:
        event = find_event(connection, id)
        lead_id = find_lead_id(connection, id) if event is None else None
        lead = lead_details(connection, lead_id, attempts_shown=0) if lead_id else None
    state = event.line.state if event else lead.lead.record.state if lead else None
    if state is None:
        raise click.BadParameter(f"there is no dead letter {id!r}; `leadwire dead` lists them")
    if state != "dead":
        raise click.BadParameter(f"{id!r} is no dead letter (any more): it is {state}")
    if event:
        context.invoke(show, id=id, as_json=as_json)
    else:
        context.invoke(show_lead, known_by=id, as_json=as_json)


@dead.command()
@click.option("--cause", metavar="CODE", help="Those of this cause.")
@click.option("--source", metavar="NAME", help="Events of this source.")
@click.option("--lead", metavar="ID|GUID|EMAIL", help="This lead.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@json_option
def retry(
    *, cause: str | None, source: str | None, lead: str | None, everything: bool, as_json: bool
) -> None:
    """Take dead letters up again, once their cause is mended.

    Events are translated again, by the mapping as it is now. Leads are sent again at once, and have their
    full time to succeed. Options together mean letters that all of them name.
    """
    _check_choice(cause, source, lead, everything=everything)
    with opened(Settings.read()) as store:
        letters = Letters(cause, source, _lead_id(store, lead))
        done = _retry(store, letters)
    if as_json:
        print_json({"events": done.events, "leads": done.leads})
    elif done == Retried():
        click.echo("There are no such dead letters.")
    else:
        click.echo(f"Tried again: {counted(done.events, 'event')}, {counted(done.leads, 'lead')}.")


def _check_choice(cause: str | None, source: str | None, lead: str | None, *, everything: bool) -> None:
    chosen = [option for option in (cause, source, lead) if option is not None]
    if bool(chosen) == everything:
        raise click.UsageError("say which: --cause, --source or --lead, or --all of them")
    if source is not None and lead is not None:
        raise click.UsageError("--source means events, --lead means a lead: give one of them")


def _lead_id(store: Store, known_by: str | None) -> str | None:
    if known_by is None:
        return None
    with store.read() as connection:
        id = find_lead_id(connection, known_by)
    if id is None:
        raise click.BadParameter(f"there is no lead {known_by!r}; `leadwire dead` lists what is dead")
    return id


def _retry(store: Store, letters: Letters) -> Retried:
    waiting = count_dead(store, letters)
    with progress("Dead letters", waiting.events + waiting.leads) as report:
        return retry_dead(store, now, letters, lambda done: report(done.events + done.leads, ""))
