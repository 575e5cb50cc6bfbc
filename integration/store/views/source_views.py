"""Sources as people look at them: whether each can receive, its last event, and what failed of late.

What all of them sent takes three queries together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Select, String, cast, func, literal, select, union_all

from integration.config.configuration import AnySource, HeldSource, Mistake, Source
from integration.config.folders import Origin
from integration.core.clock import first_id_at
from integration.core.values import MICROS_PER_SECOND, Micros
from integration.store.tables import events, in_state, is_settled, requests
from integration.store.views.columns import Column, Fit, Kind, View

RECENT_SECONDS = 24 * 3600
_MOST_SOURCES = 100  # SQLite allows 500 parts in a union


@dataclass(frozen=True, slots=True)
class SourceActivity:
    """`rejected` requests and `dead` events are those that arrived in the last RECENT_SECONDS.

    `last_event_at` is None where no event ever came, or its request is pruned.
    """

    last_event_at: Micros | None = None
    last_event_type: str | None = None
    rejected: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A source as configured here for an account, and what it sent. `public_url` is PUBLIC_URL, "" where it
    is not set; `mistake` is what is wrong with its file, `origin` whose file that is.
    """

    account: str
    source: AnySource
    activity: SourceActivity = field(default_factory=SourceActivity)
    public_url: str = ""
    mistake: Mistake | None = None
    origin: Origin | None = None

    @property
    def enabled(self) -> bool:
        """Whether it can receive."""
        return isinstance(self.source, Source | HeldSource) and not self.source.missing_secrets

    @property
    def in_use(self) -> bool:
        """Whether anybody ever set something up for it here: what is broken, enabled, or sent something."""
        return self.enabled or self.mistake is not None or self.activity != SourceActivity()

    @property
    def state(self) -> str:
        """`enabled`, or the setting that it lacks, or the mistake in its mapping file and what goes on."""
        source = self.source
        if self.mistake is not None:
            return str(self.mistake)
        if isinstance(source, Source | HeldSource) and source.missing_secrets:
            return f"set {' or '.join(source.missing_secrets)}"
        if isinstance(source, Source) and source.missing_fetch_settings:
            return f"enabled; to fetch, set {' and '.join(source.missing_fetch_settings)}"
        return "enabled"

    @property
    def path(self) -> str:
        """Where it sends its requests."""
        return f"/hooks/{self.source.name}"

    @property
    def title(self) -> str | None:
        """What its system is called."""
        return self.source.mapping.title if isinstance(self.source, Source) else None


SOURCES: View[SourceLine] = View(
    "sources",
    (
        Column("source", "source", lambda line: line.source.name, fit=Fit.ROW),
        Column("title", "title", lambda line: line.title, fit=Fit.HIDE),
        Column("origin", "files", lambda line: line.origin, fit=Fit.HIDE),
        Column("enabled", "", lambda line: line.enabled),
        Column(
            "last_event", "last event", lambda line: line.activity.last_event_at, kind=Kind.TIME, fit=Fit.ROW
        ),
        Column("last_event_type", "type", lambda line: line.activity.last_event_type, fit=Fit.HIDE),
        Column(
            "last_24_hours", "", lambda line: {"rejected": line.activity.rejected, "dead": line.activity.dead}
        ),
        Column("", "rejected 24 h", lambda line: line.activity.rejected, fit=Fit.ROW),
        Column("", "dead 24 h", lambda line: line.activity.dead, fit=Fit.ROW),
        Column("state", "state", lambda line: line.state, kind=Kind.STATE),
        Column(
            "url", "URL", lambda line: f"{line.public_url}{line.path}" if line.public_url else None,
            lambda line: f"{line.public_url}{line.path}",
        ),
        Column("account", "", lambda line: line.account),
    ),
)  # fmt: skip


def source_activities(
    connection: Connection, account: str, sources: Sequence[str], now: Micros
) -> dict[str, SourceActivity]:
    """What each of these sources sent. It costs what the failures of a day cost, whatever else is stored."""
    since = first_id_at(now - RECENT_SECONDS * MICROS_PER_SECOND)
    rejected = _counts(connection, _rejected_since(account, since))
    dead = _counts(connection, _dead_since(account, since))
    activities = {}
    for start in range(0, len(sources), _MOST_SOURCES):
        chunk = sources[start : start + _MOST_SOURCES]
        last = {row.source: row for row in connection.execute(_last_events(account, chunk))}
        for source in chunk:
            at, kind = (last[source].received_at, last[source].type) if source in last else (None, None)
            activities[source] = SourceActivity(at, kind, rejected.get(source, 0), dead.get(source, 0))
    return activities


def _counts(connection: Connection, query: Select[Any, int]) -> Mapping[str, int]:
    return dict(connection.execute(query).all())


def _rejected_since(account: str, id: str) -> Select[Any, int]:
    """By `requests_rejected`, which has at most REJECTED_KEEP of each source."""
    return (
        select(requests.c.source, func.count())
        .where(requests.c.reason.is_not(None), requests.c.id >= id, requests.c.account == account)
        .group_by(requests.c.source)
    )


def _dead_since(account: str, id: str) -> Select[Any, int]:
    """By `events_settled` or `events_dead`, which hold settled events only.

    The source is grouped as an expression: otherwise SQLite reads all events by source to spare a sort.
    """
    source = func.coalesce(events.c.source, "").label("source")
    return (
        select(source, func.count())
        .where(
            in_state(events, "dead"),
            is_settled(),
            events.c.id >= id,
            events.c.account == account,
        )
        .group_by(source)
    )


def _last_events(account: str, sources: Sequence[str]) -> Select[Any]:
    """By `events_by_source`: one step into the index for each source."""
    newest = union_all(
        *[
            select(cast(literal(source), String).label("source"), func.max(events.c.id).label("id")).where(
                events.c.source == source, events.c.account == account
            )
            for source in sources
        ]
    ).subquery()
    return (
        select(newest.c.source, events.c.type, requests.c.received_at)
        .join(events, events.c.id == newest.c.id)
        .outerjoin(requests, requests.c.id == events.c.request_id)
    )
