"""Translate: claimed events become updates, validated and merged into their leads' records."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from integration.body import MalformedBody, decode
from integration.config.sources import Configuration, Source, Sources
from integration.core import metrics
from integration.core.clock import Clock, ids_at
from integration.core.durations import TRANSLATION_LEASE_SECONDS
from integration.core.logs import log_action
from integration.core.values import (
    MICROS_PER_SECOND,
    Asked,
    Cause,
    EventContext,
    EventEnd,
    EventState,
    SetAside,
    TranslatedEvent,
    Translation,
)
from integration.lead.advance import Advanced, Circumstances, advance
from integration.lead.record import BundleTiming, Priority
from integration.pipeline.knowing import keys_of_events, known_to, retrying_links, write_advanced
from integration.pipeline.reading import EventReader
from integration.store import fetches, inbox
from integration.store.engine import Store
from integration.store.inbox import ClaimedEvent, Fetched
from integration.store.isolation import cause_of, stored_or_set_aside
from integration.store.wakeup import announce

log = logging.getLogger(__name__)

BATCH = 200
POSTPONED_SECONDS = 1
WITHOUT_MAPPING_SECONDS = 5


class Translator:
    """Translates what is in the inbox of an account, a batch at a time. Any number of them may run."""

    def __init__(
        self,
        store: Store,
        account: str,
        sources: Sources,
        clock: Clock,
        timing: BundleTiming,
        *,
        worker: str,
        max_body_bytes: int,
        batch: int = BATCH,
    ) -> None:
        self._store = store
        self._account = account
        self._sources = sources
        self._clock = clock
        self._timing = timing
        self._worker = worker
        self._max_body_bytes = max_body_bytes
        self._batch = batch
        self._reader = EventReader(max_body_bytes)

    def run_once(self) -> int:
        """Translate one batch; returns how many events it had, 0 when nothing waits."""
        claimed = self._claim()
        if not claimed:
            return 0
        configuration = self._sources.ready_for({event.source for event in claimed})
        events = self._those_that_can_go(configuration, claimed)
        translated = translate_events(configuration, events, self._max_body_bytes, self._reader)
        sources = {event.id: event.source for event in events}
        for part in stored_or_set_aside(translated, self._apply, set_aside):
            for end in part.result.ends:
                _report(end, sources[end.id])
        self._reader.keep_those_with_more()
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
            if not inbox.anything_received(connection, self._account, self._clock()):
                return []
        with self._store.write() as connection:
            now = self._clock()
            until = now + TRANSLATION_LEASE_SECONDS * MICROS_PER_SECOND
            return inbox.claim_events(
                connection,
                self._account,
                self._worker,
                now,
                until,
                limit=self._batch,
                known=self._reader.known,
            )

    def _apply(self, translated: Sequence[TranslatedEvent]) -> Advanced:
        return retrying_links(lambda: self._apply_once(translated))

    def _apply_once(self, translated: Sequence[TranslatedEvent]) -> Advanced:
        """Take the step with those of these events that this worker still holds, and write it down."""
        with self._store.write() as connection:
            now = self._clock()
            held = inbox.still_leased(connection, self._worker, [event.id for event in translated])
            events = [event for event in translated if event.id in held]
            known = known_to(connection, self._account, keys_of_events(events))
            found = advance(
                known,
                events,
                Circumstances(self._account, now, self._timing, Priority.LIVE, ids_at(now)),
            )
            write_advanced(connection, self._account, found, now)
            write_ends(connection, self._account, events, found, now)
            inbox.postpone(connection, found.postponed, now + POSTPONED_SECONDS * MICROS_PER_SECOND)
            announce(connection)
            return found


def write_ends(
    connection: Connection, account: str, events: Iterable[TranslatedEvent], found: Advanced, now: int
) -> None:
    """Write down how these events end; those that something has to be fetched for wait for that."""
    inbox.end_events(connection, found.ends, now)
    sources = {event.id: event.source for event in events}
    fetches.enqueue(connection, account, [(id, sources[id]) for id in found.fetching], now)


def _without_a_good_version(configuration: Configuration) -> frozenset[str]:
    return frozenset(name for name, mistake in configuration.mistakes.items() if mistake.is_off)


def translate_events(
    configuration: Configuration,
    claimed: Iterable[ClaimedEvent],
    max_body_bytes: int,
    reader: EventReader | None = None,
) -> list[TranslatedEvent]:
    """What the mappings, as they are now, make of these events. Each request is read once; by a `reader` that
    is handed in, once for all calls.
    """
    reader = reader or EventReader(max_body_bytes)
    result = []
    for event in claimed:
        try:
            result.append(_translated(configuration, event, reader))
        except Exception as error:  # noqa: BLE001 - a fault of the program costs this event only
            result.append(_dead(event, cause_of(error)))
    return result


def set_aside(event: TranslatedEvent, cause: Cause) -> TranslatedEvent:
    """The event as a dead letter: nothing of what it says is stored, but its type."""
    return replace(event, translation=Translation(event.translation.type, None, SetAside(cause)))


def _dead(event: ClaimedEvent, cause: Cause) -> TranslatedEvent:
    return TranslatedEvent(
        event.account, event.id, event.source, event.dedup_key, Translation(None, None, SetAside(cause)), ""
    )


def _translated(configuration: Configuration, event: ClaimedEvent, reader: EventReader) -> TranslatedEvent:
    source = configuration.sources.get(event.source)
    if not isinstance(source, Source):
        return _dead(event, _no_mapping(event.source))
    translation = _translate(configuration, source, event, reader.context(source, event))
    mapping = source.mapping
    return TranslatedEvent(
        event.account,
        event.id,
        event.source,
        event.dedup_key,
        translation,
        mapping.version,
        mapping.creates_leads,
    )


def _translate(
    configuration: Configuration, source: Source, event: ClaimedEvent, context: EventContext | MalformedBody
) -> Translation:
    if isinstance(context, MalformedBody):
        cause = Cause("malformed_body", context.detail, "Ask the sender to send it again.")
        return Translation(None, None, SetAside(cause))
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
    asked = translation.meaning
    if isinstance(asked, Asked) and (cause := configuration.catalogue.validate(asked.changes)):
        return replace(translation, meaning=SetAside(cause, asked))
    return translation


def _no_mapping(source: str) -> Cause:
    return Cause(
        "mapping_has_problems",
        f"The mapping of {source} is missing or has problems.",
        "Run `leadwire check`, fix the file, then replay the event.",
    )


def _report(end: EventEnd, source: str) -> None:
    facts = {"id": end.id.partition("-")[0], "source": source, "event": end.id, "type": end.type}
    if end.state is EventState.TRANSLATED:
        metrics.TRANSLATED.labels(source).inc()
        log_action(log, "event.translated", "Translated", lead=end.lead_id, **facts)
        return
    if end.state is EventState.FETCHING:
        log_action(log, "event.fetching", "Waits for what is fetched for it", **facts)
        return
    cause = end.cause or Cause("unknown", "", "")
    if end.state is EventState.IGNORED:
        metrics.IGNORED.labels(source).inc()
        log_action(log, "event.ignored", cause.detail, **facts)
        return
    metrics.DEAD.labels(cause.code).inc()
    log_action(log, "event.dead", cause.detail, logging.ERROR, cause=cause.code, cure=cause.cure, **facts)
