"""Translate: claimed events become updates, validated and merged into their leads' bundles."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from integration.body import MalformedBody, decode
from integration.config.sources import Configuration, Source, Sources
from integration.core import metrics
from integration.core.clock import Clock
from integration.core.logs import log_action
from integration.core.values import (
    MICROS_PER_SECOND,
    Cause,
    EventContext,
    Micros,
    Translation,
    Update,
)
from integration.lead.merge import from_json, merge
from integration.pipeline.bundles import BundleTiming, changed, relinked
from integration.pipeline.identity import (
    Assignment,
    Identified,
    LinkedMeanwhileError,
    resolve,
    retrying_links,
)
from integration.pipeline.reading import EventReader
from integration.store import fetches, inbox, lead_rows, updates
from integration.store.engine import Store
from integration.store.inbox import ClaimedEvent, Fetched, SettledEvent
from integration.store.wakeup import announce

log = logging.getLogger(__name__)

BATCH = 200
LEASE_SECONDS = 10
POSTPONED_SECONDS = 1
WITHOUT_MAPPING_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Translated:
    """A claimed event and what its mapping made of it. `creates_lead` is the mapping's `lead.create`."""

    event: ClaimedEvent
    translation: Translation
    mapping_version: str
    creates_lead: bool = False

    @property
    def update(self) -> Update:
        """The update that it asks for; only for translations that are neither dead nor ignored."""
        clock = (self.translation.occurred_at or 0, f"{self.event.source}/{self.event.dedup_key}")
        return Update(self.event.id, clock, self.translation.changes, self.mapping_version)


class Translator:
    """Translates what is in the inbox, a batch at a time. Any number of them may run at once."""

    def __init__(
        self,
        store: Store,
        sources: Sources,
        clock: Clock,
        timing: BundleTiming,
        *,
        worker: str,
        max_body_bytes: int,
        batch: int = BATCH,
    ) -> None:
        self._store = store
        self._sources = sources
        self._clock = clock
        self._timing = timing
        self._worker = worker
        self._max_body_bytes = max_body_bytes
        self._batch = batch

    def run_once(self) -> int:
        """Translate one batch; returns how many events it had, 0 when nothing waits."""
        claimed = self._claim()
        if not claimed:
            return 0
        configuration = self._sources.ready_for({event.source for event in claimed})
        events = self._those_that_can_go(configuration, claimed)
        translated = translate_events(configuration, events, self._max_body_bytes)
        self._settle(translated)
        return len(claimed)

    def _those_that_can_go(
        self, configuration: Configuration, claimed: Sequence[ClaimedEvent]
    ) -> list[ClaimedEvent]:
        """All but those of which no version of the mapping is good: these wait until it is fixed."""
        sources = _without_a_good_version(configuration)
        waiting = {event.id for event in claimed if event.source in sources}
        if waiting:
            until = self._clock() + WITHOUT_MAPPING_SECONDS * MICROS_PER_SECOND
            with self._store.write() as connection:
                inbox.postpone(connection, waiting, until)
        return [event for event in claimed if event.id not in waiting]

    def _claim(self) -> list[ClaimedEvent]:
        with self._store.read() as connection:
            if not inbox.anything_received(connection, self._clock()):
                return []
        with self._store.write() as connection:
            now = self._clock()
            return inbox.claim_events(
                connection, self._worker, now, now + LEASE_SECONDS * MICROS_PER_SECOND, self._batch
            )

    def _settle(self, translated: Sequence[Translated]) -> None:
        for item, event in retrying_links(lambda: self._settle_once(translated)):
            _report(item, event)

    def _settle_once(self, translated: Sequence[Translated]) -> list[tuple[Translated, SettledEvent]]:
        with self._store.write() as connection:
            return self._settle_in(connection, translated)

    def _settle_in(
        self, connection: Connection, translated: Sequence[Translated]
    ) -> list[tuple[Translated, SettledEvent]]:
        now = self._clock()
        held = inbox.still_leased(connection, self._worker, [item.event.id for item in translated])
        mine = [item for item in translated if item.event.id in held]
        resolved = resolve_leads(connection, mine, now)
        _merge_into_leads(connection, resolved, self._timing, now)
        settled = [
            (item, settled_event(item, resolved.lead_ids.get(item.event.id))) for item in resolved.items
        ]
        inbox.settle_events(connection, [event for _, event in settled], now)
        fetches.enqueue(connection, awaited(resolved.items), now)
        inbox.postpone(connection, resolved.postponed, now + POSTPONED_SECONDS * MICROS_PER_SECOND)
        announce(connection)
        return settled


def _without_a_good_version(configuration: Configuration) -> frozenset[str]:
    return frozenset(name for name, mistake in configuration.mistakes.items() if mistake.is_off)


def translate_events(
    configuration: Configuration, claimed: Iterable[ClaimedEvent], max_body_bytes: int
) -> list[Translated]:
    """Pure: what the mappings, as they are now, make of these events. Each request is read once."""
    reader = EventReader(max_body_bytes)
    result = []
    for event in claimed:
        source = configuration.sources.get(event.source)
        if not isinstance(source, Source):
            result.append(Translated(event, Translation(dead=_no_mapping(event.source)), ""))
            continue
        translation = _translate(configuration, source, event, reader.context(source, event))
        mapping = source.mapping
        result.append(Translated(event, translation, mapping.version, mapping.creates_leads))
    return result


def _translate(
    configuration: Configuration, source: Source, event: ClaimedEvent, context: EventContext | MalformedBody
) -> Translation:
    if isinstance(context, MalformedBody):
        return Translation(dead=Cause("malformed_body", context.detail, "Ask the sender to send it again."))
    return translate_and_validate(configuration, source, with_fetched(source, context, event.fetched))


def with_fetched(source: Source, context: EventContext, fetched: Fetched | None) -> EventContext:
    """The event with what was fetched for it, if anything; an answer that cannot be read is none."""
    if fetched is None or source.mapping.fetch is None:
        return context
    try:
        answer = decode(fetched.headers, fetched.body, source.mapping.fetch.max_bytes)
    except MalformedBody:
        return context
    return replace(context, fetched=answer)


def translate_and_validate(
    configuration: Configuration, source: Source, context: EventContext, *, trace: bool = False
) -> Translation:
    """What the mapping makes of one event; dead if a field of the update is not valid."""
    translation = source.mapping.translate(context, trace=trace)
    if translation.has_update:
        cause = configuration.catalogue.validate(translation.changes)
        if cause is not None:
            return replace(translation, dead=cause)
    return translation


def _no_mapping(source: str) -> Cause:
    return Cause(
        "mapping_has_problems",
        f"The mapping of {source} is missing or has problems.",
        "Run `leadwire check`, mend the file, then replay the event.",
    )


def awaited(items: Iterable[Translated]) -> list[tuple[str, str]]:
    """Those of these events that something has to be fetched for first: their ids and sources."""
    return [(item.event.id, item.event.source) for item in items if item.translation.fetch is not None]


def has_update(item: Translated) -> bool:
    """Whether the event asks for a change of a lead."""
    return item.translation.has_update


@dataclass(frozen=True, slots=True)
class Resolved:
    """Translated events with their leads, by event id. An event whose identifiers contradict what is known is
    dead here; one whose leads are on their way to HubSpot and must become one first is in `postponed` only.
    `relinked` are the leads that were there before and got a new identifier.
    """

    items: tuple[Translated, ...]
    lead_ids: Mapping[str, str]
    postponed: frozenset[str]
    relinked: frozenset[str]


def resolve_leads(connection: Connection, items: Sequence[Translated], now: Micros) -> Resolved:
    """Find the lead of each event, and write down what that tells of leads.

    Raises LinkedMeanwhileError if another worker was in between: to be run again as a new transaction.
    """
    assigned = resolve(connection, [identified(item) for item in items if has_update(item)], now)
    return Resolved(
        tuple(contradicted(item, assigned) for item in items if item.event.id not in assigned.postponed),
        assigned.lead_ids,
        assigned.postponed,
        frozenset(assigned.fresh.values()),
    )


def identified(item: Translated) -> Identified:
    """The event and how it says which lead it is about."""
    return Identified(item.event.id, item.translation.identifiers)


def contradicted(item: Translated, assigned: Assignment) -> Translated:
    """The event as it is: dead, if its identifiers contradict what is known."""
    cause = assigned.contradictions.get(item.event.id)
    return item if cause is None else replace(item, translation=replace(item.translation, dead=cause))


def _merge_into_leads(connection: Connection, resolved: Resolved, timing: BundleTiming, now: Micros) -> None:
    by_lead: dict[str, list[Translated]] = {}
    for item in resolved.items:
        if item.event.id in resolved.lead_ids:
            by_lead.setdefault(resolved.lead_ids[item.event.id], []).append(item)
    if not by_lead:
        return
    rows = lead_rows.lock(connection, by_lead.keys())
    if len(rows) < len(by_lead):
        raise LinkedMeanwhileError  # one of them was made part of another just now
    updates.put(connection, [(id, item.update) for id, group in by_lead.items() for item in group])
    merged = []
    for id, group in by_lead.items():
        row = replace(rows[id], creates=rows[id].creates or any(item.creates_lead for item in group))
        row = relinked(row, now) if id in resolved.relinked else row
        state = merge(from_json(row.document), [item.update for item in group])
        merged.append(changed(row, state, timing, now))
    lead_rows.save(connection, merged, now)


def settled_event(item: Translated, lead_id: str | None) -> SettledEvent:
    """How the translation leaves the event."""
    translation = item.translation
    state, cause = "translated", None
    if translation.dead is not None:
        state, cause = "dead", translation.dead
    elif translation.ignored is not None:
        state, cause = "ignored", Cause("ignored", translation.ignored, "")
    elif translation.fetch is not None:
        state = "fetching"
    return SettledEvent(
        item.event.id, state, translation.type, translation.occurred_at, lead_id, cause, item.mapping_version
    )


def _report(item: Translated, event: SettledEvent) -> None:
    source = item.event.source
    facts = {"id": item.event.request_id, "source": source, "event": event.id, "type": event.type}
    if event.state == "translated":
        metrics.TRANSLATED.labels(source).inc()
        log_action(log, "event.translated", "Translated", lead=event.lead_id, **facts)
        return
    if event.state == "fetching":
        log_action(log, "event.fetching", "Waits for what is fetched for it", **facts)
        return
    cause = event.cause or Cause("unknown", "", "")
    if event.state == "ignored":
        metrics.IGNORED.labels(source).inc()
        log_action(log, "event.ignored", cause.detail, **facts)
        return
    metrics.DEAD.labels(cause.code).inc()
    log_action(log, "event.dead", cause.detail, logging.ERROR, cause=cause.code, cure=cause.cure, **facts)
