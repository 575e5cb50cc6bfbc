"""The state of the whole at one moment: what waits for what, what goes wrong, what the budget leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, select

from integration.config.sources import Mistake
from integration.core.clock import first_id_at
from integration.core.settings import RateLimit
from integration.core.values import MICROS_PER_SECOND, Micros
from integration.core.words import counted, exact_time, shown_span
from integration.store.ages import Ages, read_ages, seconds_since
from integration.store.backlog import Backlog, read_backlog
from integration.store.budget import REQUESTS, Pause, count_slots, current_pause
from integration.store.pause_rows import SourcePause, source_pauses
from integration.store.schema import is_newer, said_of, version_of
from integration.store.tables import attempts
from integration.store.views.columns import Column, Kind, View
from integration.store.views.waiting import Waiting, WaitsFor, count_waiting

RECENT_MINUTES = 5


@dataclass(frozen=True, slots=True)
class Status:
    """`ages` tells since when the oldest things wait that should be done by now, `waiting` how many leads
    wait for what; `source_pauses` are those of sources' APIs. `limit` is the rate limit that the workers keep
    (that of the settings before the first one ran), `slots_free` how many requests could be made at once,
    `recent_requests` how many were made in the last RECENT_MINUTES. `mistakes` are those of files that are
    not used as they are, `schema` is the version of the database's.
    """

    account: str
    at: Micros
    backlog: Backlog
    waiting: Sequence[Waiting]
    ages: Ages
    pause: Pause
    limit: RateLimit
    slots_free: int
    recent_requests: int
    source_pauses: Mapping[str, SourcePause]
    mistakes: Mapping[str, Mistake]
    schema: str | None

    @property
    def paused(self) -> bool:
        """Whether no request is made now."""
        return self.pause.until > self.at

    @property
    def seconds_until_clear(self) -> float:
        """The rest of a pause, and one request for each waiting lead at the full rate limit."""
        if not self.backlog.leads_waiting:
            return 0.0
        pause = max(0, self.pause.until - self.at) / MICROS_PER_SECOND
        return pause + self.backlog.leads_waiting * self.limit.seconds / self.limit.requests


def read_status(
    connection: Connection,
    account: str,
    now: Micros,
    limit: RateLimit,
    mistakes: Mapping[str, Mistake] | None = None,
) -> Status:
    """The state at `now`. Counts only what waits, the slots of the budget, and the attempts of minutes.

    `limit` is that of the settings; what the workers run with counts where it is known.
    """
    since = first_id_at(now - RECENT_MINUTES * 60 * MICROS_PER_SECOND)
    recent = select(func.count()).where(attempts.c.id >= since, attempts.c.account == account)
    pause = current_pause(connection, account)
    all_slots, free = count_slots(connection, account, REQUESTS, now)
    return Status(
        account=account,
        at=now,
        backlog=read_backlog(connection, account),
        waiting=count_waiting(connection, account, paused=pause.until > now),
        ages=read_ages(connection, account, now),
        pause=pause,
        limit=replace(limit, requests=all_slots) if all_slots else limit,
        slots_free=free if all_slots else limit.requests,
        recent_requests=connection.execute(recent).scalar_one(),
        source_pauses=source_pauses(connection, account),
        mistakes=mistakes or {},
        schema=version_of(connection),
    )


def _events(status: Status) -> str:
    backlog = status.backlog
    apis = "".join(
        f"; {counted(count, 'event')} of {source} for its API"
        for source, count in backlog.events_fetching.items()
    )
    if not backlog.events_received:
        return f"none waits for translation{apis}"
    waiting = f"{backlog.events_received:,} wait for translation"
    return f"{waiting}{_oldest(status, status.ages.untranslated_since)}{apis}"


def _leads(status: Status) -> str:
    backlog = status.backlog
    if not backlog.leads_waiting:
        return "none has unsent changes"
    return (
        f"{backlog.leads_waiting:,} with unsent changes{_oldest(status, backlog.oldest_waiting_since)}; "
        f"{backlog.leads_leased:,} on their way"
    )


def _waiting(status: Status) -> str:
    """What leads wait for, where it is more than their turn."""
    told = [
        f"{waiting.count:,} {waiting.what.words}{_codes(waiting.causes)}"
        for waiting in status.waiting
        if waiting.what is not WaitsFor.TURN
    ]
    if not told:
        return ""
    first = next(waiting.what for waiting in status.waiting if waiting.what is not WaitsFor.TURN)
    return f"{'; '.join(told)}; `leadwire leads --waiting-for {first.value}` lists them"


def _codes(causes: Mapping[str, int]) -> str:
    return f" ({', '.join(causes)})" if causes else ""


def _oldest(status: Status, since: Micros | None) -> str:
    if since is None:
        return ""
    return f", the oldest for {shown_span(seconds_since(since, status.at))}"


def _due(status: Status) -> str:
    since = status.ages.due_since
    if since is None:
        return "no lead waits for its turn"
    return f"the lead that is due longest waits for {shown_span(seconds_since(since, status.at))}"


def _delivery(status: Status) -> str:
    pause = status.pause
    return _paused(status, pause.until, pause.reason) if pause.pauses or status.paused else "works"


def _source_apis(status: Status) -> str:
    return "; ".join(
        f"{source}: {_paused(status, pause.until, pause.reason)}"
        for source, pause in status.source_pauses.items()
    )


def _paused(status: Status, until: Micros, reason: str | None) -> str:
    why = reason or "no reason is known"
    if until > status.at:
        return f"paused for another {shown_span((until - status.at) / MICROS_PER_SECOND)}: {why}"
    return f"was paused, and is tried with one request at a time: {why}"


def _source_apis_as_json(status: Status) -> list[dict[str, Any]]:
    return [
        {
            "source": source,
            "paused_until": exact_time(pause.until) if pause.until > status.at else None,
            "pauses": pause.pauses,
            "reason": pause.reason,
        }
        for source, pause in status.source_pauses.items()
    ]


def _budget(status: Status) -> str:
    limit = status.limit
    return (
        f"{status.slots_free:,} of {limit.requests:,} requests per {limit.seconds:g} s left now; "
        f"{counted(status.recent_requests, 'request')} in the last {RECENT_MINUTES} minutes, "
        f"{status.recent_requests / RECENT_MINUTES:.0f} a minute"
    )


def _clear(status: Status) -> str:
    waiting, limit = status.backlog.leads_waiting, status.limit
    if not waiting:
        return "nothing waits for HubSpot"
    after_pause = "after the pause, " if status.paused else ""
    return (
        f"in about {shown_span(status.seconds_until_clear)}: {after_pause}{counted(waiting, 'lead')}, "
        f"one request each, at {limit.requests:,} per {limit.seconds:g} s; leads that fail take longer"
    )


def _dead(status: Status) -> str:
    groups = [
        f"{counted(count, kind)} ({cause})"
        for kind, counts in (("event", status.backlog.dead_events), ("lead", status.backlog.dead_leads))
        for cause, count in counts.items()
    ]
    return f"{', '.join(groups)}; `leadwire dead` says what to do" if groups else "none"


def _waiting_as_json(status: Status) -> dict[str, Any]:
    found = {waiting.what: waiting for waiting in status.waiting}
    return {
        what.value: {"leads": found[what].count, "causes": dict(found[what].causes)}
        if what in found
        else {"leads": 0, "causes": {}}
        for what in WaitsFor
    }


def _mistakes(status: Status) -> str:
    return "; ".join(str(mistake) for mistake in status.mistakes.values())


def _mistakes_as_json(status: Status) -> dict[str, Any]:
    return {
        name: {
            "problems": [str(problem) for problem in mistake.problems],
            "goes_on": mistake.goes_on,
            "since": exact_time(mistake.since or None),
        }
        for name, mistake in status.mistakes.items()
    }


def _held(status: Status) -> str:
    return "; ".join(
        f"{counted(held.count, 'request')} of {source} held: its mapping is not loaded"
        f"{_oldest(status, held.oldest)}"
        for source, held in status.backlog.held.items()
    )


def _held_as_json(status: Status) -> dict[str, Any]:
    return {
        source: {"requests": held.count, "oldest_since": exact_time(held.oldest)}
        for source, held in status.backlog.held.items()
    }


def _store(status: Status) -> str:
    return f"works; {said_of(status.schema)}" if is_newer(status.schema) else ""


STATUS: View[Status] = View(
    "status",
    (
        Column("account", "", lambda status: status.account),
        Column("at", "", lambda status: status.at, kind=Kind.TIME),
        Column(
            "events", "events",
            lambda status: {
                "waiting": status.backlog.events_received,
                "oldest_since": exact_time(status.ages.untranslated_since),
            },
            _events,
        ),
        Column("fetching", "", lambda status: status.backlog.events_fetching),
        Column("source_apis", "apis", _source_apis_as_json, _source_apis),
        Column(
            "leads", "leads",
            lambda status: {
                "waiting": status.backlog.leads_waiting, "in_flight": status.backlog.leads_leased,
                "oldest_since": exact_time(status.backlog.oldest_waiting_since),
                "due_since": exact_time(status.ages.due_since),
            },
            _leads,
        ),
        Column("", "due", _due),
        Column("waiting_for", "waiting", _waiting_as_json, _waiting),
        Column(
            "delivery", "delivery",
            lambda status: {
                "paused_until": exact_time(status.pause.until) if status.paused else None,
                "reason": status.pause.reason,
            },
            _delivery,
        ),
        Column(
            "budget", "budget",
            lambda status: {
                "requests": status.limit.requests, "seconds": status.limit.seconds,
                "left_now": status.slots_free, "minutes": RECENT_MINUTES,
                "requests_in_these_minutes": status.recent_requests,
            },
            _budget,
        ),
        Column("seconds_until_clear", "clear", lambda status: status.seconds_until_clear, _clear),
        Column(
            "dead", "dead",
            lambda status: {"events": status.backlog.dead_events, "leads": status.backlog.dead_leads}, _dead,
        ),
        Column("mappings", "mappings", _mistakes_as_json, _mistakes),
        Column("held", "held", _held_as_json, _held),
        Column(
            "schema", "store",
            lambda status: {"version": status.schema, "newer_than_program": is_newer(status.schema)}, _store,
        ),
    ),
)  # fmt: skip
