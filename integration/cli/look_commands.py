"""Commands that look at what is stored: sources, events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import click
from rich.text import Text

from integration.cli.output import (
    console,
    counted,
    json_option,
    json_time,
    listed,
    new_table,
    plain,
    print_json,
    printable,
    shown_lead,
    shown_time,
    state_text,
)
from integration.cli.payloads import read_configuration
from integration.cli.show import show
from integration.cli.stored import line_as_json, opened, reading
from integration.config.configuration import AnySource
from integration.config.sources import Configuration, HeldSource, Source
from integration.core.clock import now
from integration.core.settings import Settings
from integration.pipeline.keeper import stored_versions
from integration.store.views.event_views import (
    EventLine,
    EventState,
    RejectedLine,
    list_events,
    list_rejected,
)
from integration.store.views.source_views import SourceActivity, source_activities


@click.command()
@json_option
def sources(*, as_json: bool) -> None:
    """Each source: its URL, whether it can receive or what it lacks, its last event, and what failed.

    Failures are the rejected requests and dead letters that arrived in the last 24 hours.
    """
    settings = Settings.read()
    with opened(settings) as store:
        configuration = read_configuration(settings, versions=stored_versions(store))
        with store.read() as connection:
            activities = source_activities(connection, [*configuration.sources], now())
    if as_json:
        lines = [_as_json(settings, configuration, name, activities[name]) for name in configuration.sources]
        print_json({"sources": lines})
    elif configuration.sources:
        _print_sources(settings, configuration, activities)
    else:
        click.echo(f"There is no source in {settings.mappings_dir}: each is a folder with a mapping.yaml.")


def _as_json(
    settings: Settings, configuration: Configuration, name: str, activity: SourceActivity
) -> dict[str, Any]:
    source = configuration.sources[name]
    return {
        "source": name,
        "title": _title(source),
        "url": f"{settings.public_url}/hooks/{name}" if settings.public_url else None,
        "origin": configuration.origins.get(name),
        "enabled": _is_enabled(source),
        "state": _state(configuration, source),
        "last_event": json_time(activity.last_event_at),
        "last_event_type": activity.last_event_type,
        "last_24_hours": {"rejected": activity.rejected, "dead": activity.dead},
    }


def _print_sources(
    settings: Settings, configuration: Configuration, activities: Mapping[str, SourceActivity]
) -> None:
    headings = ("source", "title", "files", "URL", "state", "last event (UTC)", "rejected 24 h", "dead 24 h")
    table = new_table(*headings)
    for name, source in configuration.sources.items():
        activity = activities[name]
        table.add_row(
            plain(name),
            plain(_title(source) or "-"),
            plain(configuration.origins.get(name, "-")),
            plain(f"{settings.public_url}/hooks/{name}"),
            Text(printable(_state(configuration, source)), style=_state_style(configuration, source)),
            plain(f"{shown_time(activity.last_event_at)} {activity.last_event_type or ''}".strip()),
            _count(activity.rejected, "yellow"),
            _count(activity.dead, "bold red"),
        )
    out = console()
    out.print(table)
    enabled = sum(map(_is_enabled, configuration.sources.values()))
    total = len(configuration.sources)
    out.print(plain(f"{counted(enabled, 'source')} of {total} can receive."), soft_wrap=True)
    if configuration.off:
        out.print(plain(f"Switched off: {listed([*configuration.off])}."), style="dim", soft_wrap=True)
    if not settings.public_url:
        out.print(plain("Set PUBLIC_URL to see the whole URLs."), style="dim", soft_wrap=True)


def _count(number: int, style: str) -> Text:
    return Text(str(number), style=style if number else "dim")


def _title(source: AnySource) -> str | None:
    return source.mapping.title if isinstance(source, Source) else None


def _is_enabled(source: AnySource) -> bool:
    return isinstance(source, Source | HeldSource) and not source.missing_secrets


def _state_style(configuration: Configuration, source: AnySource) -> str:
    if source.name in configuration.mistakes:
        return "bold red"
    return "green" if _is_enabled(source) else "dim"


def _state(configuration: Configuration, source: AnySource) -> str:
    if source.name in configuration.mistakes:
        return str(configuration.mistakes[source.name])
    if isinstance(source, Source | HeldSource) and source.missing_secrets:
        return f"set {' or '.join(source.missing_secrets)}"
    if isinstance(source, Source) and source.missing_fetch_settings:
        return f"enabled; to fetch, set {' and '.join(source.missing_fetch_settings)}"
    return "enabled"


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
    with reading(Settings.read()) as connection:
        if state == "rejected":
            rejected = list_rejected(connection, **page)
            _print_page(rejected, "requests", limit, as_json=as_json)
        else:
            lines = list_events(connection, state=state, **page)  # type: ignore[arg-type]  # click checked it
            _print_page(lines, "events", limit, as_json=as_json)


def _print_page(lines: list[EventLine] | list[RejectedLine], name: str, limit: int, *, as_json: bool) -> None:
    more = lines[-1].id if len(lines) == limit else None
    if as_json:
        print_json({name: [line_as_json(line) for line in lines], "next": more})
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


events.add_command(show)
