"""Commands that look at what came in: sources, events."""

from __future__ import annotations

from typing import Any

import click

from integration.cli.filters import found_lead, page_options, time_options
from integration.cli.output import console, json_option, plain, print_json
from integration.cli.payloads import read_configuration
from integration.cli.render import print_listing, print_page, print_table, print_text
from integration.cli.stored import opened, reading
from integration.core.clock import now
from integration.core.settings import Settings
from integration.core.values import MAIN_ACCOUNT, EventState, Micros
from integration.core.words import counted, listed
from integration.pipeline.keeper import stored_versions
from integration.store.views.event_page import event_page
from integration.store.views.event_views import EVENTS, EventFilter, list_events
from integration.store.views.request_views import REJECTED, list_rejected
from integration.store.views.source_views import SOURCES, SourceLine, source_activities

FOLDED_FROM = 6  # so many sources that nobody set up are told by name only


@click.command()
@click.argument("names", nargs=-1, metavar="[SOURCE]...")
@click.option("--all", "everything", is_flag=True, help="Also those that nobody set up here.")
@json_option
def sources(*, names: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Each source: its URL, whether it can receive or what it lacks, its last event, and what failed.

    Those given, or all that are set up here. Failures are the rejected requests and dead letters that arrived
    in the last 24 hours.
    """
    settings = Settings.read()
    with opened(settings) as store:
        configuration = read_configuration(settings, versions=stored_versions(store, MAIN_ACCOUNT))
        found = configuration.sources
        for name in names:
            if name not in found:
                raise click.BadParameter(f"there is no source named {name!r}; there are: {', '.join(found)}")
        chosen = names or tuple(found)
        with store.read() as connection:
            sent = source_activities(connection, MAIN_ACCOUNT, chosen, now())
    lines = [
        SourceLine(
            MAIN_ACCOUNT, found[name], sent[name], settings.public_url,
            configuration.mistakes.get(name), configuration.origins.get(name),
        )
        for name in chosen
    ]  # fmt: skip
    if as_json:
        print_json({SOURCES.name: [SOURCES.as_json(line) for line in lines]})
    elif lines:
        _print_sources(settings, lines, everything=everything or bool(names))
        if configuration.off:
            print_text(console(), f"Switched off: {listed([*configuration.off])}.")
    else:
        click.echo(f"There is no source in {settings.mappings_dir}: each is a folder with a mapping.yaml.")


def _print_sources(settings: Settings, lines: list[SourceLine], *, everything: bool) -> None:
    out = console()
    rest = [line for line in lines if not line.in_use]
    shown = lines if everything or len(rest) < FOLDED_FROM else [line for line in lines if line.in_use]
    if shown:
        print_table(out, SOURCES, shown)
    enabled = sum(line.enabled for line in lines)
    out.print(plain(f"{counted(enabled, 'source')} of {len(lines)} can receive."), soft_wrap=True)
    if len(shown) < len(lines):
        names = ", ".join(line.source.name for line in rest)
        print_text(out, f"Not set up here: {names}. `leadwire sources NAME` says what one of them lacks.")
    if not settings.public_url:
        out.print(plain("Set PUBLIC_URL to see the whole URLs."), style="dim", soft_wrap=True)


@click.group(invoke_without_command=True)
@click.option("--source", metavar="NAME", help="Only those of this source.")
@click.option("--lead", metavar="LEAD", help="Only events of this lead: its id, guid, email, or KIND=VALUE.")
@click.option("--email", help="Only events of the lead with this email.")
@click.option("--type", metavar="TYPE", help="Only events of this type.")
@click.option(
    "--state",
    type=click.Choice([*(state.value for state in EventState), "rejected"]),
    help="Only events in this state; rejected: requests that were not accepted.",
)
@click.option("--reason", metavar="CODE", help="Only requests that were rejected for this reason.")
@time_options
@page_options
@json_option
@click.pass_context
def events(
    context: click.Context,
    *,
    source: str | None,
    lead: str | None,
    email: str | None,
    type: str | None,
    state: str | None,
    reason: str | None,
    since: Micros | None,
    until: Micros | None,
    limit: int,
    before: str | None,
    as_json: bool,
) -> None:
    """What came in, newest first; `events show ID` shows one whole.

    Options together mean what all of them name.
    """
    if context.invoked_subcommand:
        return
    page: dict[str, Any] = {
        "limit": limit,
        "before": before,
        "source": source,
        "since": since,
        "until": until,
    }
    known_by = _one_lead(lead, email)
    with reading(Settings.read()) as connection:
        if state == "rejected" or (state is None and reason is not None):
            if known_by is not None or type is not None:
                raise click.UsageError("a rejected request has no lead and no type yet")
            rejected = list_rejected(connection, MAIN_ACCOUNT, reason=reason, **page)
            print_listing(REJECTED, rejected, limit, as_json=as_json)
            return
        if reason is not None:
            raise click.UsageError("--reason is of rejected requests: leave --state away")
        lead_id = found_lead(connection, MAIN_ACCOUNT, known_by) if known_by else None
        chosen = EventState(state) if state else None
        wanted: EventFilter = {"type": type, "state": chosen, "lead_id": lead_id}
        print_listing(EVENTS, list_events(connection, MAIN_ACCOUNT, **page, **wanted), limit, as_json=as_json)


def _one_lead(lead: str | None, email: str | None) -> str | None:
    if lead is not None and email is not None:
        raise click.UsageError("--lead and --email both mean one lead: give one of them")
    return lead if email is None else f"email={email}"


@events.command()
@click.argument("id")
@json_option
def show(id: str, *, as_json: bool) -> None:
    """One event or request whole: headers, body, what it became, and the attempts that carried it."""
    settings = Settings.read()
    with reading(settings) as connection:
        page = event_page(connection, MAIN_ACCOUNT, id, most_body_bytes=settings.max_body_bytes)
    if page is None:
        raise click.BadParameter(f"there is no event or request {id!r}; `leadwire events` lists them")
    print_page(page, as_json=as_json)
