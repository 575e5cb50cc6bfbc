"""`leadwire status`: what waits, what went wrong, what the budget leaves, and when all is delivered."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import click

from integration.cli.output import console, counted, json_option, json_time, plain, print_json
from integration.cli.stored import opened
from integration.config.folders import shipped_mappings
from integration.config.sources import Configuration, load_configuration
from integration.core.clock import now
from integration.core.settings import RateLimit, Settings
from integration.core.values import MICROS_PER_SECOND, Micros
from integration.pipeline.keeper import stored_versions
from integration.store.views.status_view import RECENT_MINUTES, Status, read_status


@click.command()
@json_option
def status(*, as_json: bool) -> None:
    """What waits, what is dead, what the budget leaves, when all is delivered."""
    settings = Settings.read()
    with opened(settings) as store:
        configuration = load_configuration(
            settings.mappings_dir, os.environ, shipped_mappings(), stored_versions(store),
            only_configured=True,
        )  # fmt: skip
        with store.read() as connection:
            found = read_status(connection, now())
    limit = settings.hubspot_rate_limit
    if found.slots:  # what the workers run with counts, not what is set here
        limit = replace(limit, requests=found.slots)
    if as_json:
        print_json({**_as_json(found, limit), "mappings": _mistakes_as_json(configuration)})
        return
    out = console()
    for name, text in (_lines(found, limit) | _mapping_lines(found, configuration)).items():
        out.print(plain(f"{name:<9} {text}"), soft_wrap=True)


def _mapping_lines(found: Status, configuration: Configuration) -> dict[str, str]:
    """What is said of mapping files; nothing where all is well."""
    mistakes = [str(mistake) for mistake in configuration.mistakes.values()]
    held = [
        f"{counted(waiting.count, 'request')} of {source} held: its mapping is not loaded"
        f"{_oldest(found, waiting.oldest)}"
        for source, waiting in found.backlog.held.items()
    ]
    lines = {"mappings": "; ".join(mistakes), "held": "; ".join(held)}
    return {name: text for name, text in lines.items() if text}


def _mistakes_as_json(configuration: Configuration) -> dict[str, Any]:
    return {
        name: {
            "problems": [str(problem) for problem in mistake.problems],
            "goes_on": mistake.goes_on,
            "since": json_time(mistake.since) if mistake.since else None,
        }
        for name, mistake in configuration.mistakes.items()
    }


def seconds_until_clear(found: Status, limit: RateLimit) -> float:
    """The rest of a pause, and one request for each waiting lead at the full rate limit."""
    pause = max(0, found.pause.until - found.at) / MICROS_PER_SECOND
    sending = found.backlog.leads_waiting * limit.seconds / limit.requests
    return pause + sending if found.backlog.leads_waiting else 0.0


def shown_span(seconds: float) -> str:
    """`12 s`, `3 min`, `5 h 20 min`, `2 d 4 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def _as_json(found: Status, limit: RateLimit) -> dict[str, Any]:
    backlog = found.backlog
    return {
        "at": json_time(found.at),
        "events": {"waiting": backlog.events_received, "oldest_since": json_time(found.oldest_event_at)},
        "fetching": backlog.events_fetching,
        "held": {
            source: {"requests": waiting.count, "oldest_since": json_time(waiting.oldest)}
            for source, waiting in backlog.held.items()
        },
        "leads": {
            "waiting": backlog.leads_waiting,
            "in_flight": backlog.leads_leased,
            "oldest_since": json_time(backlog.oldest_waiting_since),
        },
        "dead": {"events": backlog.dead_events, "leads": backlog.dead_leads},
        "delivery": {
            "paused_until": json_time(found.pause.until) if found.pause.until > found.at else None,
            "reason": found.pause.reason,
        },
        "budget": {
            "requests": limit.requests,
            "seconds": limit.seconds,
            "left_now": _left(found, limit),
            "minutes": RECENT_MINUTES,
            "requests_in_these_minutes": found.recent_requests,
        },
        "seconds_until_clear": seconds_until_clear(found, limit),
    }


def _left(found: Status, limit: RateLimit) -> int:
    return found.slots_free if found.slots else limit.requests


def _lines(found: Status, limit: RateLimit) -> dict[str, str]:
    return {
        "events": _events(found),
        "leads": _leads(found),
        "delivery": _delivery(found),
        "budget": _budget(found, limit),
        "clear": _clear(found, limit),
        "dead": _dead(found),
    }


def _events(found: Status) -> str:
    backlog = found.backlog
    apis = "".join(
        f"; {counted(count, 'event')} of {source} for its API"
        for source, count in backlog.events_fetching.items()
    )
    if not backlog.events_received:
        return f"none waits for translation{apis}"
    waiting = f"{backlog.events_received:,} wait for translation"
    return f"{waiting}{_oldest(found, found.oldest_event_at)}{apis}"


def _leads(found: Status) -> str:
    backlog = found.backlog
    if not backlog.leads_waiting:
        return "none has unsent changes"
    return (
        f"{backlog.leads_waiting:,} with unsent changes{_oldest(found, backlog.oldest_waiting_since)}; "
        f"{backlog.leads_leased:,} on their way"
    )


def _oldest(found: Status, since: Micros | None) -> str:
    return (
        ""
        if since is None
        else f", the oldest for {shown_span(max(0, found.at - since) / MICROS_PER_SECOND)}"
    )


def _delivery(found: Status) -> str:
    pause = found.pause
    if pause.until > found.at:
        rest = shown_span((pause.until - found.at) / MICROS_PER_SECOND)
        return f"paused for another {rest}: {pause.reason or 'no reason is known'}"
    if pause.pauses:
        return f"was paused, and is tried with one request at a time: {pause.reason or 'no reason is known'}"
    return "works"


def _budget(found: Status, limit: RateLimit) -> str:
    return (
        f"{_left(found, limit):,} of {limit.requests:,} requests per {limit.seconds:g} s left now; "
        f"{counted(found.recent_requests, 'request')} in the last {RECENT_MINUTES} minutes, "
        f"{found.recent_requests / RECENT_MINUTES:.0f} a minute"
    )


def _clear(found: Status, limit: RateLimit) -> str:
    waiting = found.backlog.leads_waiting
    if not waiting:
        return "nothing waits for HubSpot"
    seconds = seconds_until_clear(found, limit)
    after_pause = "after the pause, " if found.pause.until > found.at else ""
    return (
        f"in about {shown_span(seconds)}: {after_pause}{counted(waiting, 'lead')}, one request each, at "
        f"{limit.requests:,} per {limit.seconds:g} s; leads that fail take longer"
    )


def _dead(found: Status) -> str:
    backlog = found.backlog
    groups = [
        f"{counted(count, kind)} ({cause})"
        for kind, counts in (("event", backlog.dead_events), ("lead", backlog.dead_leads))
        for cause, count in counts.items()
    ]
    return f"{', '.join(groups)}; `leadwire dead` says what to do" if groups else "none"
