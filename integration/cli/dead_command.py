"""`leadwire dead`: what waits for a person, why, how to fix it, and how to take it up again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from integration.cli.filters import found_lead
from integration.cli.leads_command import show_lead
from integration.cli.look_commands import show
from integration.cli.output import console, json_option, print_json
from integration.cli.progress import progress
from integration.cli.render import print_facts, print_heading, print_more, print_table
from integration.cli.stored import opened, reading
from integration.core.clock import now
from integration.core.settings import Settings
from integration.core.values import MAIN_ACCOUNT, EventState
from integration.core.words import counted
from integration.lead.record import RecordState
from integration.operate.dead_letters import Letters, Retried, count_dead, retry_dead
from integration.store.engine import Store
from integration.store.views.dead_views import DEAD, DeadGroup, dead_groups
from integration.store.views.event_views import EVENTS, EventLine, find_event, list_events
from integration.store.views.lead_views import LEADS, KnownLead, find_lead, list_leads


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
    its changes, or was out of reach for days. Fix the cause, then run `leadwire dead retry`.
    """
    if context.invoked_subcommand:
        return
    with reading(Settings.read()) as connection:
        if cause is None:
            _print_groups(dead_groups(connection, MAIN_ACCOUNT), as_json=as_json)
            return
        events = list_events(
            connection, MAIN_ACCOUNT, state=EventState.DEAD, cause=cause, limit=limit, before=before
        )
        leads = list_leads(
            connection,
            MAIN_ACCOUNT,
            now=now(),
            state=RecordState.DEAD,
            cause=cause,
            limit=limit,
            before=before,
        )
    _print_letters(events, leads, limit, as_json=as_json)


def _print_groups(groups: Sequence[DeadGroup], *, as_json: bool) -> None:
    if as_json:
        print_json({DEAD.name: [DEAD.as_json(group) for group in groups]})
        return
    out = console()
    for group in groups:
        print_heading(out, f"{counted(group.count, group.kind)}: {group.cause.code}")
        print_facts(out, DEAD, group)
    if not groups:
        click.echo("There are no dead letters.")


def _print_letters(
    events: Sequence[EventLine], leads: Sequence[KnownLead], limit: int, *, as_json: bool
) -> None:
    """A page of both kinds; each was read a page deep, so the newest of both together are the page."""
    both = [*(event.id for event in events), *(lead.record.id for lead in leads)]
    page = sorted(both, reverse=True)[:limit]
    more = page[-1] if len(page) == limit else None
    events = [event for event in events if event.id in page]
    leads = [lead for lead in leads if lead.record.id in page]
    if as_json:
        print_json({"letters": _as_json(events, leads), "next": more})
        return
    out = console()
    if events:
        print_table(out, EVENTS, events)
    if leads:
        print_table(out, LEADS, leads)
    print_more(out, more)
    if not page:
        click.echo("There are no dead letters of this cause.")


def _as_json(events: Sequence[EventLine], leads: Sequence[KnownLead]) -> list[dict[str, Any]]:
    letters = [
        *({"kind": "event", **EVENTS.as_json(event)} for event in events),
        *({"kind": "lead", **LEADS.as_json(lead)} for lead in leads),
    ]
    return sorted(letters, key=lambda letter: str(letter["id"]), reverse=True)


@dead.command(name="show")
@click.argument("id")
@json_option
@click.pass_context
def show_dead(context: click.Context, *, id: str, as_json: bool) -> None:
    """One dead letter whole: an event by its id, or a lead by its id, guid or email."""
    with reading(Settings.read()) as connection:
        event = find_event(connection, MAIN_ACCOUNT, id)
        lead = find_lead(connection, MAIN_ACCOUNT, id, now()) if event is None else None
    state = event.line.state if event else lead.record.state if lead else None
    if state is None:
        raise click.BadParameter(f"there is no dead letter {id!r}; `leadwire dead` lists them")
    if state != "dead":
        raise click.BadParameter(f"{id!r} is not a dead letter (any more): it is {state}")
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
    """Take dead letters up again, once their cause is fixed.

    Events are translated again, by the mapping as it is now. Leads are sent again at once, and have their
    full time to succeed. Options together mean letters that all of them name.
    """
    _check_choice(cause, source, lead, everything=everything)
    with opened(Settings.read()) as store:
        with store.read() as connection:
            letters = Letters(cause, source, found_lead(connection, MAIN_ACCOUNT, lead) if lead else None)
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


def _retry(store: Store, letters: Letters) -> Retried:
    waiting = count_dead(store, MAIN_ACCOUNT, letters)
    with progress("Dead letters", waiting.events + waiting.leads) as report:
        return retry_dead(
            store, MAIN_ACCOUNT, now, letters, lambda done: report(done.events + done.leads, "")
        )
